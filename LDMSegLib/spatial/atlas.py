"""The spaces that bundles were trained in: their grid, and a brain that shows how heads lie there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from LDMSegLib.spatial.affine import BRATS_AFFINE, BRATS_SHAPE, spacing_of
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume

_FOLDER = Path(__file__).parent / "reference_brain"
# What is brain in the average, as a share of its brightest value, and the gaps between gyri that belong to it.
_BRAIN, _GAPS_MM = 0.1, 4.0


@dataclass(frozen=True, eq=False)
class Space:
    """`affine` (voxel→world RAS mm) and `shape` of the grid that prepared images have; `brain` is an average T1 brain in it."""

    name: str
    affine: np.ndarray
    shape: tuple[int, int, int]
    brain: Volume

    def coarse(self, mm: float) -> tuple[np.ndarray, tuple[int, int, int]]:
        """The same field of view in voxels of `mm`: affine (voxel→world RAS mm) and shape."""
        steps = mm / spacing_of(self.affine)
        grid = self.affine @ np.diag([*steps, 1.0])
        grid[:3, 3] += self.affine[:3, :3] @ ((steps - 1) / 2)
        return grid, tuple(int(np.ceil(n / step)) for n, step in zip(self.shape, steps, strict=True))

    def inside(self, affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
        """(X, Y, Z) bool: the average brain without holes, on the grid given by `affine` (voxel→world RAS mm) and `shape`."""
        array = resample_to(self.brain.array, self.brain.affine, affine, shape, smooth=False)
        spacing = spacing_of(affine).min()
        closed = ndimage.binary_closing(array > _BRAIN * self.brain.array.max(), iterations=max(1, round(_GAPS_MM / spacing)))
        return ndimage.binary_fill_holes(closed)


def find_space(name: str) -> Space | None:
    """The space that a bundle's grid names; None for one that nothing is known of."""
    if name != "SRI24":
        return None
    image = nib.load(_FOLDER / "mni152_3mm.nii.gz")
    brain = Volume(np.asarray(image.dataobj, np.float32), np.array(image.affine, np.float64))
    return Space(name, BRATS_AFFINE.copy(), BRATS_SHAPE, brain)
