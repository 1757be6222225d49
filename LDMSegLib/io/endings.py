"""What the names of image files end in."""

from __future__ import annotations

NIFTI = (".nii.gz", ".nii")
# NRRD and MetaImage, which ITK and 3D Slicer write. The headers that lie beside their voxels are named, the voxels' files are not.
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
IMAGES = (*NIFTI, *ITK)
