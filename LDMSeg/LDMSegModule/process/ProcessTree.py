"""A process with all its descendants, which are asked to stop and ended together."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from LDMSegModule.process.StopFile import StopFile
from LDMSegModule.process.WindowsJob import WindowsJob

_NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class ProcessTree:
    """Starts a command and holds on to all that comes of it, even where the process that was started (Slicer's Python is a
    launcher) has died before the one that works.

    It is asked by a file. It is ended by force, on POSIX as a session of its own, so that the signal reaches the whole group; on
    Windows as a job object.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; standard output and error are pipes of bytes, standard input is empty.

        Raises:
            OSError: it cannot be started.
        """
        self._strays: list[int] | None = None
        self._stop = StopFile()
        self._job = WindowsJob() if os.name == "nt" else None
        try:
            self.process = subprocess.Popen(
                list(command),
                env=self._stop.known_in(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=os.name != "nt",
                creationflags=_NEW_GROUP | _NO_WINDOW if os.name == "nt" else 0,
            )
        except OSError:
            self._stop.remove()
            if self._job is not None:
                self._job.close()
            raise
        if self._job is not None:
            self._job.add(self.process)
        atexit.register(self.kill)  # Slicer is closed in the middle of a run

    def ask(self) -> None:
        """Ask whoever of it looks for the stop file: what is finished is kept and written."""
        self._stop.make()

    def look_around(self) -> None:
        """Note who belongs to it, which takes a moment on a busy computer, so that `kill` need not."""
        if self._job is None:
            self._strays = _descendants(self.process.pid)

    def kill(self) -> None:
        """End all of it now. What has already ended does no harm."""
        self._stop.remove()  # at the application's end nobody comes to `close`
        if self._job is not None:
            self._job.terminate()
            return
        if self._strays is None:
            self.look_around()
        self._signal(signal.SIGKILL)
        for pid in self._strays or ():  # those that left the group
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it, after its end."""
        atexit.unregister(self.kill)
        self._stop.remove()
        if self._job is not None:
            self._job.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids signalling a group of zombies
            os.killpg(self.process.pid, number)


def _descendants(pid: int) -> list[int]:
    """The processes below one, as `ps` tells (Linux and macOS); none where it does not."""
    try:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=0.5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = (int(word) for word in line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
