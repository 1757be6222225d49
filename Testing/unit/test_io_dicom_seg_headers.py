"""DICOM SEG on headers that are not quite DICOM: mended where that loses nothing, refused otherwise, and always legal itself.

Every file that is written is read by hand with plain pydicom, and judged by dciodvfy (dicom3tools) where that is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_files import STUDY, change, change_anyhow, head, write_enhanced, write_series

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_reference import derived_uid
from LDMSegLib.io.dicom_seg import DicomSegWriter
from LDMSegLib.models.bundle import find_bundle

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install highdicom")
pydicom = pytest.importorskip("pydicom")

SHAPE, AFFINE = (20, 24, 8), np.diag([2.0, 2.0, 5.0, 1.0])
SPECIFICATION = find_bundle(None).specification
LABELS, REGIONS = SPECIFICATION.labels, SPECIFICATION.regions
STUDY_TAGS = {"PatientName": "Doe^Jane", "StudyDate": "20240105", "StudyTime": "101112"}


@pytest.fixture
def label_map() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:12, 6:15, 2:6], labels[6:10, 8:12, 3:5], labels[7:9, 9:11, 3:5] = 2, 3, 1
    return labels


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return write_series(tmp_path / "series", head(SHAPE), AFFINE, "AX T1 POST", 5, patient="P7", **STUDY_TAGS)


def write(files, label_map, folder, regions=(), key=("seed", 0)):
    """A SEG as it is written, read again; refused by dciodvfy it fails the test."""
    writer = DicomSegWriter(files, LABELS, regions, "tiny")
    writer.check(label_map.shape, AFFINE)
    file = folder / "seg.dcm"
    file.write_bytes(writer.content(label_map, AFFINE, key))
    if shutil.which("dciodvfy"):
        # The prefix of an error is all that is the same in every version.
        told = subprocess.run(["dciodvfy", file], capture_output=True, text=True, errors="replace").stderr.splitlines()
        assert not [line for line in told if line.startswith("Error")], told
    return pydicom.dcmread(file), writer.notes


def by_hand(seg) -> dict[str, np.ndarray]:
    """Each segment as (columns, rows, slices) of the source, put together from the file's own words alone."""
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    frames = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    names = {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence}
    out = {name: np.zeros(SHAPE, bool) for name in names.values()}
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        k = round((position[2] - AFFINE[2, 3]) / AFFINE[2, 2])
        out[names[group.SegmentIdentificationSequence[0].ReferencedSegmentNumber]][:, :, k] = frame.T.astype(bool)
    return out


def references(seg) -> list:
    return [item for element in seg.iterall() if element.VR == "SQ" for item in element.value if "ReferencedSOPInstanceUID" in item]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: apt-get install dicom3tools")
def test_dciodvfy_finds_nothing_wrong_with_labels_alone_with_regions_and_with_nothing(files, label_map, tmp_path):
    for regions, labels in ((), label_map), (REGIONS, label_map), (REGIONS, label_map * 0):
        write(files, labels, tmp_path, regions)


@pytest.mark.skipif(shutil.which("segimage2itkimage") is None, reason="dcmqi is not installed: pip install dcmqi")
def test_dcmqi_reads_the_same_voxels(files, label_map, tmp_path):
    write(files, label_map, tmp_path)
    (tmp_path / "read").mkdir()
    command = ["segimage2itkimage", "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path / "read", "--outputType", "nii"]
    subprocess.run(command, check=True, capture_output=True)
    for number, label in enumerate(LABELS, start=1):
        array = np.asarray(nib.load(tmp_path / "read" / f"{number}.nii.gz").dataobj) > 0
        assert array.sum() == (label_map == label.value).sum()


def test_labels_and_regions_come_back_voxel_for_voxel_by_hand(files, label_map, tmp_path):
    seg, notes = write(files, label_map, tmp_path, REGIONS)
    found = by_hand(seg)
    assert set(found) == {"NCR", "ED", "ET", "TC", "WT"} and notes == ()
    for label in LABELS:
        np.testing.assert_array_equal(found[label.name], label_map == label.value)
    np.testing.assert_array_equal(found["WT"], label_map > 0)
    np.testing.assert_array_equal(found["TC"], np.isin(label_map, (1, 3)))
    assert seg.SegmentsOverlap == "YES"


def test_a_segment_says_what_it_is_where_it_is_and_how_to_follow_it(files, label_map, tmp_path):
    seg, _ = write(files, label_map, tmp_path)
    et = next(item for item in seg.SegmentSequence if item.SegmentLabel == "ET")
    code = et.SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodingSchemeDesignator, code.CodeValue) == ("NCIt", "C113842")
    assert et.AnatomicRegionSequence[0].CodeValue == "12738006" and et.TrackingID
    assert len({str(item.TrackingUID) for item in seg.SegmentSequence}) == 3


