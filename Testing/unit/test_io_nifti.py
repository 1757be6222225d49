"""Reading one image: what is accepted exactly, and what is refused in one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from LDMSegLib.errors import InputError
from LDMSegLib.io.nifti_in import read_volume

OBLIQUE = np.array([[-1.9, 0.3, 0.1, 40.0], [0.31, 1.95, -0.4, -30.0], [0.05, 0.45, 3.1, 12.0], [0, 0, 0, 1.0]])


def values(shape=(20, 24, 16), seed=0, dtype=np.int16):
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(dtype)


def write(path, array, affine=OBLIQUE, kind=nib.Nifti1Image):
    nib.save(kind(array, affine), path)
    return path


def complaint(path):
    with pytest.raises(InputError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message and not message.endswith("."), "the message is one sentence without its full stop"
    assert str(path) in message, "the message names the file"
    assert "expected" in message and ";" in message, "the message says what was expected and what to do"
    return message


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_values_and_affine_are_exactly_those_of_the_file(tmp_path, name, kind):
    array = values()
    path = write(tmp_path / name, array, kind=kind)
    volume = read_volume(path)
    assert volume.array.dtype == np.float32 and volume.affine.dtype == np.float64
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)
    assert volume.path == path
    assert volume.shape == (20, 24, 16)


def test_the_kept_header_writes_the_same_geometry_again(tmp_path):
    image = nib.Nifti1Image(values(), OBLIQUE)
    image.set_qform(OBLIQUE, code=1)
    image.set_sform(OBLIQUE, code=2)
    nib.save(image, tmp_path / "image.nii.gz")
    volume = read_volume(tmp_path / "image.nii.gz")
    copy = nib.Nifti1Image(np.zeros(volume.shape, np.uint8), volume.affine, volume.header)
    for field in ("srow_x", "srow_y", "srow_z", "quatern_b", "qoffset_x", "pixdim", "sform_code", "qform_code", "xyzt_units"):
        np.testing.assert_array_equal(copy.header[field], nib.load(tmp_path / "image.nii.gz").header[field], err_msg=field)


def test_the_scaling_of_the_file_is_applied(tmp_path):
    image = nib.Nifti1Image(values(), OBLIQUE)
    image.header.set_slope_inter(0.5, 3.0)
    nib.save(image, tmp_path / "image.nii")
    raw = bytearray((tmp_path / "image.nii").read_bytes())
    stored = nib.Nifti1Image.from_bytes(bytes(raw))
    np.testing.assert_allclose(read_volume(tmp_path / "image.nii").array, stored.get_fdata(), rtol=1e-6)


def test_a_trailing_single_axis_is_dropped(tmp_path):
    array = values((20, 24, 16, 1, 1))
    assert read_volume(write(tmp_path / "image.nii", array)).shape == (20, 24, 16)


def test_a_gzip_file_named_nii_is_read_all_the_same(tmp_path):
    write(tmp_path / "image.nii.gz", values())
    (tmp_path / "image.nii.gz").rename(tmp_path / "image.nii")
    np.testing.assert_array_equal(read_volume(tmp_path / "image.nii").array, values())


def test_spacing_and_orientation_speak_of_the_array_axes(tmp_path):
    volume = read_volume(write(tmp_path / "image.nii", values(), np.diag([-2.0, -2.0, 3.5, 1])))
    assert volume.spacing == (2.0, 2.0, 3.5)
    assert volume.shape == (20, 24, 16) and volume.orientation == "LPS"


def test_a_missing_file_is_refused(tmp_path):
    assert "does not exist" in complaint(tmp_path / "none.nii.gz")


def test_a_folder_is_refused(tmp_path):
    assert "is a folder" in complaint(tmp_path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "image.nii", values())

    def forbidden(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert "Permission denied" in complaint(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_gzip_file_is_refused_wherever_it_ends(tmp_path, kept):
    path = write(tmp_path / "image.nii.gz", values())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "truncated or damaged gzip" in complaint(path)


def test_a_gzip_file_that_lacks_only_its_checksum_is_refused(tmp_path):
    path = write(tmp_path / "image.nii.gz", values())
    path.write_bytes(path.read_bytes()[:-8])
    assert "truncated or damaged gzip" in complaint(path)


def test_a_changed_byte_inside_a_gzip_file_is_noticed(tmp_path):
    path = tmp_path / "image.nii.gz"
    # Stored, not compressed: the changed byte is a valid voxel, and only the checksum can tell.
    content = bytearray(gzip.compress(nib.Nifti1Image(values(), OBLIQUE).to_bytes(), compresslevel=0))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert "truncated or damaged gzip" in complaint(path)


def test_a_truncated_plain_file_is_refused(tmp_path):
    path = write(tmp_path / "image.nii", values())
    path.write_bytes(path.read_bytes()[:-100])
    assert "ends early" in complaint(path)


@pytest.mark.parametrize("content", [b"", b"NRRD0004\n" + b"x" * 600, b"\x00" * 50, b"<html>" * 200])
def test_what_is_not_nifti_is_refused(tmp_path, content):
    path = tmp_path / "image.nii"
    path.write_bytes(content)
    assert ("not a NIfTI" if content else "is empty") in complaint(path)


def test_gzipped_text_is_not_nifti(tmp_path):
    path = tmp_path / "image.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 200))
    assert "not a NIfTI" in complaint(path)


def test_the_header_of_a_pair_is_refused(tmp_path):
    nib.save(nib.Nifti1Pair(values(), OBLIQUE), tmp_path / "image.hdr")
    assert "pair" in complaint(tmp_path / "image.hdr")


def test_a_header_with_an_unknown_data_type_is_refused(tmp_path):
    path = write(tmp_path / "image.nii", values())
    content = bytearray(path.read_bytes())
    content[70:72] = (999).to_bytes(2, "little")
    path.write_bytes(bytes(content))
    assert "damaged NIfTI header" in complaint(path)


def test_several_volumes_in_one_file_are_refused(tmp_path):
    assert "4-D" in complaint(write(tmp_path / "image.nii", values((20, 24, 16, 3))))


def test_a_flat_image_is_refused(tmp_path):
    assert "2 dimension" in complaint(write(tmp_path / "image.nii", values((20, 24))))
    assert "20×24×1 voxels" in complaint(write(tmp_path / "slice.nii", values((20, 24, 1))))


def test_colours_and_complex_numbers_are_refused(tmp_path):
    colours = np.zeros((20, 24, 16), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "colours" in complaint(write(tmp_path / "rgb.nii", colours))
    assert "complex" in complaint(write(tmp_path / "complex.nii", values(dtype=np.complex64)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused_with_their_count(tmp_path, bad):
    array = values(dtype=np.float64)
    array[3:5, 4, 5] = bad
    assert "2 NaN or infinite voxels" in complaint(write(tmp_path / "image.nii", array))


def test_empty_and_constant_images_are_refused(tmp_path):
    assert "is empty" in complaint(write(tmp_path / "zero.nii", np.zeros((20, 24, 16), np.int16)))
    assert "is constant (every voxel is 7)" in complaint(write(tmp_path / "seven.nii", np.full((20, 24, 16), 7, np.int16)))


@pytest.mark.parametrize("spacing", [0.001, 0.05, 25.0, 1000.0])
def test_voxel_sizes_that_are_no_millimetres_are_refused(tmp_path, spacing):
    assert "header is in mm" in complaint(write(tmp_path / "image.nii", values(), np.diag([spacing, spacing, spacing, 1])))


@pytest.mark.parametrize("column", [[0, 0, 0], [2.0, 0, 0]])
def test_a_singular_affine_is_refused(tmp_path, column):
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 2] = column
    image = nib.Nifti1Image(values(), np.diag([2.0, 2, 2, 1]))
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = affine[:3]
    image.header["sform_code"] = 1
    (tmp_path / "image.nii").write_bytes(raw_bytes(image))
    assert "singular affine" in complaint(tmp_path / "image.nii")


def test_an_affine_that_is_not_finite_is_refused(tmp_path):
    image = nib.Nifti1Image(values(), np.diag([2.0, 2, 2, 1]))
    image.header["srow_y"][1] = np.nan
    image.header["sform_code"] = 1
    (tmp_path / "image.nii").write_bytes(raw_bytes(image))
    assert "affine" in complaint(tmp_path / "image.nii")


def test_an_image_far_too_small_is_refused(tmp_path):
    assert "20×24×7 voxels" in complaint(write(tmp_path / "few.nii", values((20, 24, 7))))
    assert "covers 10×12×8 mm" in complaint(write(tmp_path / "small.nii", values(), np.diag([0.5, 0.5, 0.5, 1])))


def test_a_header_with_any_damaged_bytes_is_read_or_refused_but_never_crashes(tmp_path):
    rng = np.random.default_rng(0)
    sound = nib.Nifti1Image(values(), OBLIQUE).to_bytes()
    refused = 0
    for _ in range(300):
        content = bytearray(sound)
        for place in rng.integers(0, 348, 3):
            content[place] = rng.integers(0, 256)
        (tmp_path / "image.nii").write_bytes(bytes(content))
        try:
            volume = read_volume(tmp_path / "image.nii")
        except InputError:
            refused += 1
        else:
            assert np.isfinite(volume.array).all() and np.isfinite(np.linalg.inv(volume.affine)).all()
    assert 30 < refused < 300


def raw_bytes(image):
    """Header and data as they are: saving through nibabel would put the affine right first."""
    image.header["vox_offset"] = 352
    image.header["magic"] = b"n+1"
    return image.header.binaryblock + b"\0" * 4 + np.asarray(image.dataobj).tobytes(order="F")
