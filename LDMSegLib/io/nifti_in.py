"""Reading one NIfTI, NRRD or MetaImage file, and saying clearly why one cannot be used."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError, SpatialImage

from LDMSegLib.errors import InputError
from LDMSegLib.io.itk_images import is_itk_image, read_itk_image
from LDMSegLib.spatial.affine import spacing_of
from LDMSegLib.spatial.limits import FEWEST_VOXELS, LARGEST_SPACING_MM, SMALLEST_EXTENT_MM, SMALLEST_SPACING_MM
from LDMSegLib.spatial.volume import Volume


def read_volume(path: str | Path) -> Volume:
    """Read an image of any orientation, spacing and obliqueness: NIfTI (.nii or .nii.gz; NIfTI-1 or -2), NRRD or MetaImage.

    Args:
        path: the file.

    Returns:
        The image as float32 (X, Y, Z) with the file's scaling applied, and exactly the affine nibabel picks for the file
        (sform before qform), voxel→world RAS mm. Without a header where the file is no NIfTI.

    Raises:
        InputError: missing, unreadable or damaged file, another format, not one 3-D grey-value image, NaN or infinite values,
            constant image, a geometry that cannot be a head (see spatial/limits.py), or SimpleITK is needed and absent.
    """
    volume = _read(Path(path).expanduser())
    _reject_constant(volume.path, volume.array)
    return volume


def take_image(image: SpatialImage, name: str) -> Volume:
    """Take an image that is in memory, with the same checks as one that is read.

    Args:
        image: nibabel's, of any orientation, spacing and obliqueness; affine voxel→world RAS mm.
        name: what to call it in an error, e.g. "the image given as t1c".

    Returns:
        A copy as `read_volume` gives it, without a path; with a header where the image has one of NIfTI's that says the same.

    Raises:
        InputError: as `read_volume`.
    """
    array = _values(name, image, shape := _shape(name, image), None)
    volume = Volume(array=array.copy(), affine=_affine(name, image, shape))
    _reject_constant(name, volume.array)
    header = image.header
    same = isinstance(header, nib.Nifti1Header) and np.array_equal(header.get_best_affine(), image.affine)
    return replace(volume, header=header.copy()) if same else volume


def read_label_map(path: str | Path) -> Volume:
    """Read a label map; unlike an image it may hold a single value, e.g. where there is no tumour.

    Args:
        path: a file as for `read_volume`.

    Returns:
        The map as uint8 (X, Y, Z), affine as `read_volume`.

    Raises:
        InputError: as `read_volume`, or a value that is not a whole number from 0 to 255.
    """
    volume = _read(Path(path).expanduser())
    return _whole_numbers(volume, volume.path)


def take_label_map(image: SpatialImage, name: str) -> Volume:
    """Take a label map that is in memory, with the same checks as one that is read; see `take_image` and `read_label_map`."""
    array = _values(name, image, shape := _shape(name, image), None)
    return _whole_numbers(Volume(array, _affine(name, image, shape)), name)


def _whole_numbers(volume: Volume, name: Path | str) -> Volume:
    array = volume.array
    wrong = array[(array < 0) | (array > 255) | (array != np.rint(array))]
    if wrong.size:
        raise InputError(
            f"{name} holds the value {wrong[0]:g}, expected a label map of whole numbers from 0 to 255; give the label map itself"
        )
    return replace(volume, array=array.astype(np.uint8))


def _read(path: Path) -> Volume:
    content = _content(path)
    foreign = is_itk_image(path)
    image = read_itk_image(path) if foreign else _parse(path, content)
    shape = _shape(path, image)
    affine = _affine(path, image, shape)
    array = _values(path, image, shape, None if foreign else len(content))
    return Volume(array=array, affine=affine, path=path, header=None if foreign else image.header.copy())


def _content(path: Path) -> bytes:
    """The whole file, decompressed: reading to the end is what checks a gzip file's checksum."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected one image file; give a file inside it")
    if not path.exists():
        raise InputError(f"{path} does not exist, expected an image file (NIfTI, NRRD or MetaImage); check the path")
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path} cannot be read ({reason}), expected a readable NIfTI file; check its permissions") from None
    if content[:2] == b"\x1f\x8b":  # gzip, whatever the file is called
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(
                f"{path} is a truncated or damaged gzip file ({_short(error)}), expected a complete .nii.gz; copy or download it again"
            ) from None
    if not content:
        raise InputError(f"{path} is empty (0 bytes), expected an image file; copy or download it again")
    return content


