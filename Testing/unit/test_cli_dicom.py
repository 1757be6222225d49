"""DICOM studies through the command line: found out which series is which, segmented, prepared, and answered as DICOM SEG."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here
from dicom_files import change, change_anyhow, head, write_series
from tiny_bundle import small_affine, small_images

from LDMSegLib.preprocessing import registration

pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")
pytest.importorskip("pydicom", reason="pydicom is not installed: pip install pydicom")

TIMES = {
    "t1n": {"EchoTime": 10.0, "RepetitionTime": 500.0},
    "t1c": {"EchoTime": 10.0, "RepetitionTime": 500.0, "ContrastBolusAgent": "GADOLINIUM"},
    "t2w": {"EchoTime": 100.0, "RepetitionTime": 5000.0},
    "t2f": {"EchoTime": 120.0, "RepetitionTime": 9000.0, "InversionTime": 2500.0},
}
WORDS = {"t1n": "AX T1 PRE", "t1c": "AX T1 POST GD", "t2w": "AX T2 TSE", "t2f": "AX FLAIR"}


def sequences() -> dict[str, np.ndarray]:
    """One made-up brain in four contrasts, uint16 on a background of 0."""
    tissue = small_images(("t1c",))["t1c"]
    # T1 before and after contrast agent are so alike that grey values don't tell them apart.
    strength = {"t1n": 0, "t1c": 5, "t2w": 80, "t2f": 120}
    return {
        name: np.where(tissue > 0, np.rint(tissue + strength[name] * np.sin(tissue / 30)).clip(1), 0).astype(np.uint16) for name in WORDS
    }


def write_study(folder: Path, words: dict[str, str] | None = None, patients: dict[str, str] | None = None, **tags) -> Path:
    """Four stripped brains as four series 1 to 4, each in a folder of its own."""
    words, times = {**WORDS, **(words or {})}, {**TIMES, **tags}
    for number, (name, array) in enumerate(sequences().items(), start=1):
        patient = (patients or {}).get(name, "P1")
        write_series(folder / str(number), array, small_affine(), words[name], number, patient, **times[name])
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Not to be changed."""
    return write_study(tmp_path_factory.mktemp("dicom") / "study")


@pytest.fixture(scope="module")
def result(study, tiny_bundle, tmp_path_factory) -> Path:
    from LDMSegLib.cli.entry_point import main

    pytest.importorskip("highdicom", reason="highdicom is not installed: pip install highdicom")
    out = tmp_path_factory.mktemp("out") / "result"
    assert main([str(part) for part in ("segment", study, "-o", out, "--bundle", tiny_bundle, "--members", 1, "--dicom-seg")]) == 0
    return out


def record(folder: Path) -> dict:
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))


def test_a_study_is_segmented_as_the_same_images_in_nifti_are(result, tiny_bundle, tmp_path, capsys):
    case = tmp_path / "case"
    case.mkdir()
    for name, array in sequences().items():
        nib.save(nib.Nifti1Image(array, small_affine()), case / f"case_{name}.nii.gz")
    assert run_here(capsys, "segment", case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1).code == 0
    for name in ("labels", "probability_WT"):
        ours, theirs = (nib.as_closest_canonical(nib.load(folder / f"{name}.nii.gz")) for folder in (result, tmp_path / "out"))
        np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-3)
        np.testing.assert_allclose(np.asarray(ours.dataobj), np.asarray(theirs.dataobj), atol=0.01)


def test_the_provenance_names_series_and_files_of_every_sequence(study, result):
    inputs = {one["sequence"]: one for one in record(result)["inputs"]}
    assert set(inputs) == set(WORDS)
    assert inputs["t1c"]["series"] == 'series 2 "AX T1 POST GD"'
    assert len(inputs["t1c"]["files"]) == 30 and len({one["sha256"] for one in inputs.values()}) == 4
    assert "P1" not in json.dumps(inputs), "the patient's ID is nobody's business"