def test_the_same_run_is_the_same_object_and_another_one_is_not(files, label_map, tmp_path):
    uids = []
    for key, labels in (("a", 1), label_map), (("a", 1), label_map), (("a", 2), label_map), (("a", 1), label_map * 0):
        seg, _ = write(files, labels, tmp_path, key=key)
        uids.append((str(seg.SeriesInstanceUID), str(seg.SOPInstanceUID)))
    assert uids[0] == uids[1] and uids[2][0] != uids[0][0]
    assert uids[3][0] == uids[0][0] and uids[3][1] != uids[0][1], "another content is another instance of the same series"
    assert all(pydicom.uid.UID(uid).is_valid for pair in uids for uid in pair)
    assert derived_uid("x") == derived_uid("x") != derived_uid("y")


MENDED = {
    "nothing but UIDs and geometry": dict.fromkeys(
        (
            "PatientID",
            "PatientName",
            "PatientBirthDate",
            "PatientSex",
            "StudyDate",
            "StudyTime",
            "StudyID",
            "AccessionNumber",
            "ReferringPhysicianName",
            "FrameOfReferenceUID",
            "SliceThickness",
            "PositionReferenceIndicator",
            "Manufacturer",
        )
    ),
    "empty values": {"FrameOfReferenceUID": "", "SliceThickness": None, "PatientID": "", "SpecificCharacterSet": ""},
    "a thickness of zero": {"SliceThickness": "0"},
    "a thickness that is no number": {"SliceThickness": b"five"},
    "dates with dashes": {"StudyDate": "2024-01-05", "PatientBirthDate": "1960.02.03", "StudyTime": "10:11:12.1234567"},
    "dates that are none": {"StudyDate": "20241350", "PatientBirthDate": "1960", "StudyTime": "256199"},
    "sex and age in words": {"PatientSex": "female", "PatientAge": "45 years"},
    "a private class": {"SOPClassUID": "1.3.12.2.1107.5.9.1"},
    "Japanese": {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"},
    "Korean": {"SpecificCharacterSet": ["", "ISO 2022 IR 149"], "PatientName": "Hong^Gildong=洪^吉洞=홍^길동"},
    "Russian": {"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Люк^еще"},
    "Chinese": {"SpecificCharacterSet": "GB18030", "PatientName": "Wang^XiaoDong=王^小东"},
    "an unknown character set": {"SpecificCharacterSet": "ISO_IR 999"},
    "UTF-8 that nobody declared": {"PatientName": "Müller^Jürgen".encode(), "StudyDescription": "Schädel".encode()},
    "Latin-1 that nobody declared": {"PatientName": "Müller^Jürgen".encode("latin-1")},
    "a long description": {"StudyDescription": "x" * 80, "ReferringPhysicianName": "y" * 80},
    "de-identified without a method": {"PatientIdentityRemoved": "YES"},
    "half a trial": {"ClinicalTrialSponsorName": "Sponsor"},
    "lossy pictures and a body part": {"LossyImageCompression": "01", "BodyPartExamined": "head and neck and more", "Laterality": "Z"},
}


@pytest.mark.parametrize("what", MENDED)
def test_a_header_with_gaps_gives_a_legal_seg_with_all_identifiers_unchanged(what, files, label_map, tmp_path):
    for file in files:
        for name, value in MENDED[what].items():
            if value is None and name in pydicom.dcmread(file):
                change(file, **{name: None})
            elif value is not None:
                change_anyhow(file, **{name: value})
    before = [file.read_bytes() for file in files]
    seg, _ = write(files, label_map, tmp_path)
    found = by_hand(seg)
    assert all(np.array_equal(found[label.name], label_map == label.value) for label in LABELS)
    assert [file.read_bytes() for file in files] == before, "the source is never changed"
    source = pydicom.dcmread(files[0])
    assert seg.StudyInstanceUID == STUDY and seg.SpecificCharacterSet == "ISO_IR 192"
    assert seg.FrameOfReferenceUID and float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness) == 5.0
    assert {str(item.ReferencedSOPClassUID) for item in references(seg) if item.ReferencedSOPInstanceUID == source.SOPInstanceUID} == {
        str(source.SOPClassUID)
    }
    for name in ("PatientID", "AccessionNumber", "StudyID"):
        assert getattr(seg, name) in (source.get(name), "") and (seg.get(name) or "") == (source.get(name) or "")
    for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        assert name in seg, "what a data set must have is there, be it empty"


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("Japanese", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("Korean", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("Russian", "Люк^еще"),
        ("Chinese", "Wang^XiaoDong=王^小东"),
        ("UTF-8 that nobody declared", "Müller^Jürgen"),
        ("Latin-1 that nobody declared", "Müller^Jürgen"),
        ("an unknown character set", "Doe^Jane"),
    ],
)
def test_a_name_is_the_same_name_in_every_character_set(what, expected, files, label_map, tmp_path):
    for file in files:
        change_anyhow(file, **MENDED[what])
    seg, _ = write(files, label_map, tmp_path)
    assert str(seg.PatientName) == expected


