"""DICOM folders: the right voxels in the right place, and one sentence for each series that is no volume."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_files import change, head, write_enhanced, write_series
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_identity import reject_different_patients
from LDMSegLib.io.dicom_series import is_dicom_folder, read_dicom_folder, read_series

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [5, 12, -8], degrees=True).as_matrix() @ np.diag([2.0, 1.5, 5.0])
OBLIQUE[:3, 3] = [-30.0, -20.0, 5.0]
SHAPE = (24, 28, 10)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "study"


def problem(folder) -> str:
    (series,) = read_dicom_folder(folder)
    assert series.grid is None
    with pytest.raises(InputError) as caught:
        read_series(series)
    assert str(caught.value) == series.problem
    assert series.problem.startswith('series 1 "AX T1" in ')
    return series.problem


def test_an_oblique_series_comes_back_voxel_for_voxel_and_in_place(folder):
    array = head(SHAPE)
    files = write_series(folder / "deep" / "down", array, OBLIQUE, RescaleSlope=2.0, RescaleIntercept=-5.0)
    (series,) = read_dicom_folder(folder)
    volume = read_series(series)
    np.testing.assert_array_equal(volume.array, array * 2.0 - 5.0)
    assert np.abs(volume.affine - OBLIQUE).max() < 1e-4
    assert series.files == tuple(files)
    assert is_dicom_folder(folder)


def test_an_enhanced_file_of_many_frames_is_read_like_a_classic_series(folder):
    array = head(SHAPE)
    file = write_enhanced(folder / "one", array, OBLIQUE, slope=0.5, EchoTime=95.0)
    (series,) = read_dicom_folder(folder)
    volume = read_series(series)
    np.testing.assert_array_equal(volume.array, array * 0.5)
    assert np.abs(volume.affine - OBLIQUE).max() < 1e-4
    assert (series.files, series.acquisition.echo_time) == ((file,), 95.0)


def test_the_geometry_is_simpleitks(folder):
    sitk = pytest.importorskip("SimpleITK")
    write_series(folder, head(SHAPE), OBLIQUE)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    (series,) = read_dicom_folder(folder)
    volume = read_series(series)
    assert np.abs(volume.affine - np.diag([-1, -1, 1, 1]) @ affine).max() < 1e-4
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).T)


def test_slices_are_ordered_by_where_they_lie_not_by_name_or_number(folder):
    array = head(SHAPE)
    files = write_series(folder, array, OBLIQUE)
    for k, file in enumerate(files):
        change(file, InstanceNumber=100 - k)
        file.rename(folder / f"x{(k * 7) % 10}")
    (series,) = read_dicom_folder(folder)
    np.testing.assert_array_equal(read_series(series).array, array)


def test_copies_and_other_files_do_no_harm(folder):
    files = write_series(folder, head(SHAPE), OBLIQUE)
    (folder / "copy").mkdir()
    (folder / "copy" / "again.dcm").write_bytes(files[3].read_bytes())
    (folder / "notes.txt").write_text("not DICOM")
    (series,) = read_dicom_folder(folder)
    assert len(series.files) == SHAPE[2] and not series.problem


def test_several_series_are_told_apart_and_one_bad_one_spoils_none(folder):
    write_series(folder, head(SHAPE), OBLIQUE, "AX T1", 1, EchoTime=10.0, RepetitionTime=500.0)
    write_series(folder, head((24, 28, 3)), OBLIQUE, "LOC", 2)
    good, bad = read_dicom_folder(folder)
    assert (good.number, good.problem, good.acquisition.echo_time) == (1, "", 10.0)
    assert bad.problem.startswith('series 2 "LOC"')


def test_missing_slices_are_counted_and_placed(folder):
    files = write_series(folder, head(SHAPE), OBLIQUE)
    files[4].unlink()
    files[5].unlink()
    assert "lacks 2 slice(s), first after slice 4" in problem(folder)


def test_gantry_tilt_is_named_with_its_angle(folder):
    tilted = OBLIQUE.copy()
    tilted[:3, 2] += np.tan(np.radians(10)) * 5.0 * OBLIQUE[:3, 1] / 1.5
    write_series(folder, head(SHAPE), tilted)
    assert "gantry tilt of 10.0°" in problem(folder)


def test_colour_pictures_are_refused(folder):
    for file in write_series(folder, head(SHAPE), OBLIQUE):
        change(file, PhotometricInterpretation="RGB", SamplesPerPixel=3)
    assert "colour" in problem(folder)


def test_time_points_at_one_place_are_four_dimensional(folder):
    write_series(folder, head(SHAPE), OBLIQUE, TemporalPositionIdentifier=1)
    later = write_series(folder / "later", head(SHAPE, 1), OBLIQUE, TemporalPositionIdentifier=2)
    for file in later:
        change(file, SOPInstanceUID=generate_uid())
    assert "20 images at 10 places (4-D" in problem(folder)


def test_two_echoes_in_one_series_become_two_volumes(folder):
    first, second = head(SHAPE), head(SHAPE, 1)
    write_series(folder, first, OBLIQUE, "PD T2", EchoTime=12.0)
    for file in write_series(folder / "second", second, OBLIQUE, "PD T2", EchoTime=96.0):
        change(file, SOPInstanceUID=generate_uid())
    series = read_dicom_folder(folder)
    assert [s.description for s in series] == ["PD T2 TE 12 ms", "PD T2 TE 96 ms"]
    np.testing.assert_array_equal(read_series(series[1]).array, second)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_geometry_in_metres_or_micrometres_is_told(folder, scale):
    write_series(folder, head(SHAPE), np.diag([scale] * 3 + [1.0]) @ OBLIQUE)
    assert "other units" in problem(folder)


def test_another_modality_a_single_slice_and_no_geometry_are_told(folder):
    files = write_series(folder, head(SHAPE), OBLIQUE)
    for file in files:
        change(file, ImagePositionPatient=None)
    assert "don't say where they lie" in problem(folder)
    for file in files:
        change(file, Modality="CT")
    assert "is CT, expected MR" in problem(folder)
    for file in files:
        file.unlink()
    write_series(folder, head((24, 28, 1)), OBLIQUE)
    assert "a single image" in problem(folder)


def test_a_truncated_file_is_named(folder):
    files = write_series(folder, head(SHAPE), OBLIQUE)
    files[2].write_bytes(files[2].read_bytes()[:-200])
    (series,) = read_dicom_folder(folder)
    with pytest.raises(InputError, match="damaged or unreadable pixels in .*1_002"):
        read_series(series)


def test_compressed_pixels_are_read(folder):
    array = head(SHAPE)
    for file in write_series(folder, array, OBLIQUE):
        item = pydicom.dcmread(file)
        item.compress(pydicom.uid.RLELossless)
        item.save_as(file, enforce_file_format=True)
    (series,) = read_dicom_folder(folder)
    np.testing.assert_array_equal(read_series(series).array, array)


def test_different_patients_are_refused_without_showing_who_they_are(folder):
    write_series(folder, head(SHAPE), OBLIQUE, number=1, patient="ALICE")
    write_series(folder, head(SHAPE), OBLIQUE, number=2, patient="BOB")
    series = read_dicom_folder(folder)
    with pytest.raises(InputError, match="different patients") as caught:
        reject_different_patients(series)
    assert "ALICE" not in str(caught.value) and "ALICE" not in repr(series)
    reject_different_patients(series[:1])


def test_a_folder_without_dicom_is_told(folder):
    with pytest.raises(InputError, match="does not exist"):
        read_dicom_folder(folder)
    folder.mkdir()
    (folder / "a.nii.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no DICOM image"):
        read_dicom_folder(folder)
    assert not is_dicom_folder(folder)
