"""The real command line in the background: told, stopped, killed, out of space, and never in the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from background import Follower, follow, run_to_the_end
from commandline import ROOT, environment
from LDMSegModule.parameters.SegmentParameters import SegmentParameters
from LDMSegModule.parameters.SynthesizeParameters import SynthesizeParameters
from LDMSegModule.process.BackgroundRun import BackgroundRun
from LDMSegModule.process.PythonCommand import PythonCommand

unix = pytest.mark.skipif(os.name == "nt", reason="needs the signals and limits of Unix")


@pytest.fixture(scope="module")
def python() -> PythonCommand:
    return PythonCommand.of(sys.executable, environment())


@pytest.fixture
def parameters(small_case, tiny_bundle, tmp_path) -> SegmentParameters:
    """Two members of the tiny bundle on the small case."""
    inputs = {name: next(small_case.glob(f"*{name}*")) for name in ("t1n", "t1c", "t2w", "t2f")}
    return SegmentParameters(inputs, tmp_path / "out", bundle=str(tiny_bundle), members=2, steps=2, device="cpu")


def endless(parameters: SegmentParameters) -> SegmentParameters:
    """So many members that it never ends by itself."""
    return replace(parameters, members=100_000, batch_size=1)


def started(python: PythonCommand, arguments: list[str]) -> tuple[BackgroundRun, Follower]:
    follower = Follower()
    run = BackgroundRun(python.ldmseg(*arguments), python.environment, follower)
    run.start()
    return run, follower


def living(group: int) -> list[str]:
    """What still runs of a process group; the dead that nobody has collected yet don't count."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [row[-1] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


def python_line(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


@unix
def test_cancel_ends_the_whole_process_tree_within_two_seconds(python, parameters):
    run, follower = started(python, endless(parameters).arguments())
    follow(run, lambda: any((event.member or 0) >= 3 for event in follower.events))
    group = run._tree.process.pid
    assert living(group)
    start = time.monotonic()
    run.cancel()
    assert time.monotonic() - start < 0.1, "a click must not freeze the window"
    follow(run)
    assert time.monotonic() - start <= 2.0
    assert living(group) == []
    assert run.outcome.status in ("partial", "cancelled") and run.outcome.sentence
    assert (run.outcome.status == "partial") == parameters.output.exists()


@unix
def test_cancel_also_ends_what_does_not_listen_and_what_has_left_the_group(tmp_path):
    deaf = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)'])\n"
        "stray = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(child.pid, stray.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    follower = Follower()
    run = BackgroundRun(python_line(deaf), dict(os.environ), follower)
    run.start()
    follow(run, lambda: bool(follower.events))
    child, stray = (int(word) for word in follower.events[0].message.split())
    start = time.monotonic()
    run.cancel()
    follow(run)
    assert time.monotonic() - start <= 2.0
    assert run.outcome.status == "cancelled" and "unchanged" in run.outcome.sentence
    time.sleep(0.1)
    assert living(run._tree.process.pid) == [] and living(stray) == []
    assert child not in _pids()


def _pids() -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return {int(line.split()[0]) for line in listed.splitlines() if not line.split()[1].startswith("Z")}


def launched(python: PythonCommand, arguments: list[str], folder: Path) -> list[str]:
    """That command by a launcher that signals reach and the real process not: what PythonSlicer is on Windows."""
    launcher = folder / "launcher.py"
    launcher.write_text("import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:], start_new_session=True))", encoding="utf-8")
    return [sys.executable, str(launcher), *python.ldmseg(*arguments)]


def test_finishing_early_behind_a_launcher_keeps_the_members_that_are_done(python, parameters, tmp_path):
    follower = Follower()
    run = BackgroundRun(launched(python, endless(parameters).arguments(), tmp_path), python.environment, follower)
    run.start()
    follow(run, lambda: any((event.member or 0) >= 3 for event in follower.events))
    run.finish_early()
    assert run.stopping
    follow(run)
    outcome = run.outcome
    assert outcome.status == "partial" and outcome.exit_code == 130
    assert outcome.result["members_finished"] >= 2 and f"{outcome.result['members_finished']} of 100000 members" in outcome.sentence
    assert json.loads((parameters.output / "provenance.json").read_text())["partial"] is True


def test_finishing_early_sends_no_signal_which_only_some_systems_have(python, parameters, monkeypatch):
    sent = []
    for name in ("kill", "killpg"):
        monkeypatch.setattr(os, name, lambda *arguments: sent.append(arguments), raising=False)
    run, follower = started(python, endless(parameters).arguments())
    follow(run, lambda: any((event.member or 0) >= 3 for event in follower.events))
    run.finish_early()
    follow(run)
    assert run.outcome.status == "partial" and sent == []


