"""DICOM SEG: what is read back is what was written, at its place, referring to the series it was drawn on."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from dicom_files import STUDY, head, write_series

from LDMSegLib.errors import InputError, OutputError
from LDMSegLib.io.dicom_seg import write_dicom_seg
from LDMSegLib.io.dicom_series import read_dicom_folder, read_series
from LDMSegLib.models.bundle import find_bundle

highdicom = pytest.importorskip("highdicom")
AFFINE = np.array([[1.9, 0.1, 0.5, -20.0], [-0.1, 1.9, 0.4, -30.0], [-0.2, -0.2, 4.9, 7.0], [0, 0, 0, 1]])
AFFINE[:3, :3] = np.linalg.qr(AFFINE[:3, :3])[0] @ np.diag([2.0, 2.0, 5.0])
LABELS = find_bundle(None).specification.labels


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, head((20, 24, 8)), AFFINE, "AX T1 POST", 5, patient="P7", EchoTime=10.0, RepetitionTime=500.0)
    return read_dicom_folder(folder)[0]


@pytest.fixture(scope="module")
def label_map():
    labels = np.zeros((20, 24, 8), np.uint8)
    labels[4:12, 6:15, 2:6] = 2
    labels[6:10, 8:12, 3:5] = 3
    labels[7:9, 9:11, 3:5] = 1
    return labels


def read_back(file, series) -> np.ndarray:
    """The segments over the source's frames, as a label map in (columns, rows, slices)."""
    seg = highdicom.seg.segread(file)
    uids = [s.instance.split("#")[0] for s in series.grid.slices]
    frames = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    return np.asarray(frames).transpose(2, 1, 0)


def test_the_labels_come_back_voxel_for_voxel_and_refer_to_their_source(tmp_path, series, label_map):
    file = write_dicom_seg(tmp_path / "seg.dcm", label_map, read_series(series).affine, LABELS, series.files, "tiny")
    np.testing.assert_array_equal(read_back(file, series), label_map)
    seg = highdicom.seg.segread(file)
    assert (seg.PatientID, seg.StudyInstanceUID, seg.FrameOfReferenceUID) == ("P7", STUDY, series.frame_of_reference)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series.uid
    assert [d.segment_label for d in (seg.get_segment_description(n) for n in (1, 2, 3))] == [label.name for label in LABELS]
    assert "not a medical device" in seg.ContentDescription


def test_a_map_stored_in_another_axis_order_lands_at_the_same_place(tmp_path, series, label_map):
    image = nib.as_closest_canonical(nib.Nifti1Image(label_map, read_series(series).affine))
    turned = np.asarray(image.dataobj)[::-1].transpose(2, 0, 1)
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, image.shape[0] - 1
    swap = np.eye(4)[[2, 0, 1, 3]]
    affine = image.affine @ flip @ np.linalg.inv(swap)
    file = write_dicom_seg(tmp_path / "seg.dcm", turned, affine, LABELS, series.files)
    np.testing.assert_array_equal(read_back(file, series), label_map)


def test_files_in_any_order_and_label_values_of_any_kind(tmp_path, series, label_map):
    from dataclasses import replace

    labels = tuple(replace(label, value=label.value * 10) for label in LABELS)
    file = write_dicom_seg(tmp_path / "seg.dcm", label_map * 10, read_series(series).affine, labels, series.files[::-1])
    np.testing.assert_array_equal(read_back(file, series), label_map)


def test_where_there_is_no_tumour_the_file_says_so(tmp_path, series, label_map):
    file = write_dicom_seg(tmp_path / "seg.dcm", label_map * 0, read_series(series).affine, LABELS, series.files)
    assert not read_back(file, series).any()


def test_a_map_on_another_grid_and_an_incomplete_series_are_refused_and_nothing_is_written(tmp_path, series, label_map):
    moved = read_series(series).affine
    moved[0, 3] += 0.7
    with pytest.raises(InputError, match="does not lie on the grid of the source series"):
        write_dicom_seg(tmp_path / "seg.dcm", label_map, moved, LABELS, series.files)
    with pytest.raises(InputError, match="has 7 frames, but the label map 8 slices"):
        write_dicom_seg(tmp_path / "seg.dcm", label_map, series.grid.affine, LABELS, series.files[1:])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_unasked(tmp_path, series, label_map):
    (tmp_path / "seg.dcm").write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        write_dicom_seg(tmp_path / "seg.dcm", label_map, series.grid.affine, LABELS, series.files)
    assert (tmp_path / "seg.dcm").read_text() == "mine"


def test_a_file_that_is_no_dicom_is_named(tmp_path, series, label_map):
    (tmp_path / "x").write_text("nothing")
    with pytest.raises(InputError, match="x is no readable DICOM"):
        write_dicom_seg(tmp_path / "seg.dcm", label_map, series.grid.affine, LABELS, [tmp_path / "x"])
