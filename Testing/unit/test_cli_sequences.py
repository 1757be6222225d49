"""Which image became which sequence, through the command line: said on the terminal, in events, in the provenance and in the report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commandline import run_here
from tiny_bundle import save_small_case

pytest.importorskip("pydicom", reason="pydicom is not installed: pip install pydicom")

QUICK = ("--members", 1, "--device", "cpu")


def renamed(folder: Path, names: dict[str, str], target: Path) -> Path:
    target.mkdir(parents=True)
    for sequence, name in names.items():
        shutil.copy(next(folder.glob(f"*{sequence}.nii.gz")), target / f"{name}.nii.gz")
    return target


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return save_small_case(tmp_path_factory.mktemp("small") / "case")


def test_it_is_said_on_the_terminal_in_events_in_the_provenance_and_in_the_report(small, tiny_bundle, tmp_path, capsys):
    names = {"t1n": "T1_ohne_KM", "t1c": "T1_KM", "t2w": "T2_tra", "t2f": "FL_to_SRI_brain"}
    case = renamed(small, names, tmp_path / "case")
    shutil.copy(case / "T2_tra.nii.gz", case / "T2_star.nii.gz")
    ran = run_here(capsys, "segment", case, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK)
    assert ran.code == 0, ran.err
    assert "t1n: T1_ohne_KM.nii.gz (certain" in ran.out and "t2f: FL_to_SRI_brain.nii.gz (certain" in ran.out
    assert "not used: T2_star.nii.gz (" in ran.out
    record = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))["identification"]
    assert {one["sequence"]: one["name"] for one in record["used"]} == {name: f"{file}.nii.gz" for name, file in names.items()}
    assert [one["name"] for one in record["unused"]] == ["T2_star.nii.gz"]
    ran = run_here(capsys, "segment", case, "-o", tmp_path / "again", "--bundle", tiny_bundle, "--json-events", *QUICK)
    event = next(e for e in map(json.loads, ran.out.splitlines()) if e["event"] == "inputs")
    assert event["used"] == record["used"] and event["unused"] == record["unused"] and len(event["lines"]) == 5


def test_files_that_the_user_named_are_said_too(small, tiny_bundle, tmp_path, capsys):
    files = [part for name in ("t1n", "t1c", "t2w", "t2f") for part in (f"--{name}", next(small.glob(f"*{name}.nii.gz")))]
    ran = run_here(capsys, "segment", *files, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK)
    assert ran.code == 0 and "(certain: it was named by the user)" in ran.out


def test_a_cohort_in_nnunets_layout_runs_with_the_sites_rules_and_is_refused_without(small, tiny_bundle, tmp_path, capsys):
    order = ("t2f", "t1n", "t1c", "t2w")
    for case in ("a", "b"):
        renamed(small, {name: f"{case}_{k:04d}" for k, name in enumerate(order)}, tmp_path / case)
    images = tmp_path / "imagesTs"
    images.mkdir()
    for file in (*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()):
        file.rename(images / file.name)
    command = ("segment", "--cohort", images, "--bundle", tiny_bundle, *QUICK)
    ran = run_here(capsys, *command, "-o", tmp_path / "refused")
    assert ran.code == 1 and "nothing says which channel is which sequence" in ran.out
    rules = tmp_path / "rules.tsv"
    rules.write_text("".join(f"{k:04d}\t{name}\n" for k, name in enumerate(order)), encoding="utf-8")
    ran = run_here(capsys, *command, "-o", tmp_path / "out", "--site-rules", rules)
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "out" / "b" / "provenance.json").read_text(encoding="utf-8"))
    assert {one["sequence"]: one["name"] for one in record["identification"]["used"]}["t1c"] == "b_0002.nii.gz"


def test_a_file_of_site_rules_that_is_none_is_told_before_any_image_is_read(small, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", small, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--site-rules", tmp_path / "none.tsv")
    assert ran.code == 2 and "the site rules" in ran.error and "Reading" not in ran.out


def study(folder: Path, words: dict[str, str], times: dict[str, dict] | None = None) -> Path:
    from test_cli_dicom import TIMES, write_study

    plain = {name: {k: v for k, v in tags.items() if k != "ContrastBolusAgent"} for name, tags in TIMES.items()}
    return write_study(folder, words, **{**plain, **(times or {})})


@pytest.mark.parametrize(
    ("native", "after"),
    [("T1 ohne KM", "T1 tra KM"), ("T1 avant gado", "T1 apres gado"), ("AX T1 -Gd", "AX T1 +Gd"), ("T1 SANS GADO", "T1 GADO")],
)
def test_a_negated_agent_in_a_study_is_the_native_t1(tiny_bundle, tmp_path, capsys, native, after):
    folder = study(tmp_path / "study", {"t1n": native, "t1c": after})
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK)
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))["identification"]
    assert {one["sequence"]: one["name"] for one in record["used"]} == {
        "t1n": f'series 1 "{native}"', "t1c": f'series 2 "{after}"', "t2w": 'series 3 "AX T2 TSE"', "t2f": 'series 4 "AX FLAIR"',
    }  # fmt: skip


def test_a_native_t1_without_its_partner_is_refused_and_not_taken_for_the_enhanced_one(tiny_bundle, tmp_path, capsys):
    folder = study(tmp_path / "study", {"t1n": "T1 ohne KM", "t1c": "T1 SUB"})
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK)
    assert ran.code == 2 and "(t1c)" in ran.error and not (tmp_path / "out").exists()


def test_an_agent_in_the_header_of_the_only_t1_is_asked_about(tiny_bundle, tmp_path, capsys):
    from test_cli_dicom import TIMES

    folder = study(tmp_path / "study", {"t1n": "T1 tra", "t1c": "ADC"}, {"t1n": {**TIMES["t1n"], "ContrastBolusAgent": "GADOVIST"}})
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK)
    assert ran.code == 2 and "only its header names contrast agent (GADOVIST)" in ran.error