def test_nothing_but_the_dicom_seg_leads_to_the_patient(study, tiny_bundle, tmp_path, capsys):
    folder = shutil.copytree(study, tmp_path / "archive" / "DOE^JANE 19600203")
    for file in (folder / "3").iterdir():
        change(file, SeriesDescription="SE 3", SeriesNumber=None)  # a guess, and a series without a number
    (folder / "5").mkdir()
    for file in write_series(folder / "5", head((20, 24, 9)), np.diag([4.0, 4, 4, 1]), "AX T2 OLD", 5, **TIMES["t2w"])[3:5]:
        file.unlink()
    out = tmp_path / "out"
    ran = run_here(capsys, "segment", folder, "-o", out, "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0, ran.err
    texts = [file.read_bytes() for file in out.iterdir()]
    for leading in ("DOE", "JANE", "19600203", str(tmp_path), "archive", "SYNTHETIC^", "1.2.826."):
        assert not any(leading.encode() in text for text in texts), leading
    case = record(out)["case"]
    assert case.startswith("study-") and record(out)["warnings"]
    again = run_here(capsys, "segment", folder, "-o", tmp_path / "again", "--bundle", tiny_bundle, "--members", 1)
    assert again.code == 0 and record(tmp_path / "again")["case"] == case, "the same study is called the same"
    named = run_here(capsys, "segment", folder, "-o", tmp_path / "named", "--bundle", tiny_bundle, "--members", 1, "--case-id", "sub-007")
    assert named.code == 0 and record(tmp_path / "named")["case"] == "sub-007"


def test_the_dicom_seg_holds_the_label_map_and_refers_to_the_reference_series(study, result):
    import highdicom

    from LDMSegLib.io.dicom_series import read_dicom_folder

    series = read_dicom_folder(study / "2")[0]
    seg = highdicom.seg.segread(result / "segmentation.dcm")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series.uid
    uids = [one.instance.split("#")[0] for one in series.grid.slices]
    frames = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    labels = np.asarray(nib.load(result / "labels.nii.gz").dataobj)
    assert labels.any() and np.array_equal(np.asarray(frames).transpose(2, 1, 0), labels)
    assert "segmentation.dcm" in record(result)["files"]


def test_prepare_takes_a_study(study, tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(registration, "LEVELS", registration.LEVELS[:1])  # voxels of 4 mm need no finer search
    ran = run_here(capsys, "prepare", study, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 0, ran.err
    case = record(tmp_path / "out")["case"]
    assert {f"{case}_{name}.nii.gz" for name in WORDS} < {file.name for file in (tmp_path / "out").iterdir()}
    assert {one["series"] for one in record(tmp_path / "out")["inputs"]} == {f'series {k} "{w}"' for k, w in enumerate(WORDS.values(), 1)}


def test_a_guess_is_told_as_a_guess_with_its_reason_and_a_series_with_a_problem_is_named(tiny_bundle, tmp_path, capsys):
    folder = write_study(tmp_path / "study", {"t2w": "SE 3"})
    for file in write_series(folder / "5", head((20, 24, 9)), np.diag([4.0, 4, 4, 1]), "AX T2 OLD", 5, **TIMES["t2w"])[3:5]:
        file.unlink()
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0, ran.err
    said = record(tmp_path / "out")["warnings"]
    assert any(w.startswith('series 3 "SE 3" is taken for t2w (likely): ') and "check it" in w for w in said), said
    assert any(w.startswith('series 5 "AX T2 OLD" in') for w in said), said
    assert all(w in ran.err for w in said)


def test_series_of_different_patients_are_refused_without_their_names(tiny_bundle, tmp_path, capsys):
    folder = write_study(tmp_path / "study", patients={"t2f": "STRANGER"})
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and "different patients" in ran.error and "STRANGER" not in ran.error
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_told_is_asked_and_the_answer_is_a_series_number(tiny_bundle, tmp_path, capsys):
    same = {"t1n": TIMES["t1n"], "t1c": TIMES["t1n"]}
    folder = write_study(tmp_path / "study", {"t1n": "AX T1", "t1c": "AX T1 SE"}, **same)
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and "--t1n and --t1c" in ran.error and "number of its series" in ran.error
    arguments = ("segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    ran = run_here(capsys, *arguments, "--t1c", 9)
    assert ran.code == 2 and "there are 1, 2, 3, 4" in ran.error
    ran = run_here(capsys, *arguments, "--t1c", 1)
    assert ran.code == 0, ran.err
    inputs = {one["sequence"]: one["series"] for one in record(tmp_path / "out")["inputs"]}
    assert inputs["t1c"] == 'series 1 "AX T1"' and inputs["t1n"] == 'series 2 "AX T1 SE"'


def test_a_sequence_that_is_missed_because_its_series_is_damaged_is_told_with_the_damage(study, tiny_bundle, tmp_path, capsys):
    folder = shutil.copytree(study, tmp_path / "study")
    for name in ("3_010", "3_011"):
        (folder / "3" / name).unlink()
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and "T2 (t2w)" in ran.error and 'series 3 "AX T2 TSE"' in ran.error
    assert not (tmp_path / "out").exists()


def test_a_dicom_seg_of_nifti_images_is_refused_before_anything_is_computed(small_case, tiny_bundle, tmp_path, capsys):
    arguments = ("segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--dicom-seg")
    ran = run_here(capsys, *arguments)
    assert ran.code == 2 and "t1c is not from DICOM" in ran.err.splitlines()[-1]
    ran = run_here(capsys, "segment", "--cohort", small_case.parent, *arguments[2:])
    assert ran.code == 2 and "--dicom-seg was given with --cohort" in ran.error
    assert not (tmp_path / "out").exists()


def test_without_highdicom_the_extra_is_named_before_anything_is_computed(study, tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    ran = run_here(capsys, "segment", study, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--dicom-seg")
    assert ran.code == 2 and "ldmseg[dicom]" in ran.err.splitlines()[-1] and not (tmp_path / "out").exists()


def segment_with_seg(study, bundle, out, capsys, *more):
    return run_here(capsys, "segment", study, "-o", out, "--bundle", bundle, "--members", 1, "--dicom-seg", *more)


def test_a_dicom_seg_that_fails_at_the_end_leaves_the_rest_of_the_result_and_says_why(study, tiny_bundle, tmp_path, capsys, monkeypatch):
    from LDMSegLib.io.dicom_seg import DicomSegWriter

    def fail(self, stored, key):
        if stored.any():
            raise KeyError("P1 SECRET")
        return b""

    monkeypatch.setattr(DicomSegWriter, "_content", fail)
    ran = segment_with_seg(study, tiny_bundle, tmp_path / "out", capsys)
    assert ran.code == 0 and "segmentation.dcm was not written" in ran.err and "SECRET" not in ran.err
    assert (tmp_path / "out" / "labels.nii.gz").exists() and not (tmp_path / "out" / "segmentation.dcm").exists()
    assert any("segmentation.dcm was not written" in warning for warning in record(tmp_path / "out")["warnings"])


def test_headers_that_forbid_a_dicom_seg_are_told_before_sampling_and_the_rest_is_written(study, tiny_bundle, tmp_path, capsys):
    pytest.importorskip("highdicom", reason="highdicom is not installed: pip install highdicom")
    folder = shutil.copytree(study, tmp_path / "study")
    for file in (folder / "2").iterdir():
        change_anyhow(file, AccessionNumber="ACCESSION-NUMBER-TOO-LONG")
    ran = segment_with_seg(folder, tiny_bundle, tmp_path / "out", capsys, "--json-events")
    events = [json.loads(line) for line in ran.out.splitlines()]
    said = next(k for k, e in enumerate(events) if e["event"] == "warning" and "segmentation.dcm will not be written" in e["message"])
    assert said < next(k for k, e in enumerate(events) if e.get("stage") == "sample")
    assert ran.code == 0 and "AccessionNumber has 25 characters" in events[said]["message"]
    assert "TOO-LONG" not in ran.out and (tmp_path / "out" / "labels.nii.gz").exists()
    assert events[said]["message"] in record(tmp_path / "out")["warnings"]


def test_headers_with_gaps_do_not_cost_the_result_and_a_second_run_makes_no_second_series(study, tiny_bundle, tmp_path, capsys):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom", reason="highdicom is not installed: pip install highdicom")
    folder = shutil.copytree(study, tmp_path / "study")
    for file in (folder / "2").iterdir():
        change(file, AccessionNumber=None, StudyID=None, StudyDate=None, PatientBirthDate=None, FrameOfReferenceUID=None)
        change_anyhow(file, StudyTime="10:11:12", SliceThickness="0")
    written = []
    for out in ("out", "again"):
        ran = segment_with_seg(folder, tiny_bundle, tmp_path / out, capsys)
        assert ran.code == 0 and "SliceThickness taken from the distance between slices" in ran.err, ran.err
        written.append(pydicom.dcmread(tmp_path / out / "segmentation.dcm"))
    one, two = written
    assert (one.SeriesInstanceUID, one.SOPInstanceUID) == (two.SeriesInstanceUID, two.SOPInstanceUID)
    assert segment_with_seg(folder, tiny_bundle, tmp_path / "other", capsys, "--seed", 5).code == 0
    assert pydicom.dcmread(tmp_path / "other" / "segmentation.dcm").SeriesInstanceUID != one.SeriesInstanceUID


def test_regions_become_segments_where_asked_for_and_a_wrong_name_is_refused(study, tiny_bundle, tmp_path, capsys):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom", reason="highdicom is not installed: pip install highdicom")
    arguments = ("segment", study, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    ran = run_here(capsys, *arguments, "--dicom-seg-regions", "WT,XY")
    assert ran.code == 2 and "'XY'" in ran.error and "WT" in ran.error
    assert run_here(capsys, *arguments, "--dicom-seg-regions", "WT,TC").code == 0
    seg = pydicom.dcmread(tmp_path / "out" / "segmentation.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["NCR", "ED", "ET", "TC", "WT"]


def test_an_unreadable_pixel_names_its_series(study, tiny_bundle, tmp_path, capsys):
    folder = shutil.copytree(study, tmp_path / "study")
    change(folder / "4" / "4_005", PixelData=b"\0" * 10)
    ran = run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and 'series 4 "AX FLAIR" has damaged' in ran.error


def test_a_cohort_takes_dicom_studies_and_nifti_cases_alike(study, small_case, tiny_bundle, tmp_path, capsys):
    cohort = tmp_path / "cohort"
    shutil.copytree(study, cohort / "patient_2" / "2024-05-01")
    shutil.copytree(small_case, cohort / "patient_10")
    (cohort / "notes").mkdir()
    (cohort / "notes" / "list.txt").write_text("nothing to segment")
    arguments = ("segment", "--cohort", cohort, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1, "--json-events")
    ran = run_here(capsys, *arguments)
    assert ran.code == 0, ran.err
    cases = json.loads(ran.out.splitlines()[-1])["cases"]
    assert [(case["case"], case["status"]) for case in cases] == [("patient_2", "done"), ("patient_10", "done")]
    inputs = {one["sequence"]: one["series"] for one in record(tmp_path / "out" / "patient_2")["inputs"]}
    assert inputs["t2f"] == 'series 4 "AX FLAIR"'
    assert record(tmp_path / "out" / "patient_2")["case"].startswith("study-"), "the folder of an archive may bear a patient's name"
    assert record(tmp_path / "out" / "patient_10")["case"] == "patient_10"
    assert all("series" not in one for one in record(tmp_path / "out" / "patient_10")["inputs"])


def test_a_study_of_a_cohort_that_cannot_be_told_fails_alone_with_its_question(study, tiny_bundle, tmp_path, capsys):
    shutil.copytree(study, tmp_path / "cohort" / "clear")
    write_study(tmp_path / "cohort" / "unclear", {"t1n": "AX T1", "t1c": "AX T1 SE"}, t1n=TIMES["t1n"], t1c=TIMES["t1n"])
    ran = run_here(capsys, "segment", "--cohort", tmp_path / "cohort", "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 1 and "1 done, 1 failed" in ran.out and "unclear: " in ran.out and "--t1n and --t1c" in ran.out
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"clear", "cohort_volumes.csv"}
