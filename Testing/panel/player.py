"""Plays a part of `python -m LDMSegLib` in no time: what it says and how it ends. Run as a program; PLAY names the part."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def tell(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def output() -> Path:
    return Path(sys.argv[sys.argv.index("-o") + 1])


def sample(members: int = 4, seconds: float = 0.0, until: int | None = None) -> None:
    tell("stage", stage="sample", title=f"Sampling {members} members")
    for member in range(1, (until or members) + 1):
        tell("progress", stage="sample", fraction=member / members, seconds_left=float(members - member), member=member, members=members)
        time.sleep(seconds)


def deliver(**values: object) -> None:
    shutil.copytree(os.environ["PLAY_RESULT"], output())
    tell("result", **{"folder": str(output()), "members_finished": 3, "members_requested": 3, "partial": False, **values})


def asked_to_stop(seconds: float = 60.0) -> bool:
    """Waited for, as the library does between two steps."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if Path(os.environ["LDMSEG_STOP_FILE"]).exists():
            return True
        time.sleep(0.02)
    return False


def main(part: str) -> int:
    tell("stage", stage="read", title="Reading the images")
    if part == "good":
        sample()
        tell("warning", message="a warning of the run")
        deliver()
    elif part == "slow":  # until somebody stops it; says nothing of a result
        sample(30, 0.02)
        return 130 if asked_to_stop() else 0
    elif part == "halfway":  # for a picture
        sample(30, until=12)
        time.sleep(60)
    elif part == "keeps":  # gives what it has when it is asked to stop
        sample(30, 0.02)
        if asked_to_stop():
            deliver(partial=True, members_requested=30)
            return 130
    elif part == "stubborn":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sample(30, 0.02)
        time.sleep(60)
    elif part == "memory":
        tell("error", message="the memory does not suffice; close other programs, or use --device cpu", exit_code=2)
        return 2
    elif part == "disk":
        tell("error", message=f"the result could not be written to '{output()}' (no space left on device); free some space", exit_code=2)
        return 2
    elif part == "no torch":
        print("ModuleNotFoundError: No module named 'torch'", file=sys.stderr)
        return 1
    elif part == "garbage":
        print("\x00\xff not json {", flush=True)
        print("[1, 2")
    elif part == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif part == "damaged":
        deliver()
        (output() / "labels.nii.gz").write_bytes(b"nothing like it")
    elif part == "lost":
        deliver()
        shutil.rmtree(output())
    elif part == "verified":
        tell("result", bundle="x", parameters={"unet": 1})
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ["PLAY"]))
