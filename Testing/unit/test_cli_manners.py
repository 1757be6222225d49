"""Where a program has no console, where names are no text, and where something unexpected happens: nothing is lost and nothing told."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import environment, run_here

import LDMSegLib.cli.entry_point as cli
from LDMSegLib.cli.log import run_log, unexpected, without_values
from LDMSegLib.io.printable import printable

POSIX = pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="file names are bytes on Linux only")


def log_named_in(sentence: str) -> Path:
    return Path(re.search(r"details are in '(.*?\.log)'", sentence).group(1))


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
@pytest.mark.parametrize("extra", [[], ["--json-events"]])
def test_a_program_without_standard_streams_works_as_any_other(stream, extra, monkeypatch, tiny_bundle):
    for name in ("stdout", "stderr"):
        if stream in (name, "both"):
            monkeypatch.setattr(sys, name, None)
    assert cli.main(["models", "verify", str(tiny_bundle), *extra]) == 0
    assert cli.main(["no-such-command", *extra]) == 2
    assert all(getattr(sys, name) is None for name in ("stdout", "stderr") if stream in (name, "both")), "left as it was"


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("extra", ["", " --json-events"])
def test_a_process_whose_standard_streams_are_closed_ends_well(closed, extra, tiny_bundle):
    line = f'exec "{sys.executable}" -m LDMSegLib models path "{tiny_bundle}"{extra} {closed}'
    assert subprocess.run(["sh", "-c", line], env=environment(), timeout=300).returncode == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"p1", "p1"),
        ("Müller 王".encode(), "Müller 王"),
        (b"M\xfcller", "M%FCller"),
        (b"a\nb\x1b[31m", "a%0Ab%1B[31m"),
        (b"\xe9\xe8", "%E9%E8"),
    ],
)
def test_a_name_becomes_text_and_different_names_stay_different(name, expected):
    assert printable(os.fsdecode(name) if os.name != "nt" else name.decode("utf-8", "surrogateescape")) == expected


@POSIX
def test_a_folder_whose_name_is_no_utf_8_is_segmented(small_case, tiny_bundle, tmp_path, capsys):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller"))
    folder.mkdir()
    for file in small_case.iterdir():
        shutil.copy(file, folder / file.name.removeprefix("small_case_"))
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0, ran.err
    assert json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))["case"].startswith("case-")


@POSIX
def test_in_a_cohort_such_a_name_costs_neither_its_own_case_nor_the_others(small_case, tiny_bundle, tmp_path, capsys):
    cohort = tmp_path / "cohort"
    for name in (b"p1", b"p\xe9", b"p\xe8"):
        shutil.copytree(small_case, cohort / os.fsdecode(name))
    (cohort / os.fsdecode(b"p\xe8") / "small_case_t1c.nii.gz").write_bytes(b"no image")
    ran = run_here(capsys, "segment", "--cohort", cohort, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 1, ran.err
    table = (tmp_path / "out" / "cohort_volumes.csv").read_text(encoding="utf-8")
    assert sorted(line.split(",")[:2] for line in table.splitlines()[1:]) == [["p%E8", "failed"], ["p%E9", "done"], ["p1", "done"]]
    assert (tmp_path / "out" / "p%E9" / "labels.nii.gz").exists()


def test_an_unexpected_problem_leaves_a_log_beside_the_output_that_names_no_patient(small_case, tiny_bundle, tmp_path, capsys, monkeypatch):
    patient = shutil.copytree(small_case, tmp_path / "DOE_JANE_19600203")

    def broken(*_, **__):
        raise ValueError(f"DOE^JANE has no brain in {patient}")

    monkeypatch.setattr("LDMSegLib.inference.segment.place", broken)
    ran = run_here(capsys, "segment", patient, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == cli.BUG
    log = log_named_in(ran.err)
    assert log.parent == tmp_path and log.name.startswith("out.") and not (tmp_path / "out").exists()
    text = log.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text and "ValueError" in text and "in broken" in text and "stage prepare" in text
    assert "--members 1" in text and "torch" in text
    assert not re.search("doe|jane|1960|small_case", text, re.IGNORECASE), text


def test_in_a_cohort_the_unexpected_problem_of_one_case_is_in_the_log_too(small_case, tiny_bundle, tmp_path, capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("P12345")

    monkeypatch.setattr("LDMSegLib.inference.segment.place", broken)
    shutil.copytree(small_case, tmp_path / "cohort" / "DOE")
    ran = run_here(capsys, "segment", "--cohort", tmp_path / "cohort", "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 1
    text = log_named_in(ran.out).read_text(encoding="utf-8")
    assert "Traceback" in text and "KeyError" in text and "12345" not in text and "DOE" not in text


def test_a_run_that_goes_well_leaves_no_log(tiny_bundle, tmp_path, small_case, capsys):
    assert run_here(capsys, "segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1).code == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_where_nothing_can_be_written_beside_the_output_the_log_goes_to_the_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with run_log(["segment", "case", "-o", str(tmp_path / "missing" / "out")]):
        sentence = unexpected(ZeroDivisionError("division by zero"))
    assert log_named_in(sentence).parent == tmp_path / "temporary"


def test_a_program_that_uses_the_library_hears_it_through_logging_and_nothing_is_printed_unasked(caplog, capfd):
    from LDMSegLib.models.device import choose_device

    choose_device("cpu", "float32")
    assert capfd.readouterr() == ("", "")
    with caplog.at_level(logging.INFO, logger="LDMSegLib"):
        choose_device("cpu", "float32")
    assert any("device cpu" in record.getMessage() for record in caplog.records)


def test_the_causes_of_an_error_are_told_and_only_what_cannot_quote_a_name():
    try:
        try:
            raise OSError("/data/DOE^JANE/x.dcm is missing")
        except OSError as error:
            raise RuntimeError("shape (3, 4) is not (3, 5)") from error
    except RuntimeError as error:
        text = without_values(error)
    assert "DOE" not in text and "OSError" in text and "shape (3, 4) is not (3, 5)" in text


@pytest.mark.parametrize("device", ["cuda:a", "cuda:", "cuda:-1", "cpu:3", "cuda:1:2", "gpu", "mps:a"])
def test_a_device_that_does_not_exist_is_answered_with_those_there_are(device, small_case, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--device", device)
    assert ran.code == 2 and f"the device is '{device}'" in ran.err and "cuda:1" in ran.err


@pytest.mark.parametrize(
    ("error", "options", "advised"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), [], True),
        (RuntimeError("MPS backend out of memory"), ["--device", "mps"], True),
        (MemoryError(), [], False),
        (RuntimeError("DefaultCPUAllocator: not enough memory: out of memory"), ["--device", "cpu"], False),
        (MemoryError(), ["--device=cpu"], False),
    ],
)
def test_the_cpu_is_advised_only_to_those_who_are_not_there(error, options, advised, monkeypatch, capsys):
    def broken(*_):
        raise error

    monkeypatch.setattr("LDMSegLib.cli.segment.find_bundle", broken)
    ran = run_here(capsys, "segment", *options)
    assert ran.code == 2 and "memory does not suffice" in ran.error and ("--device cpu" in ran.error) == advised
