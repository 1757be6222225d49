"""A run that is stopped or killed, in a process of its own, by real signals."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import nibabel as nib
import pytest
from commandline import run_here, start_process

from LDMSegLib.cli.signals import Interruption
from LDMSegLib.cli.stop_file import SECONDS, VARIABLE, watched

unix = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs the signals of Unix")


def events_until(process: subprocess.Popen, wanted) -> dict:
    """Read events up to the first for which `wanted(event)`; fail where the process ends before."""
    for line in process.stdout:
        event = json.loads(line)
        if wanted(event):
            return event
    pytest.fail(f"the process ended before: {process.stderr.read()}")


def intact(folder: Path) -> bool:
    """Whether a result's every file is what its provenance says."""
    files = json.loads((folder / "provenance.json").read_text())["files"]
    return all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in files.items())


@unix
def test_a_signal_raises_where_nobody_would_look_and_only_asks_where_somebody_does():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption, interruption.waited_for() as cancellation:
        with interruption.waited_for():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert cancellation.requested
    with pytest.raises(KeyboardInterrupt), Interruption():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


@unix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_gives_a_partial_result_of_the_finished_members(number, small_case, tiny_bundle, tmp_path):
    options = ["--bundle", tiny_bundle, "--members", 100_000, "--batch-size", 1, "--json-events"]
    process = start_process("segment", small_case, "-o", tmp_path / "out", *options)
    seen = events_until(process, lambda event: event.get("member") == 3)
    process.send_signal(number)
    rest, complaints = process.communicate(timeout=300)
    assert process.returncode == 130 and complaints == ""
    events = [json.loads(line) for line in rest.splitlines()]
    last = events[-1]
    assert last["event"] == "result" and last["partial"] is True and last["members_requested"] == 100_000
    # the members that were finished when the signal came, and not many more: a few events may have been under way
    assert seen["member"] - 1 <= last["members_finished"] < 1000
    assert intact(tmp_path / "out") and json.loads((tmp_path / "out" / "provenance.json").read_text())["partial"] is True
    assert nib.load(tmp_path / "out" / "labels.nii.gz").shape == nib.load(next(small_case.glob("*t1c*"))).shape
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@unix
def test_a_signal_before_the_sampling_leaves_nothing(small_case, tiny_bundle, tmp_path):
    process = start_process("segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--json-events")
    events_until(process, lambda event: event.get("stage") == "load")
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=300)
    last = json.loads(rest.splitlines()[-1])
    assert process.returncode == 130 and last["event"] == "error" and last["exit_code"] == 130
    assert not any(tmp_path.iterdir())


@unix
def test_a_second_signal_kills(small_case, tiny_bundle, tmp_path):
    options = ["--bundle", tiny_bundle, "--mode", "long", "--json-events"]
    process = start_process("segment", small_case, "-o", tmp_path / "out", *options)
    events_until(process, lambda event: event.get("stage") == "write" or event["event"] == "progress")
    # the signals would melt into one if the second came before Python had looked at the first
    for _ in range(100):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
        if process.poll() is not None:
            break
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGTERM
    assert not (tmp_path / "out").exists()


@unix
@pytest.mark.parametrize("later", [0.0, 0.2])
def test_kill_9_while_writing_leaves_the_old_result_or_the_whole_new_one(later, small_case, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, "--members", 1).code == 0
    options = ["--bundle", tiny_bundle, "--members", 1, "--seed", 7, "--overwrite", "--json-events"]
    process = start_process("segment", small_case, "-o", out, *options)
    events_until(process, lambda event: event.get("stage") == "write")
    time.sleep(later)
    process.kill()
    process.communicate(timeout=300)
    assert intact(out) and json.loads((out / "provenance.json").read_text())["sampling"]["seed"] in (0, 7)
    left = [entry for entry in tmp_path.iterdir() if entry != out]
    assert all(entry.name.startswith(".out.ldmseg-") for entry in left), "what is left is hidden and known as ours"
    assert run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, "--members", 1, "--overwrite").code == 0