def test_nothing_of_the_asking_stays_on_the_disk(python, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for code in ("pass", "import time; time.sleep(600)"):
        run = BackgroundRun(python_line(code), python.environment, Follower())
        run.start()
        assert len(list(tmp_path.iterdir())) == 1
        if "sleep" in code:
            run.cancel()
        follow(run)
        assert list(tmp_path.iterdir()) == []
    run = BackgroundRun(["no such program"], python.environment, Follower())
    run.start()
    assert list(tmp_path.iterdir()) == []


@unix
def test_whoever_goes_away_ends_it_without_a_poll(tmp_path):
    """Slicer holds Python's lock between two polls: what threads were to do later would never be done."""
    run = BackgroundRun(python_line("import time; time.sleep(600)"), dict(os.environ), Follower())
    run.start()
    start = time.monotonic()
    run.end()
    assert time.monotonic() - start < 3.0 and living(run._tree.process.pid) == []
    run.end()


@unix
def test_cancel_before_the_first_member_leaves_nothing(python, parameters):
    run, follower = started(python, endless(parameters).arguments())
    follow(run, lambda: "load" in follower.stages())
    run.cancel()
    follow(run)
    assert run.outcome.status == "cancelled" and not parameters.output.exists()


@unix
def test_a_process_killed_from_outside_is_told_in_a_sentence_and_may_be_tried_with_less_memory(python, parameters):
    run, follower = started(python, endless(parameters).arguments())
    follow(run, lambda: any(event.kind == "progress" for event in follower.events))
    os.kill(run._tree.process.pid, signal.SIGKILL)
    follow(run)
    assert run.outcome.status == "failed" and run.outcome.out_of_memory
    assert "memory" in run.outcome.sentence and "unchanged" in run.outcome.sentence
    assert parameters.with_less_memory().batch_size < parameters.batch_size


@unix
def test_another_signal_from_outside_is_named(python):
    run, _ = run_to_the_end(python_line("import os, signal; os.kill(os.getpid(), signal.SIGABRT)"), dict(os.environ))
    assert run.outcome.status == "failed" and "SIGABRT" in run.outcome.sentence and not run.outcome.out_of_memory


@unix
def test_a_full_disk_leaves_nothing_half_written_and_is_told_in_a_sentence(python, parameters):
    limited = ["bash", "-c", 'ulimit -f 8; exec "$0" "$@"', *python.ldmseg(*parameters.arguments())]
    run, _ = run_to_the_end(limited, python.environment)
    assert run.outcome.status == "failed" and "cannot be written" in run.outcome.sentence
    assert "free some space" in run.outcome.sentence
    assert list(parameters.output.parent.iterdir()) == []


@unix
@pytest.mark.skipif(shutil.which("setpriv") is None and os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_told_before_any_work(python, parameters, tmp_path):
    forbidden = tmp_path / "read only"
    forbidden.mkdir(mode=0o555)
    command = python.ldmseg(*replace(parameters, output=forbidden / "out").arguments())
    if os.geteuid() == 0:  # without the superuser's right to write anywhere
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all", *command]
    run, follower = run_to_the_end(command, python.environment)
    assert run.outcome.status == "failed" and "cannot be written (permission denied)" in run.outcome.sentence
    assert follower.stages() == []


def test_a_run_tells_its_progress_and_where_the_result_lies_whatever_the_paths_are_called(python, parameters, tiny_bundle, tmp_path):
    folder = tmp_path / "Müller, Ärztin – 脳 MRI"
    inputs = {name: shutil.copy(path, _made(folder / "in put") / f"ß {name}.nii.gz") for name, path in parameters.inputs.items()}
    shutil.copytree(tiny_bundle, folder / "modèle un")
    odd = replace(parameters, inputs=inputs, output=folder / "Ergebnis für ihn", bundle=str(folder / "modèle un"))
    run, follower = run_to_the_end(python.ldmseg(*odd.arguments()), python.environment)
    assert run.outcome.status == "done", run.log
    assert follower.stages() == ["read", "load", "prepare", "condition", "sample", "restore", "write"]
    progress = [event for event in follower.events if event.kind == "progress"]
    assert progress[-1].fraction == 1.0 and progress[-1].member == progress[-1].members == 2
    assert run.outcome.folder == odd.output and (odd.output / "labels.nii.gz").is_file()
    assert "Sampling 2 members" in run.log and "fraction" not in run.log
    assert run.seconds > 0.0


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_a_bundle_that_fails_verification_is_not_used(python, parameters, tiny_bundle, tmp_path):
    damaged = shutil.copytree(tiny_bundle, tmp_path / "damaged")
    weights = damaged / "models" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    run, _ = run_to_the_end(python.ldmseg(*replace(parameters, bundle=str(damaged)).arguments()), python.environment)
    assert run.outcome.status == "failed" and "damaged" in run.outcome.sentence and not parameters.output.exists()


def test_masks_are_drawn_in_the_background_too(python, tiny_bundle, tmp_path):
    request = SynthesizeParameters(tmp_path / "masks", count=2, seed=3, bundle=str(tiny_bundle), device="cpu")
    quickly = (*request.arguments(), "--steps", "2", "--threshold", "0.01")
    run, follower = run_to_the_end(python.ldmseg(*quickly), python.environment)
    assert run.outcome.status == "done", run.log
    assert run.outcome.folder == request.output and len(run.outcome.result["masks"]) == 2


@unix
def test_what_lives_on_after_the_result_does_not_keep_the_panel_waiting():
    lingering = (
        "import json, subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(json.dumps({'event': 'result', 'folder': 'out'}), flush=True)"
    )
    start = time.monotonic()
    run, _ = run_to_the_end(python_line(lingering), dict(os.environ))
    assert run.outcome.status == "done" and time.monotonic() - start < 10.0
    assert living(run._tree.process.pid) == []


@unix
def test_closing_the_application_in_the_middle_of_a_run_ends_the_run(tmp_path):
    application = (
        "import os, sys, time; sys.path[:0] = sys.argv[1:]\n"
        "from LDMSegModule.process.BackgroundRun import BackgroundRun\n"
        "from background import Follower\n"
        "run = BackgroundRun([sys.executable, '-c', 'import time; time.sleep(600)'], dict(os.environ), Follower())\n"
        "run.start(); print(run._tree.process.pid, flush=True)\n"
    )
    paths = [str(ROOT / "LDMSeg"), str(ROOT / "Testing" / "unit"), str(ROOT)]
    done = subprocess.run([sys.executable, "-c", application, *paths], capture_output=True, text=True, timeout=60, check=True)
    time.sleep(0.1)
    assert living(int(done.stdout)) == []


def test_a_program_that_cannot_be_started_is_told_in_a_sentence(tmp_path):
    run, _ = run_to_the_end([str(tmp_path / "no python"), "-m", "LDMSegLib"], dict(os.environ))
    assert run.outcome.status == "failed" and "could not be started" in run.outcome.sentence and "no python" in run.outcome.sentence


def test_garbage_is_kept_as_log_and_does_not_pass_for_a_result():
    noise = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 9 + b'\\n[1]\\n{\\n\"event\"\\n{\"event\": 3}\\n' + b'x' * 3000000)"
    run, follower = run_to_the_end(python_line(noise), dict(os.environ))
    assert run.outcome.status == "failed" and "reported no result" in run.outcome.sentence
    assert {event.kind for event in follower.events} == {"log"}


def test_the_last_output_of_a_program_that_fails_are_told():
    run, _ = run_to_the_end(python_line("import sys; print('no such thing as a tumour', file=sys.stderr); sys.exit(3)"), dict(os.environ))
    assert "exit code 3" in run.outcome.sentence and "no such thing as a tumour" in run.outcome.sentence


def test_a_missing_package_is_named():
    run, _ = run_to_the_end(python_line("import monay"), dict(os.environ))
    assert run.outcome.missing_package == "monay" and "install it under Set-up" in run.outcome.sentence


def test_of_many_steps_of_progress_only_the_last_is_told():
    many = "import json\nfor i in range(5000): print(json.dumps({'event': 'progress', 'fraction': i / 5000}))"
    follower = Follower()
    run = BackgroundRun(python_line(many), dict(os.environ), follower)
    run.start()
    time.sleep(0.7)
    follow(run)
    assert len(follower.events) < 50 and follower.events[-1].fraction == 4999 / 5000
    assert run.log.count("\n") < 3


def test_cancelling_what_has_ended_or_not_started_does_nothing():
    run = BackgroundRun(python_line("pass"), dict(os.environ), Follower())
    run.cancel()
    run.start()
    follow(run)
    run.cancel()
    run.finish_early()
    assert run.outcome.status == "failed"
