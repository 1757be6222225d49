"""Results against references: which belongs to which, on one grid, in any convention, with known scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here

from LDMSegLib import GENERATOR
from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.matching import find_predictions, find_references, match

AFFINE = np.diag([1.0, 1.0, 1.0, 1.0])


def lesion(shift: int = 0, et: int = 3) -> np.ndarray:
    """A cube of oedema around one of enhancing tumour, moved along x."""
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10 + shift : 24 + shift, 10:24, 10:24] = 2
    labels[14 + shift : 20 + shift, 14:20, 14:20] = et
    return labels


def save(path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def save_result(folder: Path, labels: np.ndarray, case: str, bundle: str = "tiny", convention: str | None = None) -> Path:
    """What `segment` leaves, as far as an evaluation looks at it."""
    save(folder / "labels.nii.gz", labels)
    record = {"generator": GENERATOR, "case": case, "bundle": {"name": bundle}, "label_convention": convention, "files": ["labels.nii.gz"]}
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["case"], row["region"]): row for row in csv.DictReader(path.open())}


@pytest.fixture
def evaluate(tiny_bundle, tmp_path, capsys):
    def run(prediction, reference, *more):
        arguments = ["--prediction", prediction, "--reference", reference, "--bundle", tiny_bundle, *more]
        return run_here(capsys, "evaluate", *arguments)

    return run


def test_a_cohort_is_scored_case_by_case_and_summed_up(evaluate, tmp_path):
    for case, shift in (("p1", 0), ("p2", 2), ("p10", 20)):
        save_result(tmp_path / "out" / case, lesion(shift if shift < 15 else 15), case)
        save(tmp_path / "truth" / case / f"{case}_seg.nii.gz", lesion())
        save(tmp_path / "truth" / case / f"{case}_t1c.nii.gz", lesion())
    ran = evaluate(tmp_path / "out", tmp_path / "truth", "-o", tmp_path / "m.csv")
    assert ran.code == 0 and ran.err == ""
    rows = rows_of(tmp_path / "m.csv")
    assert [case for case, region in rows if region == "WT"] == ["p1", "p2", "p10"]
    assert float(rows["p1", "ET"]["dice"]) == 1.0 and float(rows["p1", "ET"]["hd95_mm"]) == 0.0
    assert float(rows["p2", "WT"]["dice"]) == pytest.approx(12 / 14), "cubes of 14 moved by 2"
    assert float(rows["p2", "WT"]["hd95_mm"]) == pytest.approx(2.0, abs=0.01)
    assert float(rows["p10", "WT"]["dice"]) == 0.0 and float(rows["p10", "WT"]["lesionwise_dice"]) == 0.0
    summary = {row["region"]: row for row in csv.DictReader((tmp_path / "m_summary.csv").open())}
    assert float(summary["WT"]["dice_mean"]) == pytest.approx((1 + 12 / 14) / 3)
    assert float(summary["WT"]["dice_median"]) == pytest.approx(12 / 14)
    for said in ("LW Dice", "HD95 mm", "mean", "median", "p10"):
        assert said in ran.out
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["m.csv", "m_summary.csv", "out", "truth"]


def test_a_single_result_finds_its_reference_among_many(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p2")
    for case in ("p1", "p2", "p3"):
        save(tmp_path / "truth" / f"{case}-seg.nii.gz", lesion(0 if case == "p2" else 5))
    ran = evaluate(tmp_path / "out", tmp_path / "truth", "-o", tmp_path / "m.csv")
    assert ran.code == 0 and ran.err == "" and float(rows_of(tmp_path / "m.csv")["p2", "WT"]["dice"]) == 1.0


@pytest.mark.parametrize(("prediction", "reference"), [(4, 3), (3, 4), (4, 4)])
def test_4_is_taken_for_enhancing_tumour_where_the_convention_says_so(prediction, reference, evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(et=prediction), "p1", convention="brats2017" if prediction == 4 else None)
    save(tmp_path / "p1_seg.nii.gz", lesion(et=reference))
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "-o", tmp_path / "m.csv")
    assert ran.code == 0 and float(rows_of(tmp_path / "m.csv")["p1", "ET"]["dice"]) == 1.0


def cavity(et: bool) -> np.ndarray:
    """As BraTS 2024 labels after an operation: 4 is the cavity, and enhancing tumour (3) is not always there."""
    labels = lesion()
    labels[30:36, 30:36, 30:36] = 4
    return labels if et else np.where(labels == 3, 1, labels).astype(np.uint8)


def test_a_4_beside_3_anywhere_in_the_cohort_is_not_taken_for_enhancing_tumour(evaluate, tmp_path):
    for case, et in (("p1", True), ("p2", False)):
        save_result(tmp_path / "out" / case, np.where(cavity(et) == 4, 0, cavity(et)), case)
        save(tmp_path / "truth" / f"{case}_seg.nii.gz", cavity(et))
    ran = evaluate(tmp_path / "out", tmp_path / "truth")
    assert ran.code == 2 and "contradict each other" in ran.error and "--labels" in ran.error and "p1_seg.nii.gz" in ran.error
    for number, stated in enumerate(("brats2024", "NCR=1,ED=2,ET=3,background=4", "background=4, et=3,ncr=1,ed=2")):
        ran = evaluate(tmp_path / "out", tmp_path / "truth", "--labels", stated, "-o", tmp_path / f"{number}.csv")
        assert ran.code == 0 and "4 = background" in ran.out, ran.err
        rows = rows_of(tmp_path / f"{number}.csv")
        assert all(float(rows[case, region]["lesionwise_dice"]) == 1.0 for case in ("p1", "p2") for region in ("ET", "TC", "WT"))


def test_files_of_two_conventions_in_one_cohort_are_refused_and_one_of_each_is_named(evaluate, tmp_path):
    for case, et in (("p1", 3), ("p2", 4)):
        save_result(tmp_path / "out" / case, lesion(), case)
        save(tmp_path / "truth" / f"{case}_seg.nii.gz", lesion(et=et))
    ran = evaluate(tmp_path / "out", tmp_path / "truth")
    assert ran.code == 2 and "p1_seg.nii.gz" in ran.error and "p2_seg.nii.gz" in ran.error


def test_what_was_decided_is_printed_and_a_guess_is_told_as_one(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion(et=4))
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz")
    assert ran.code == 0 and "references: 1 = NCR, 2 = ED, 4 = ET (brats2017), decided over 1 file" in ran.out and "--labels" in ran.err
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "--labels", "brats2021", "--json-events")
    labels = json.loads(ran.out.splitlines()[-1])["labels"]
    assert labels["references"].startswith("1 = NCR, 2 = ED, 4 = ET") and labels["predictions"] == ["1 = NCR, 2 = ED, 3 = ET (bundle)"]


def test_a_cohort_decides_for_a_file_that_does_not_tell_itself(evaluate, tmp_path):
    """A map of another program without a 3 beside one with it, and empty ones: all are of one labelling."""
    for case, labels in (("p1", lesion()), ("p2", np.where(lesion() == 3, 0, lesion())), ("p3", lesion() * 0)):
        save(tmp_path / "other" / f"{case}.nii.gz", labels)
        save(tmp_path / "truth" / f"{case}.nii.gz", labels)
    ran = evaluate(tmp_path / "other", tmp_path / "truth")
    assert ran.code == 0 and ran.err == "" and "3 = ET (bundle), decided over 3 files" in ran.out


@pytest.mark.parametrize("wrong", ["brats1999", "NCR=1", "NCR=1,ED=1,ET=3", "NCR=1,ED=2,ET=3,XY=4", "NCR=1,ED=2,ET=999", "NCR=1,ED=2,ET="])
def test_a_statement_that_cannot_be_meant_is_refused_with_an_example(wrong, evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion())
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "--labels", wrong)
    assert ran.code == 2 and "--labels" in ran.error and ("ET=3" in ran.error or "add it" in ran.error)


def test_a_value_without_a_meaning_is_named_also_where_labels_are_stated(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion(et=4))
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "--labels", "bundle")
    assert ran.code == 2 and "p1_seg.nii.gz holds the value 4" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("mark", ["_dseg", "_segm", "-seg", "_Segmentation", "_labels", "_gt", "_ground_truth", "_masks", ".truth"])
def test_a_reference_is_known_by_any_mark_of_a_segmentation(mark, evaluate, tmp_path):
    save_result(tmp_path / "out" / "p1", lesion(), "p1")
    for name in (f"p1{mark}", "p1_t1c", "p1_brain_mask", "p1_brainmask"):
        save(tmp_path / "truth" / f"{name}.nii.gz", lesion())
    ran = evaluate(tmp_path / "out", tmp_path / "truth")
    assert ran.code == 0 and ran.err == "", ran.err


def test_bids_names_belong_to_their_subject_and_session(evaluate, tmp_path):
    save_result(tmp_path / "out" / "sub-01_ses-1", lesion(), "x")
    save(tmp_path / "truth" / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_space-T1w_label-tumor_dseg.nii.gz", lesion())
    assert evaluate(tmp_path / "out", tmp_path / "truth").code == 0


def test_one_result_and_one_reference_file_belong_together_whatever_they_are_called(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "case-1234abcd")
    save(tmp_path / "reader_two.nii.gz", lesion())
    assert evaluate(tmp_path / "out", tmp_path / "reader_two.nii.gz").code == 0


def test_a_label_nobody_knows_is_named_with_its_file(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion(et=17))
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz")
    assert ran.code == 2 and "p1_seg.nii.gz" in ran.error and "17" in ran.error


def test_an_empty_reference_is_a_reference(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion() * 0, "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion() * 0)
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "-o", tmp_path / "m.csv")
    assert ran.code == 0 and float(rows_of(tmp_path / "m.csv")["p1", "WT"]["lesionwise_dice"]) == 1.0


def test_axes_stored_in_another_order_are_the_same_grid(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    flipped = np.diag([-1.0, 1.0, 1.0, 1.0])
    flipped[0, 3] = 39.0
    save(tmp_path / "p1_seg.nii.gz", lesion()[::-1], flipped)
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "-o", tmp_path / "m.csv")
    assert ran.code == 0 and float(rows_of(tmp_path / "m.csv")["p1", "WT"]["dice"]) == 1.0


def test_another_grid_is_refused_and_both_files_are_named(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion(), np.diag([2.0, 2.0, 2.0, 1.0]))
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "-o", tmp_path / "m.csv")
    assert ran.code == 2 and "p1_seg.nii.gz" in ran.error and "labels.nii.gz" in ran.error and "another grid" in ran.error
    assert not (tmp_path / "m.csv").exists()


def test_what_has_no_counterpart_is_listed_and_the_exit_code_is_1(evaluate, tmp_path):
    for case in ("p1", "p2"):
        save_result(tmp_path / "out" / case, lesion(), case)
    for case in ("p1", "p3"):
        save(tmp_path / "truth" / f"{case}_seg.nii.gz", lesion())
    ran = evaluate(tmp_path / "out", tmp_path / "truth", "--json-events")
    last = json.loads(ran.out.splitlines()[-1])
    assert ran.code == 1 and last["without_reference"] == ["p2"] and last["without_prediction"] == ["p3"]
    assert {row["case"] for row in last["cases"]} == {"p1"}


def test_one_unreadable_case_of_a_cohort_does_not_stop_the_rest(evaluate, tmp_path):
    for case in ("p1", "p2"):
        save_result(tmp_path / "out" / case, lesion(), case)
        save(tmp_path / "truth" / f"{case}_seg.nii.gz", lesion())
    (tmp_path / "truth" / "p1_seg.nii.gz").write_bytes(b"nothing")
    ran = evaluate(tmp_path / "out", tmp_path / "truth", "-o", tmp_path / "m.csv")
    assert ran.code == 1 and "p1_seg.nii.gz is not a NIfTI file" in ran.err
    assert {case for case, _ in rows_of(tmp_path / "m.csv")} == {"p2"}


def test_label_maps_of_another_program_are_scored_too(evaluate, tmp_path):
    save(tmp_path / "nnunet" / "p1.nii.gz", lesion())
    save(tmp_path / "truth" / "p1.nii.gz", lesion())
    ran = evaluate(tmp_path / "nnunet", tmp_path / "truth", "-o", tmp_path / "m.csv")
    assert ran.code == 0 and float(rows_of(tmp_path / "m.csv")["p1", "TC"]["dice"]) == 1.0


def test_a_filter_scores_a_second_time_without_small_components(evaluate, tmp_path):
    stray = lesion()
    stray[35, 35, 35] = 2
    save_result(tmp_path / "out", stray, "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion())
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "--min-component", 10, "--json-events")
    rows = [row for row in json.loads(ran.out.splitlines()[-1])["cases"] if row["region"] == "WT"]
    assert [(row["filter_mm3"], row["lesionwise_dice"], row["false_positives"]) for row in rows] == [(0.0, 0.5, 1), (10.0, 1.0, 0)]


def test_a_table_that_is_there_is_replaced_only_when_asked(evaluate, tmp_path):
    save_result(tmp_path / "out", lesion(), "p1")
    save(tmp_path / "p1_seg.nii.gz", lesion())
    (tmp_path / "m.csv").write_text("mine")
    ran = evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "-o", tmp_path / "m.csv")
    assert ran.code == 2 and "m.csv" in ran.error and (tmp_path / "m.csv").read_text() == "mine"
    assert evaluate(tmp_path / "out", tmp_path / "p1_seg.nii.gz", "-o", tmp_path / "m.csv", "--overwrite").code == 0
    assert (tmp_path / "m.csv").read_text().startswith("case,region")


def test_cohort_folders_and_file_names_both_name_a_case(tmp_path):
    save(tmp_path / "a" / "001" / "seg.nii.gz", lesion())
    save(tmp_path / "a" / "002" / "x_segmentation.nii.gz", lesion())
    save(tmp_path / "a" / "002" / "x_t1.nii.gz", lesion())
    references = find_references(tmp_path)
    assert [reference.cases for reference in references] == [("a_001",), ("x", "a_002")]
    matched = match({"a_001": Path("1"), "a_002": Path("2")}, references, single=False)
    assert [pair.reference.parent.name for pair in matched.pairs] == ["001", "002"] and not matched.without_prediction


def test_two_references_for_one_case_and_none_at_all_are_errors(tmp_path):
    save(tmp_path / "a" / "p1_seg.nii.gz", lesion())
    save(tmp_path / "b" / "p1_label.nii.gz", lesion())
    with pytest.raises(InputError, match="could both be the reference of p1"):
        match({"p1": Path("1")}, find_references(tmp_path), single=True)
    with pytest.raises(InputError, match="no reference belongs to p9"):
        match({"p9": Path("1")}, find_references(tmp_path), single=True)
    with pytest.raises(InputError, match="holds no result"):
        find_predictions(tmp_path)