def test_dates_are_written_anew_or_left_empty_and_it_is_said_without_the_value(files, label_map, tmp_path):
    for file in files:
        change_anyhow(file, StudyDate="2024-01-05", StudyTime="10:11:12", PatientBirthDate="31.12.1960", PatientSex="male")
    seg, notes = write(files, label_map, tmp_path)
    assert (seg.StudyDate, seg.StudyTime, seg.PatientBirthDate, seg.PatientSex) == ("20240105", "101112", "", "M")
    assert "PatientBirthDate left empty" in notes and "StudyDate written anew" in notes and "1960" not in " ".join(notes)


@pytest.mark.parametrize(
    "tags",
    [
        {"AccessionNumber": "ACCESSION-12345678"},
        {"PatientID": "P" * 65},
        {"PatientID": "A\\B"},
        {"PatientName": "N" * 70},
        {"StudyInstanceUID": "1.2.03.4"},
        {"StudyInstanceUID": ""},
        {"FrameOfReferenceUID": "not a uid"},
        {"SpecificCharacterSet": "ISO_IR 192", "PatientName": b"M\xfcller"},
    ],
)
def test_an_identifier_that_is_not_legal_is_neither_cut_nor_written_and_its_value_not_told(tags, files, label_map):
    for file in files:
        for name, value in tags.items():  # one after the other: saving writes text anew in a character set that has changed
            change_anyhow(file, **{name: value})
    with pytest.raises(InputError, match=list(tags)[-1]) as refused:
        DicomSegWriter(files, LABELS)
    values = [value for value in tags.values() if isinstance(value, str) and len(value) > 3 and value != "ISO_IR 192"]
    assert not any(value in str(refused.value) for value in values)


def test_one_enhanced_file_without_a_thickness_is_referred_to_frame_by_frame(label_map, tmp_path):
    file = write_enhanced(tmp_path / "enhanced.dcm", head(SHAPE), AFFINE, AccessionNumber="")
    item = pydicom.dcmread(file)
    del item.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness
    del item.FrameOfReferenceUID, item.StudyID
    item.save_as(file)
    seg, notes = write([file], label_map, tmp_path)
    assert all(np.array_equal(by_hand(seg)[label.name], label_map == label.value) for label in LABELS)
    assert "SliceThickness taken from the distance between slices" in notes
    source = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == item.SOPInstanceUID and source.ReferencedFrameNumber