@unix
def test_kill_9_while_writing_a_first_result_leaves_none_or_the_whole(small_case, tiny_bundle, tmp_path):
    process = start_process("segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1, "--json-events")
    events_until(process, lambda event: event.get("stage") == "write")
    time.sleep(0.05)
    process.kill()
    process.communicate(timeout=300)
    assert not (tmp_path / "out").exists() or intact(tmp_path / "out")


@unix
def test_a_cohort_that_is_stopped_keeps_what_is_done_and_goes_on_from_there(small_case, tiny_bundle, tmp_path, capsys):
    for name in ("a", "b", "c"):
        shutil.copytree(small_case, tmp_path / "cohort" / name)
    options = ["--cohort", tmp_path / "cohort", "-o", tmp_path / "out", "--bundle", tiny_bundle]
    process = start_process("segment", *options, "--members", 2, "--json-events")
    events_until(process, lambda event: event.get("case") == 2)
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=300)
    last = json.loads(rest.splitlines()[-1])
    status = {case["case"]: case["status"] for case in last["cases"]}
    assert (
        process.returncode == 130 and status["a"] == "done" and status["b"] in ("partial", "not started") and status["c"] == "not started"
    )
    ran = run_here(capsys, "segment", *options, "--members", 2, "--json-events")
    status = {case["case"]: case["status"] for case in json.loads(ran.out.splitlines()[-1])["cases"]}
    assert ran.code == 0 and status == {"a": "already there", "b": "done", "c": "done"}


# The stop file, by which a program asks on every system


@pytest.fixture
def stop(tmp_path, monkeypatch) -> Path:
    """A stop file that every process of this test looks for; in a folder with a name that users have."""
    (tmp_path / "Jörg's temp").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "Jörg's temp" / "stop"))
    return tmp_path / "Jörg's temp" / "stop"


def test_a_stop_file_in_the_middle_gives_a_partial_result_of_the_finished_members(stop, small_case, tiny_bundle, tmp_path):
    options = ["--bundle", tiny_bundle, "--members", 100_000, "--batch-size", 1, "--json-events"]
    process = start_process("segment", small_case, "-o", tmp_path / "out", *options)
    events_until(process, lambda event: event.get("member") == 3)
    stop.touch()
    rest, complaints = process.communicate(timeout=300)
    last = json.loads(rest.splitlines()[-1])
    assert process.returncode == 130 and complaints == ""
    assert last["event"] == "result" and last["partial"] is True and last["members_finished"] >= 2
    assert intact(tmp_path / "out")


@pytest.mark.parametrize("there_before", [True, False])
def test_a_stop_file_before_the_sampling_leaves_nothing(there_before, stop, small_case, tiny_bundle, tmp_path):
    if there_before:
        stop.touch()
    process = start_process("segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 100_000, "--json-events")
    if not there_before:
        events_until(process, lambda event: event.get("stage") == "load")
        stop.touch()
    rest, complaints = process.communicate(timeout=300)
    last = json.loads(rest.splitlines()[-1])
    assert (process.returncode, last["event"], last.get("exit_code"), complaints) == (130, "error", 130, "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", [True, False])
def test_a_stop_file_ends_the_drawing_of_masks_too(there, stop, tiny_bundle, tmp_path):
    options = ["-n", 100_000, "--min-volume", 0, "--batch-size", 1, "--any-shape", "--threshold", 0.01, "--json-events"]
    process = start_process("synthesize", "-o", tmp_path / "out", "--bundle", tiny_bundle, *options)
    events_until(process, lambda event: event["event"] == "progress" and event["fraction"] > 0 if there else event["event"] == "stage")
    stop.touch()
    rest, complaints = process.communicate(timeout=300)
    assert process.returncode in ((1, 130) if there else (130,)) and complaints == ""


def test_after_the_end_of_a_command_a_stop_file_interrupts_nobody(stop):
    with watched():
        pass
    stop.touch()
    time.sleep(3 * SECONDS)
    with pytest.raises(KeyboardInterrupt), watched():
        time.sleep(50 * SECONDS)


def test_a_stop_file_is_heard_where_the_keyboard_is_not(stop):
    """As in what a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop.touch()
        with pytest.raises(KeyboardInterrupt), watched():
            time.sleep(50 * SECONDS)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
