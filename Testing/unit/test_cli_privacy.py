"""What a result of NIfTI files says of where they came from; of DICOM see `test_cli_dicom`."""

from __future__ import annotations

import json
import shutil

import pytest
from commandline import run_here


def record(folder) -> dict:
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))


@pytest.fixture
def patient(small_case, tmp_path):
    """Files whose names have nothing in common, in folders that bear a patient's name."""
    folder = tmp_path / "archive" / "DOE_JANE"
    folder.mkdir(parents=True)
    for file in small_case.iterdir():
        shutil.copy(file, folder / file.name.removeprefix("small_case_"))
    return folder


def test_folders_are_not_in_the_result_and_the_case_is_called_by_what_it_holds(patient, tiny_bundle, tmp_path, capsys):
    cases = []
    for out in ("out", "again"):
        ran = run_here(capsys, "segment", patient, "-o", tmp_path / out, "--bundle", tiny_bundle, "--members", 1)
        assert ran.code == 0, ran.err
        assert not any(word in file.read_bytes() for file in (tmp_path / out).iterdir() for word in (b"DOE", b"archive"))
        cases.append(record(tmp_path / out)["case"])
    assert cases[0] == cases[1] and cases[0].startswith("case-")
    assert {one["file"] for one in record(tmp_path / "out")["inputs"]} == {f"{name}.nii.gz" for name in ("t1n", "t1c", "t2w", "t2f")}


def test_a_case_id_replaces_the_names_of_the_files_everywhere(small_case, tiny_bundle, tmp_path, capsys):
    arguments = ("segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    ran = run_here(capsys, *arguments, "--case-id", "A 17", "--json-events")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out.splitlines()[-1])["case"] == "A 17" == record(tmp_path / "out")["case"]
    assert not any(b"small_case" in file.read_bytes() for file in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("wrong", ["a/b", "..", "", "a\nb", "x" * 65])
def test_a_case_id_that_could_be_no_name_is_refused(wrong, small_case, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--case-id", wrong)
    assert ran.code == 2 and "--case-id" in ran.error and not (tmp_path / "out").exists()


def test_a_case_id_for_a_whole_cohort_is_refused(small_case, tiny_bundle, tmp_path, capsys):
    arguments = ("segment", "--cohort", small_case.parent, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    ran = run_here(capsys, *arguments, "--case-id", "A")
    assert ran.code == 2 and "--case-id was given with --cohort" in ran.error