def _parse(path: Path, content: bytes) -> nib.Nifti1Image:
    if content[344:348] == b"n+1\0":
        kind = nib.Nifti1Image
    elif content[4:8] == b"n+2\0":
        kind = nib.Nifti2Image
    elif content[344:348] == b"ni1\0" or content[4:8] == b"ni2\0":
        raise InputError(f"{path} is the header of a .hdr/.img pair, expected a single-file NIfTI; convert the pair to .nii.gz")
    else:
        raise InputError(
            f"{path} is not a NIfTI file, expected .nii, .nii.gz, .nrrd or .mha; convert it first (DICOM: with dcm2niix; other formats: "
            "with 3D Slicer)"
        )
    try:
        return kind.from_bytes(content)
    except (HeaderDataError, ValueError, OSError, OverflowError) as error:
        raise _damaged_header(path, error) from None


def _shape(path: Path | str, image: SpatialImage) -> tuple[int, int, int]:
    kind = image.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        what = "complex numbers" if kind.kind == "c" else "colours" if kind.fields is not None else str(kind)
        raise InputError(f"{path} holds {what}, expected one grey value a voxel; convert it to a scalar image")
    shape = tuple(int(n) for n in image.shape)
    if any(n < 1 for n in shape):
        raise _damaged_header(path, ValueError(f"its size is {_times(shape)}"))
    if len(shape) < 3:
        raise InputError(f"{path} has {len(shape)} dimension(s) ({_times(shape)}), expected a 3-D image; give the whole volume")
    if any(n != 1 for n in shape[3:]):
        raise InputError(
            f"{path} is {len(shape)}-D ({_times(shape)}: several volumes in one file), expected one 3-D image; "
            "split it into one file a volume"
        )
    if min(shape[:3]) < FEWEST_VOXELS:
        raise InputError(
            f"{path} has {_times(shape[:3])} voxels, expected at least {FEWEST_VOXELS} along each axis; "
            "give the whole volume, not a few slices"
        )
    return shape[:3]


def _affine(path: Path | str, image: SpatialImage, shape: tuple[int, int, int]) -> np.ndarray:
    if image.affine is None or not np.isfinite(image.affine).all():
        raise InputError(f"{path} has NaN or infinite numbers in its affine, expected a voxel-to-world matrix; repair the file's header")
    affine = np.array(image.affine, dtype=np.float64)
    spacing = spacing_of(affine)
    # Of unit axes the determinant is their volume: 1 for a right-angled grid, 0 where it is flat.
    if spacing.min() == 0 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 0.01:
        raise InputError(f"{path} has a singular affine (its voxels are flat), expected three distinct axes; repair the file's header")
    size = "×".join(f"{s:.4g}" for s in spacing)
    if spacing.min() < SMALLEST_SPACING_MM or spacing.max() > LARGEST_SPACING_MM:
        raise InputError(
            f"{path} has voxels of {size} mm, expected {SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm; "
            "check whether its header is in mm and correct it"
        )
    extent = spacing * shape
    if extent.min() < SMALLEST_EXTENT_MM:
        raise InputError(
            f"{path} covers {'×'.join(f'{e:.0f}' for e in extent)} mm, expected a whole head (at least {SMALLEST_EXTENT_MM:g} mm along "
            "each axis); check the voxel size in its header or give the whole volume"
        )
    return affine


def _values(path: Path | str, image: SpatialImage, shape: tuple[int, int, int], size: int | None) -> np.ndarray:
    """The voxels of an image whose file has `size` bytes; None of one that was read already."""
    if size is not None:
        needed = image.dataobj.offset + int(np.prod(image.shape, dtype=np.int64)) * image.get_data_dtype().itemsize
        if size < needed:
            raise InputError(f"{path} ends early ({size} of {needed} bytes), expected a complete NIfTI file; copy or download it again")
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite and is told below
            array = np.ascontiguousarray(image.dataobj, dtype=np.float32).reshape(shape)
    except (HeaderDataError, ValueError, OSError) as error:
        raise _damaged_header(path, error) from None
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise InputError(
            f"{path} has {wrong} NaN or infinite voxels, expected finite numbers; replace them by 0 (the background) and try again"
        )
    return array


def _reject_constant(path: Path | str, array: np.ndarray) -> None:
    low, high = float(array.min()), float(array.max())
    if low == high:
        what = "is empty (every voxel is 0)" if low == 0 else f"is constant (every voxel is {low:g})"
        raise InputError(f"{path} {what}, expected an MR image; check that the right file was given")


def _damaged_header(path: Path | str, error: Exception) -> InputError:
    return InputError(f"{path} has a damaged NIfTI header ({_short(error)}), expected a valid one; export the image again")


def _short(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:120] or type(error).__name__


def _times(values: tuple[int, ...]) -> str:
    return "×".join(str(v) for v in values)
