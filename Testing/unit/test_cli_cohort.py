"""Many cases: each once, in a stable order, one failure on its own, and a table of what came out."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here
from tiny_bundle import SEQUENCES, save_raw_case

from LDMSegLib import GENERATOR
from LDMSegLib.cli.case_files import content_sha256, same_inputs
from LDMSegLib.cli.cohort import (
    DONE,
    FAILED,
    NOT_STARTED,
    PARTIAL,
    SKIPPED,
    finished,
    reject_same_names,
    run_cohort,
    summary_csv,
    take_shard,
)
from LDMSegLib.errors import Cancelled, InputError, OutputError
from LDMSegLib.events import Cancellation, Silent
from LDMSegLib.preprocessing import bias_field, pipeline
from LDMSegLib.preprocessing.registration import Registration

SETTINGS = {"sampling.seed": 0, "label_convention": None}
VOLUMES = "region,title,ensemble_ml,expected_ml,members,mean_ml,sd_ml,spread_low_ml,spread_high_ml,lowest_ml,highest_ml\n"


def write_result(folder: Path, partial: bool = False, seed: int = 0, files: tuple[str, ...] = ("volumes.csv",)) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "volumes.csv").write_text(VOLUMES + "WT,Whole,12.5,13,4,12,1,11,14,10,15\n")
    record = {"generator": GENERATOR, "partial": partial, "sampling": {"seed": seed}, "label_convention": None}
    (folder / "provenance.json").write_text(json.dumps(record | {"files": dict.fromkeys(files, "")}))
    return not partial


def cases(*names: str) -> list[tuple[str, Path]]:
    return [(name, Path("/in") / name) for name in names]


class Work:
    """Stands for segmenting: writes a result, or does what it is told for a case."""

    def __init__(self, **instead):
        self.calls, self.instead = [], instead

    def __call__(self, case, folder, target, overwrite):
        self.calls.append((case, overwrite))
        if case in self.instead:
            return self.instead[case](target)
        return write_result(target)


def raising(error: BaseException):
    def do(target):
        raise error

    return do


def run(names, output, work, overwrite=False, reporter=None, cancellation=None):
    given = cases(*names), output, work, SETTINGS, overwrite, reporter or Silent(), cancellation or Cancellation()
    return {outcome.case: outcome for outcome in run_cohort(*given)}


def test_one_failure_of_whatever_kind_does_not_stop_the_rest(tmp_path):
    told = []

    class Listener(Silent):
        def warning(self, message, **details):
            told.append(details["case"])

    work = Work(b=raising(InputError("b.nii.gz is damaged")), c=raising(ZeroDivisionError("float\ndivision")))
    outcomes = run("abcd", tmp_path, work, reporter=Listener())
    assert [outcome.status for outcome in outcomes.values()] == [DONE, FAILED, FAILED, DONE]
    assert outcomes["b"].message == "b.nii.gz is damaged"
    assert "ZeroDivisionError: float division" in outcomes["c"].message
    assert told == ["b", "c"]


def test_what_is_complete_is_not_done_again_and_what_is_partial_is(tmp_path):
    write_result(tmp_path / "whole")
    write_result(tmp_path / "half", partial=True)
    write_result(tmp_path / "robbed", files=("volumes.csv", "labels.nii.gz"))
    work = Work()
    outcomes = run(["whole", "half", "robbed", "new"], tmp_path, work)
    assert work.calls == [("half", True), ("robbed", True), ("new", False)]
    assert [outcome.status for outcome in outcomes.values()] == [SKIPPED, DONE, DONE, DONE]


def test_asked_to_overwrite_it_does_everything_again(tmp_path):
    write_result(tmp_path / "whole")
    work = Work()
    run(["whole"], tmp_path, work, overwrite=True)
    assert work.calls == [("whole", True)]


def test_a_result_of_other_settings_is_neither_taken_for_this_runs_nor_replaced(tmp_path):
    write_result(tmp_path / "a", seed=5)
    with pytest.raises(OutputError, match=r"another seed \(5, now 0\)"):
        finished(tmp_path / "a", SETTINGS)
    work = Work()
    outcomes = run("ab", tmp_path, work)
    assert [outcome.status for outcome in outcomes.values()] == [FAILED, DONE]
    assert work.calls == [("b", False)]


def test_a_cancelled_cohort_does_not_start_the_rest(tmp_path):
    cancellation = Cancellation()

    def stopped(target):
        cancellation.request()
        return write_result(target, partial=True)

    outcomes = run("abc", tmp_path, Work(b=stopped), cancellation=cancellation)
    assert [outcome.status for outcome in outcomes.values()] == [DONE, PARTIAL, NOT_STARTED]
    outcomes = run("xy", tmp_path, Work(x=raising(Cancelled("no member finished"))))
    assert outcomes["x"].status == NOT_STARTED


def test_shards_are_disjoint_complete_and_of_equal_size(tmp_path):
    names = [f"case_{i}" for i in range(1, 12)]
    parts = [take_shard(names, f"{k}/4")[0] for k in (1, 2, 3, 4)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert {len(part) for part in parts} == {2, 3}
    assert take_shard(names, "2/4") == (["case_2", "case_6", "case_10"], "_2_of_4")
    assert take_shard(names[:1], "3/16") == ([], "_3_of_16")


def test_the_summary_has_a_row_for_every_case_and_says_why_one_failed(tmp_path):
    outcomes = run("ab", tmp_path, Work(b=raising(InputError("damaged, truly"))))
    rows = list(csv.DictReader(io.StringIO(summary_csv(outcomes.values(), ["WT", "ET"]))))
    assert [(row["case"], row["status"], row["WT_ensemble_ml"], row["WT_spread_high_ml"]) for row in rows] == [
        ("a", "done", "12.5", "14"),
        ("b", "failed", "", ""),
    ]
    assert rows[0]["members"] == "4" and rows[0]["ET_ensemble_ml"] == "" and rows[1]["message"] == "damaged, truly"


def test_the_table_is_told_after_every_case_and_one_damaged_result_costs_the_others_nothing(tmp_path):
    write_result(tmp_path / "a")
    (tmp_path / "a" / "volumes.csv").write_bytes(b"region,\xff\xfe\x00")
    so_far = []
    given = cases("a", "b", "c"), tmp_path, Work(c=raising(InputError("broken"))), SETTINGS, False, Silent(), Cancellation()
    outcomes = run_cohort(*given, on_worked=lambda outcomes: so_far.append([outcome.status for outcome in outcomes]))
    assert so_far == [[SKIPPED, DONE], [SKIPPED, DONE, FAILED]]
    rows = list(csv.DictReader(io.StringIO(summary_csv(outcomes, ["WT"]))))
    assert [row["WT_ensemble_ml"] for row in rows] == ["", "12.5", ""]


def test_a_result_of_other_inputs_is_replaced_and_one_that_fails_again_says_that_the_old_one_is_still_there(tmp_path):
    told = []

    class Listener(Silent):
        def warning(self, message, **details):
            told.append(message)

    for name in "abc":
        write_result(tmp_path / name)
    work = Work(c=raising(InputError("c is broken now")))
    given = cases("a", "b", "c"), tmp_path, work, SETTINGS, False, Listener(), Cancellation()
    outcomes = run_cohort(*given, same=lambda record, case, folder: case == "a")
    assert work.calls == [("b", True), ("c", True)]
    assert [outcome.status for outcome in outcomes] == [SKIPPED, DONE, FAILED]
    assert "inputs changed" in outcomes[1].message and "replaced" in outcomes[1].message
    assert "c is broken now" in outcomes[2].message and f"earlier result still lies in '{tmp_path / 'c'}'" in outcomes[2].message
    assert sum("inputs changed" in message for message in told) == 3  # of b; of c before and after


def test_a_case_is_known_by_the_content_of_its_images_whatever_they_are_called(tmp_path):
    case = tmp_path / "case"
    (case / "series").mkdir(parents=True)
    for k in range(3):
        (case / "series" / f"{k}").write_bytes(bytes(128) + b"DICM" + bytes([k]))
    record = {"preparing": {"case_sha256": content_sha256(case)}, "inputs": []}
    (case / "report.pdf").write_bytes(b"%PDF")
    (case / "tumour_seg.nii.gz").write_bytes(b"a mask")
    (case / "series" / "2").rename(case / "other_name")
    assert same_inputs(record, case, SEQUENCES)
    (case / "other_name").write_bytes(bytes(128) + b"DICM" + bytes([9]))
    assert not same_inputs(record, case, SEQUENCES)
    (case / "other_name").unlink()
    assert not same_inputs(record, case, SEQUENCES)
    assert not same_inputs({}, case, SEQUENCES), "a result that does not say what it was made of is made again"


@pytest.fixture
def cohort(small_case, tmp_path) -> Path:
    """Three cases, of which the second is spoilt."""
    for name in ("p1", "p2", "p10"):
        shutil.copytree(small_case, tmp_path / "cohort" / name)
    (tmp_path / "cohort" / "p2" / "small_case_t1c.nii.gz").write_bytes(b"no image")
    return tmp_path / "cohort"


def test_a_cohort_from_the_command_line_is_done_once_and_its_failures_are_listed_at_the_end(cohort, tiny_bundle, tmp_path, capsys):
    options = ["--cohort", cohort, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1]
    ran = run_here(capsys, "segment", *options)
    assert ran.code == 1
    assert "2 done, 1 failed" in ran.out and "p2: " in ran.out and "small_case_t1c.nii.gz is not a NIfTI file" in ran.out
    assert sorted(entry.name for entry in (tmp_path / "out").iterdir()) == ["cohort_volumes.csv", "p1", "p10"]
    rows = list(csv.DictReader((tmp_path / "out" / "cohort_volumes.csv").open()))
    assert [row["case"] for row in rows] == ["p1", "p2", "p10"] and float(rows[0]["WT_ensemble_ml"]) > 0
    assert json.loads((tmp_path / "out" / "p10" / "provenance.json").read_text())["case"] == "p10"

    written = (tmp_path / "out" / "p1" / "labels.nii.gz").stat().st_mtime_ns
    shutil.copy(cohort / "p1" / "small_case_t1c.nii.gz", cohort / "p2" / "small_case_t1c.nii.gz")
    ran = run_here(capsys, "segment", *options, "--shard", "2/2", "--json-events")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0 and [case["case"] for case in events[-1]["cases"]] == ["p2"]
    assert (tmp_path / "out" / "cohort_volumes_2_of_2.csv").is_file()
    ran = run_here(capsys, "segment", *options, "--json-events")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0 and {case["status"] for case in events[-1]["cases"]} == {"already there"}
    assert not any(event.get("stage") == "load" for event in events), "with nothing to do no network is loaded"
    ran = run_here(capsys, "segment", *options, "--prepare", "never")
    assert ran.code == 1 and ran.out.count("made with another preparation (automatic, now never); add --overwrite") == 3
    assert (tmp_path / "out" / "p1" / "labels.nii.gz").stat().st_mtime_ns == written


def test_a_spoilt_bundle_ends_a_cohort_at_once(cohort, tiny_bundle, tmp_path, capsys):
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "spoilt"))
    (bundle / "models" / "model.safetensors").unlink()
    ran = run_here(capsys, "segment", "--cohort", cohort, "-o", tmp_path / "out", "--bundle", bundle)
    assert ran.code == 2 and "has no weights file" in ran.error


def test_a_folder_without_cases_is_named(tiny_bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    ran = run_here(capsys, "segment", "--cohort", tmp_path / "empty", "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and str(tmp_path / "empty") in ran.error and not (tmp_path / "out").exists()


def run_cohort_here(capsys, cohort, out, bundle, *more):
    ran = run_here(capsys, "segment", "--cohort", cohort, "-o", out, "--bundle", bundle, "--members", 1, *more)
    rows = list(csv.DictReader((out / "cohort_volumes.csv").open())) if (out / "cohort_volumes.csv").is_file() else []
    return ran, {row["case"]: (row["status"], row["message"]) for row in rows}


def test_corrected_files_are_segmented_again_and_it_is_said(small_case, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "out"
    for name in ("p1", "p2"):
        shutil.copytree(small_case, tmp_path / "cohort" / name)
    run_cohort_here(capsys, tmp_path / "cohort", out, tiny_bundle)
    before = {name: json.loads((out / name / "provenance.json").read_text()) for name in ("p1", "p2")}
    file = tmp_path / "cohort" / "p2" / "small_case_t1c.nii.gz"
    image = nib.load(file)
    array = np.asarray(image.dataobj).copy()
    changed = np.where(array > 0, array + 60 * (np.arange(array.shape[0]) > 18)[:, None, None], 0).astype(np.int16)
    nib.save(nib.Nifti1Image(changed, image.affine), file)
    nib.save(image, tmp_path / "cohort" / "p1" / "small_case_adc_map.nii.gz")  # belongs to no sequence
    ran, status = run_cohort_here(capsys, tmp_path / "cohort", out, tiny_bundle)
    assert ran.code == 0 and status["p1"] == (SKIPPED, "")
    assert status["p2"][0] == DONE and "inputs changed" in status["p2"][1] and "p2: the inputs changed" in ran.out + ran.err
    after = json.loads((out / "p2" / "provenance.json").read_text())
    assert after["inputs"] != before["p2"]["inputs"] and after["files"]["labels.nii.gz"] != before["p2"]["files"]["labels.nii.gz"]
    ran, status = run_cohort_here(capsys, tmp_path / "cohort", out, tiny_bundle)
    assert {one for one, _ in status.values()} == {SKIPPED}


@pytest.mark.parametrize("folders", [("P1/anat", "P1/nifti"), ("a/b", "a_b")])
def test_cases_that_would_have_one_result_are_refused_before_anything_is_done(folders, small_case, tiny_bundle, tmp_path, capsys):
    for folder in (*folders, "other"):
        shutil.copytree(small_case, tmp_path / "cohort" / folder)
    for more in ((), ("--shard", "1/3")):
        ran, _ = run_cohort_here(capsys, tmp_path / "cohort", tmp_path / "out", tiny_bundle, *more)
        assert ran.code == 2 and all(str(tmp_path / "cohort" / folder) in ran.error for folder in folders)
        assert not (tmp_path / "out").exists()


def test_names_that_only_some_disks_tell_apart_are_one_name():
    reject_same_names(cases("p1", "p2"))
    for pair in (("p1", "P1"), ("M\u00fcller", "Mu\u0308ller")):
        with pytest.raises(InputError, match="2 cases of the cohort would have their results in one folder"):
            reject_same_names(cases(*pair))


def test_one_brain_mask_is_not_put_on_every_patient_of_a_cohort(small_case, tiny_bundle, tmp_path, capsys):
    for name in ("p1", "p2"):
        shutil.copytree(small_case, tmp_path / "cohort" / name)
    (tmp_path / "mask.nii.gz").touch()
    ran, _ = run_cohort_here(capsys, tmp_path / "cohort", tmp_path / "out", tiny_bundle, "--brain-mask", tmp_path / "mask.nii.gz")
    assert ran.code == 2 and "one mask would be put on every patient" in ran.error and "{case}" in ran.error
    assert not (tmp_path / "out").exists()


def test_a_pattern_gives_every_patient_of_a_cohort_a_mask_of_his_own(tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "register", lambda *_: Registration(np.eye(4), 0.3, 1, 9.0))
    monkeypatch.setattr(bias_field, "ITERATIONS", (2,))
    for name in ("p1", "p2", "p3"):
        save_raw_case(tmp_path / "cohort" / name)
    mask = tmp_path / "cohort" / "p2" / "brain_mask.nii.gz"
    image = nib.load(mask)
    smaller = np.asarray(image.dataobj).copy()
    smaller[:, :, :12] = 0
    nib.save(nib.Nifti1Image(smaller, image.affine), mask)
    (tmp_path / "cohort" / "p3" / "brain_mask.nii.gz").unlink()
    for pattern in ("{folder}/brain_mask.nii.gz", f"{tmp_path}/cohort/{{case}}/brain_mask.nii.gz"):
        ran, status = run_cohort_here(capsys, tmp_path / "cohort", tmp_path / "out", tiny_bundle, "--brain-mask", pattern)
        assert ran.code == 1 and status["p3"][0] == FAILED and "of 'p3' does not exist" in status["p3"][1]
    assert status["p1"][0] == status["p2"][0] == SKIPPED, "named in another way it is the same mask"
    records = [json.loads((tmp_path / "out" / name / "provenance.json").read_text())["preparing"] for name in ("p1", "p2")]
    assert records[0]["brain_mask_sha256"] != records[1]["brain_mask_sha256"]
    nib.save(nib.Nifti1Image(smaller * 0 + 1, image.affine), mask)
    ran, status = run_cohort_here(capsys, tmp_path / "cohort", tmp_path / "out", tiny_bundle, "--brain-mask", pattern)
    assert status["p2"][0] == FAILED and "another brain mask sha256" in status["p2"][1]
