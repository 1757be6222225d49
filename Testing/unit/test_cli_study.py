"""Studies as archives hand them over: cut short, mixed, with foreign files and broken identifiers. Told, or refused with the true cause."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from commandline import run_here
from dicom_files import change, head, write_series
from pydicom.uid import generate_uid
from test_cli_dicom import TIMES, WORDS, record, sequences, write_study
from tiny_bundle import small_affine

from LDMSegLib.preprocessing import registration

pytest.importorskip("pydicom", reason="pydicom is not installed: pip install pydicom")


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_study(tmp_path / "study")


@pytest.fixture
def segment(tiny_bundle, tmp_path, capsys, monkeypatch):
    """Run `ldmseg segment` on a folder: one member, and of the registration the coarse level, since voxels of 4 mm need no finer search."""
    monkeypatch.setattr(registration, "LEVELS", registration.LEVELS[:1])

    def run(case: Path, *more: object):
        arguments = ("segment", case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1, *more)
        return run_here(capsys, *arguments)

    return run


def files_of(folder: Path, number: int) -> list[Path]:
    return sorted((folder / str(number)).iterdir())


def edit(files: list[Path], **tags) -> None:
    for file in files:
        change(file, **tags)


def said(tmp_path: Path) -> list[str]:
    return record(tmp_path / "out")["warnings"]


def one(warnings: list[str], *words: str) -> str:
    found = [w for w in warnings if all(word in w for word in words)]
    assert len(found) == 1, warnings
    return found[0]


@pytest.mark.parametrize(("kept", "end"), [(slice(0, 22), "top"), (slice(8, None), "bottom")])
def test_a_series_that_lacks_its_last_or_first_slices_is_told_by_the_others(folder, segment, tmp_path, kept, end):
    files = files_of(folder, 2)
    for file in set(files) - set(files[kept]):
        file.unlink()
    ran = segment(folder)
    assert ran.code == 0, ran.err
    warning = one(said(tmp_path), "t1c ends 32 mm before the other sequences do", f"at the {end}")
    assert warning in ran.err
    assert any("t1c shows" in w and "of the brain" in w for w in said(tmp_path))
    assert any('series 2 "AX T1 POST GD" has images numbered from 9 on' in w for w in said(tmp_path)) == (end == "bottom")


def test_a_whole_study_is_not_suspected(folder, segment, tmp_path):
    assert segment(folder).code == 0
    assert not [w for w in said(tmp_path) if "missing" in w or "different" in w or "passed over" in w], said(tmp_path)


def test_every_second_slice_missing_is_refused_by_number_and_spacing(folder, segment):
    for file in files_of(folder, 2)[1::2]:
        file.unlink()
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 2 "AX T1 POST GD" in') and "only every second slice" in ran.error


def test_every_second_slice_missing_of_a_renumbered_series_is_told_by_its_spacing(folder, segment, tmp_path):
    files = files_of(folder, 2)
    for file in files[1::2]:
        file.unlink()
    for k, file in enumerate(files[::2]):
        change(file, InstanceNumber=k + 1)
    assert segment(folder).code == 0
    one(said(tmp_path), 'series 2 "AX T1 POST GD" has slices 8.0 mm apart, and 4.0 mm by its header')


def test_fewer_images_than_the_header_counts_are_refused(folder, segment):
    edit(files_of(folder, 3), NumberOfSeriesRelatedInstances=30)
    files_of(folder, 3)[-1].unlink()
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 3 "AX T2 TSE" in') and "29 of the 30 images" in ran.error


def test_foreign_and_damaged_files_are_passed_over_with_a_line(folder, segment, tmp_path):
    images = files_of(folder, 1)
    plan = pydicom.dcmread(images[0])
    for name in ("Rows", "Columns", "PixelData"):
        delattr(plan, name)
    for kind, modality in (("481.3", "RTSTRUCT"), ("481.5", "RTPLAN"), ("104.1", "DOC")):
        plan.SOPClassUID = plan.file_meta.MediaStorageSOPClassUID = f"1.2.840.10008.5.1.4.1.1.{kind}"
        plan.SOPInstanceUID, plan.SeriesInstanceUID, plan.Modality, plan.SeriesNumber = generate_uid(), generate_uid(), modality, 90
        plan.save_as(folder / f"{modality}.dcm", enforce_file_format=True)
    (folder / "junk.dcm").write_bytes(np.random.default_rng(0).bytes(4000))
    (folder / "cut.dcm").write_bytes(b"\0" * 128 + b"DICM" + np.random.default_rng(1).bytes(40))
    (folder / "notes.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "empty.dcm").write_bytes(b"")
    ran = segment(folder)
    assert ran.code == 0, ran.err
    line = one(said(tmp_path), "passed over in the folder")
    for what in ("RTSTRUCT", "RTPLAN", "PDF", "damaged DICOM", "junk.dcm", "empty.dcm"):
        assert what in line, line
    assert line in ran.err


def test_a_screenshot_among_the_images_of_a_series_is_passed_over(folder, segment, tmp_path):
    shot = pydicom.dcmread(files_of(folder, 2)[0])
    shot.SOPClassUID = shot.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    shot.SOPInstanceUID = generate_uid()
    del shot.ImagePositionPatient
    shot.save_as(folder / "2" / "shot", enforce_file_format=True)
    assert segment(folder).code == 0
    assert "2/shot" in one(said(tmp_path), "passed over")


def test_a_damaged_file_of_a_series_that_is_needed_is_the_first_thing_said(folder, segment):
    file = files_of(folder, 2)[-1]
    item = pydicom.dcmread(file)
    for name in ("Rows", "PixelData"):
        delattr(item, name)
    item.save_as(file, enforce_file_format=True)
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 2 "AX T1 POST GD" in') and file.name in ran.error


def test_a_damaged_series_that_nobody_needs_stops_nothing(folder, segment, tmp_path):
    tissue = sequences()["t2w"]
    for file in write_series(folder / "7", tissue, small_affine(), "DTI", 7)[:20]:
        file.write_bytes(file.read_bytes()[:600])
    assert segment(folder).code == 0, said(tmp_path)


def other_study(folder: Path, day: str = "20180501", names=tuple(WORDS), first: int = 11) -> None:
    """Another examination of the patient in the same folder, of sequences with thinner slices."""
    uid, frame = generate_uid(), generate_uid()
    affine = small_affine() @ np.diag([1.0, 1.0, 0.5, 1.0])
    for number, (name, array) in enumerate(sequences().items(), start=first):
        if name in names:
            tags = {**TIMES[name], "StudyInstanceUID": uid, "FrameOfReferenceUID": frame, "StudyDate": day}
            write_series(folder / str(number), array.repeat(2, axis=2), affine, WORDS[name], number, **tags)


def date(folder: Path, day: str = "20200314") -> None:
    for number in range(1, 5):
        edit(files_of(folder, number), StudyDate=day)


def test_an_older_study_with_finer_images_in_the_folder_lends_nothing(folder, segment, tmp_path):
    date(folder)
    other_study(folder, names=("t2w", "t2f"))
    ran = segment(folder)
    assert ran.code == 0, ran.err
    assert [one["series"] for one in record(tmp_path / "out")["inputs"]] == [f'series {k} "{w}"' for k, w in enumerate(WORDS.values(), 1)]
    warning = one(said(tmp_path), "are not used: another study")
    assert "2018-05-01" in warning and "2020-03-14" in warning and 'series 13 "AX T2 TSE"' in warning


def test_two_whole_studies_are_a_question_and_a_series_number_answers_it(folder, segment, tmp_path):
    date(folder)
    other_study(folder)
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith("the folder holds 2 studies with the same sequences") and "2018-05-01" in ran.error
    ran = segment(folder, "--t1c", 12)
    assert ran.code == 0, ran.err
    assert {one["series"].split()[1] for one in record(tmp_path / "out")["inputs"]} == {"11", "12", "13", "14"}


def test_sequences_of_two_studies_that_complete_each_other_are_told_with_both_dates(folder, segment, tmp_path):
    date(folder)
    for number in (3, 4):
        edit(files_of(folder, number), StudyDate="20180501", StudyInstanceUID=generate_uid(entropy_srcs=["older"]))
    ran = segment(folder)
    assert ran.code == 0, ran.err
    warning = one(said(tmp_path), "2 different studies")
    assert "t1n and t1c of 2020-03-14" in warning and "t2w and t2f of 2018-05-01" in warning and warning in ran.err


def test_another_day_within_one_study_is_told_and_midnight_is_not(folder, segment, tmp_path):
    date(folder)
    edit(files_of(folder, 4), AcquisitionDate="20200401")
    edit(files_of(folder, 3), AcquisitionDate="20200315")
    assert segment(folder).code == 0
    warning = one(said(tmp_path), "different days")
    assert "2020-04-01" in warning


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"PatientBirthDate": "19900101"}, "birth dates"),
        ({"PatientName": "ROE^RICHARD"}, "names"),
    ],
)
def test_one_id_with_another_birth_date_or_name_is_another_patient(folder, segment, tags, what):
    for number in range(1, 5):
        edit(files_of(folder, number), PatientBirthDate="19500707", PatientName="DOE^JANE")
    edit(files_of(folder, 4), **tags)
    ran = segment(folder)
    assert ran.code == 2 and "different patients" in ran.error and what in ran.error
    assert "1990" not in ran.error and "1950" not in ran.error and "ROE" not in ran.error and "DOE" not in ran.error


def test_a_name_that_is_merely_written_differently_is_told(folder, segment, tmp_path):
    for number in range(1, 5):
        edit(files_of(folder, number), PatientName="DOE^JANE")
    edit(files_of(folder, 4), PatientName="Doe^Jane Mary")
    assert segment(folder).code == 0
    assert "Jane" not in one(said(tmp_path), "differently written patient names")


def test_a_slab_with_thinner_slices_loses_against_the_whole_head(folder, segment, tmp_path):
    thin = small_affine() @ np.diag([1.0, 1.0, 0.5, 1.0])
    thin[:3, 3] += [0, 0, 10]
    write_series(folder / "5", np.repeat(sequences()["t2w"], 2, axis=2)[:, :, 10:48], thin, "T2 TSE THIN", 5, **TIMES["t2w"])
    ran = segment(folder)
    assert ran.code == 0, ran.err
    assert record(tmp_path / "out")["inputs"][2]["series"] == 'series 3 "AX T2 TSE"'
    warning = one(said(tmp_path), 'series 5 "T2 TSE THIN" is not used as t2w')
    assert "covers 76 mm" in warning and 'series 3 "AX T2 TSE" 120 mm' in warning


def test_a_series_of_another_frame_of_reference_loses_against_those_of_one(folder, segment, tmp_path):
    thin = small_affine() @ np.diag([1.0, 1.0, 0.5, 1.0])
    tags = {**TIMES["t2w"], "FrameOfReferenceUID": generate_uid()}
    write_series(folder / "5", np.repeat(sequences()["t2w"], 2, axis=2), thin, "T2 AGAIN", 5, **tags)
    assert segment(folder).code == 0
    one(said(tmp_path), 'series 5 "T2 AGAIN"', "another frame of reference")


def test_brains_whose_headers_do_not_say_how_they_lie_to_each_other_are_told(folder, segment, tmp_path):
    edit(files_of(folder, 4), FrameOfReferenceUID=generate_uid())
    assert segment(folder).code == 0
    one(said(tmp_path), "t1n, t1c and t2w and t2f have different frames of reference")


def test_equal_times_say_nothing_about_before_and_after(folder, segment, tmp_path):
    change_words = {"t1n": "AX T1", "t1c": "AX T1 POST GD"}
    shutil.rmtree(folder)
    write_study(folder, change_words)
    for number in range(1, 5):
        edit(files_of(folder, number), AcquisitionTime="101500")
    assert segment(folder).code == 0
    assert record(tmp_path / "out")["inputs"][0]["series"] == 'series 1 "AX T1"'


def test_what_is_not_used_is_named_with_the_reason(folder, segment, tmp_path):
    fine = sequences()["t2w"].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    write_series(folder / "5", fine, small_affine() @ np.diag([0.5, 0.5, 0.5, 1]), "T2 FINE", 5, **TIMES["t2w"])
    write_series(folder / "6", sequences()["t2w"], small_affine(), "DWI ADC", 6)
    assert segment(folder).code == 0
    unused = {entry["name"]: entry["reason"] for entry in record(tmp_path / "out")["identification"]["unused"]}
    assert "finer" in unused['series 3 "AX T2 TSE"'] and "diffusion" in unused['series 6 "DWI ADC"']


def test_a_series_uid_for_each_slice_is_the_first_thing_said_and_said_once(folder, segment):
    for file in files_of(folder, 2):
        change(file, SeriesInstanceUID=generate_uid())
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 2 "AX T1 POST GD" in')
    assert "30 images that bear a SeriesInstanceUID each" in ran.error and ran.error.count("SeriesInstanceUID") == 1


def test_one_series_uid_for_all_series_is_the_first_thing_said(folder, segment):
    uid = generate_uid()
    for number in range(1, 5):
        edit(files_of(folder, number), SeriesInstanceUID=uid)
    ran = segment(folder)
    assert ran.code == 2 and "shares its SeriesInstanceUID with others (4 series" in ran.error.split(";")[0]


def test_equal_instance_uids_are_the_first_thing_said(folder, segment):
    edit(files_of(folder, 2), SOPInstanceUID=generate_uid())
    ran = segment(folder)
    assert (
        ran.code == 2
        and ran.error.startswith('series 2 "AX T1 POST GD" in')
        and "30 different images that share a SOPInstanceUID" in ran.error
    )


def test_a_missing_slice_is_the_first_thing_said_without_a_hint_at_another_series(folder, segment):
    files_of(folder, 2)[12].unlink()
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 2 "AX T1 POST GD" in') and "lacks 1 slice(s)" in ran.error
    assert "--t1c 1" not in ran.error


def test_pixels_that_had_to_be_looked_at_and_are_damaged_are_the_first_thing_said(folder, segment):
    for number in (1, 2):
        for file in files_of(folder, number):
            item = pydicom.dcmread(file)
            item.SeriesDescription = "AX T1"
            if "ContrastBolusAgent" in item:
                del item.ContrastBolusAgent
            item.save_as(file, enforce_file_format=True)
    change(files_of(folder, 2)[5], PixelData=b"\0" * 10)
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 2 "AX T1" has damaged'), ran.error


def test_a_stray_image_file_below_a_study_does_not_hide_it(folder, segment, tmp_path):
    (folder / "derived").mkdir()
    nib.save(nib.Nifti1Image(sequences()["t1c"], small_affine()), folder / "derived" / "case_t1c.nii.gz")
    ran = segment(folder)
    assert ran.code == 0, ran.err
    assert len(record(tmp_path / "out")["inputs"]) == 4 and record(tmp_path / "out")["inputs"][0]["series"]
    one(said(tmp_path), "1 image file(s) beside the DICOM series were not read", "case_t1c.nii.gz")


def test_a_stray_image_file_does_not_hide_a_study_of_a_cohort(folder, tiny_bundle, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "cohort" / "p1")
    (tmp_path / "cohort" / "p1" / "derived").mkdir()
    nib.save(nib.Nifti1Image(sequences()["t1c"], small_affine()), tmp_path / "cohort" / "p1" / "derived" / "case_t1c.nii.gz")
    arguments = ("segment", "--cohort", tmp_path / "cohort", "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    ran = run_here(capsys, *arguments)
    assert ran.code == 0 and "1 done" in ran.out, ran.err
    assert record(tmp_path / "out" / "p1")["inputs"][0]["series"] == 'series 1 "AX T1 PRE"'


def test_slicers_own_formats_are_read(segment, tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")
    case = tmp_path / "case"
    case.mkdir()
    for (name, array), ending in zip(sequences().items(), ("nrrd", "mha", "nii.gz", "nrrd"), strict=True):
        nib.save(nib.Nifti1Image(array, small_affine()), tmp_path / "one.nii.gz")
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "one.nii.gz")), str(case / f"case_{name}.{ending}"))
    ran = segment(case)
    assert ran.code == 0, ran.err
    np.testing.assert_allclose(nib.load(tmp_path / "out" / "labels.nii.gz").affine, small_affine(), atol=1e-4)


def test_without_simpleitk_slicers_formats_are_refused_by_name(tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    for name in WORDS:
        (tmp_path / f"case_{name}.nrrd").write_bytes(b"NRRD0004\n")
    ran = run_here(capsys, "segment", *sorted(tmp_path.glob("*.nrrd")), "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and ".nrrd (NRRD" in ran.error and "SimpleITK" in ran.error and "pip install SimpleITK" in ran.error


@pytest.mark.parametrize(("axis", "way"), [(0, "left to right"), (1, "front to back")])
def test_a_header_whose_axis_points_the_wrong_way_is_named_as_mirrored(folder, segment, axis, way):
    for file in files_of(folder, 4):
        directions = [float(v) for v in pydicom.dcmread(file).ImageOrientationPatient]
        directions[3 * axis : 3 * axis + 3] = [-v for v in directions[3 * axis : 3 * axis + 3]]
        change(file, ImageOrientationPatient=directions)
    ran = segment(folder)
    assert ran.code == 2 and f"t2f (t2f) is mirrored {way} against t1c" in ran.err.splitlines()[-1], ran.err


def test_an_image_mirrored_where_it_lies_is_named_as_mirrored(folder, segment):
    flair = sequences()["t2f"]
    shutil.rmtree(folder / "4")
    write_series(folder / "4", np.ascontiguousarray(flair[::-1]), small_affine(), WORDS["t2f"], 4, **TIMES["t2f"])
    ran = segment(folder)
    assert ran.code == 2 and "t2f (t2f) is mirrored left to right against t1c" in ran.err.splitlines()[-1], ran.err


def test_a_localizer_is_no_warning_and_is_listed_as_not_used(folder, segment, tmp_path):
    write_series(folder / "90", head((24, 24, 3)), np.diag([10.0, 10, 10, 1]), "3-plane loc", 90)
    assert segment(folder).code == 0
    assert not [w for w in said(tmp_path) if "90" in w]
    unused = {entry["name"]: entry["reason"] for entry in record(tmp_path / "out")["identification"]["unused"]}
    assert "localizer" in unused['series 90 "3-plane loc"']


def test_two_stacks_in_one_series_are_two_images(folder, segment, tmp_path):
    array, affine = sequences()["t1c"], small_affine()
    shutil.rmtree(folder / "2")
    words = "Ax/Cor T1 +C"
    axial = write_series(folder / "2", array, affine, words, 2, **TIMES["t1c"])
    coronal = write_series(folder / "2b", np.ascontiguousarray(array.transpose(0, 2, 1)), affine[:, [0, 2, 1, 3]], words, 2, **TIMES["t1c"])
    for k, file in enumerate(coronal):
        change(file, SOPInstanceUID=generate_uid(), InstanceNumber=len(axial) + k + 1)
    ran = segment(folder)
    assert ran.code == 0, ran.err
    assert record(tmp_path / "out")["inputs"][1]["series"] == f'series 2 "{words} axial"'
    assert not [w for w in said(tmp_path) if "missing" in w], said(tmp_path)


@pytest.mark.parametrize(
    ("number", "tags", "why"),
    [
        (4, {"SeriesDescription": "t2_tirm_cor_fs", "InversionTime": 160.0, "RepetitionTime": 4000.0, "EchoTime": 70.0}, "STIR"),
        (2, {"SeriesDescription": "FAT: Ax T1 FLEX +C"}, "fat"),
    ],
)
def test_a_series_that_only_seems_to_be_the_one_that_is_missed_is_named_with_the_reason(folder, segment, number, tags, why):
    edit(files_of(folder, number), **tags)
    ran = segment(folder)
    assert ran.code == 2 and tags["SeriesDescription"] in ran.error and why in ran.error.split(";")[0]


def test_an_image_too_many_at_one_place_is_the_first_thing_said(folder, segment):
    item = pydicom.dcmread(files_of(folder, 2)[5])
    item.SOPInstanceUID, item.PixelData = generate_uid(), bytes(len(item.PixelData))
    item.save_as(folder / "2" / "more", enforce_file_format=True)
    ran = segment(folder)
    assert ran.code == 2 and ran.error.startswith('series 2 "AX T1 POST GD" in') and "31 images at 30 places" in ran.error


def test_a_header_that_says_none_was_given_beats_an_agent_that_is_coded(folder, segment, tmp_path):
    edit(files_of(folder, 1), SeriesDescription="AX T1", ContrastBolusAgent="NONE")
    edit(files_of(folder, 2), SeriesDescription="AX T1")
    ran = segment(folder)
    assert ran.code == 0, ran.err
    assert [one["series"] for one in record(tmp_path / "out")["inputs"]][:2] == ['series 1 "AX T1"', 'series 2 "AX T1"']
