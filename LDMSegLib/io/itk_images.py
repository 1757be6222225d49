"""The formats of ITK and 3D Slicer, NRRD and MetaImage, by SimpleITK."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.endings import ITK
from LDMSegLib.optional import simpleitk
from LDMSegLib.spatial.affine import LPS_TO_RAS


def is_itk_image(path: Path) -> bool:
    """Whether a file is NRRD or MetaImage, by its name."""
    return path.name.lower().endswith(ITK)


def read_itk_image(path: Path) -> nib.Nifti1Image:
    """Read one NRRD or MetaImage file.

    Args:
        path: of a file that exists; of .nhdr and .mhd the voxels lie in another file.

    Returns:
        The image in memory, in the type of its voxels, affine voxel→world RAS mm, without anything else of its header.

    Raises:
        InputError: SimpleITK is not installed, the file is damaged, or it holds colours or vectors.
    """
    sitk = simpleitk(f"reading {path} (NRRD and MetaImage)", ", or save the volume as .nii.gz")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # what is wrong is said below
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = " ".join(str(error).split()).rpartition("ITK ERROR:")[2].strip().rstrip(".")[-120:]
        raise InputError(f"{path} is damaged or incomplete ({reason}), expected a NRRD or MetaImage volume; save it again") from None
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(
            f"{path} holds {image.GetNumberOfComponentsPerPixel()} values a voxel (colours, vectors or time points), expected one grey "
            "value a voxel; save it as a scalar volume"
        )
    affine = np.eye(4)
    if image.GetDimension() == 3:
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        affine = LPS_TO_RAS @ affine
    array = sitk.GetArrayViewFromImage(image).T
    return nib.Nifti1Image(array.astype(np.float64 if array.dtype == np.int64 or array.dtype == np.uint64 else array.dtype), affine)
