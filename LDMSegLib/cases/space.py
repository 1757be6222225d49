"""The spaces that bundles were trained in: their grid, and a brain that shows how heads lie there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from LDMSegLib.cases.volume import Volume

_FOLDER = Path(__file__).parent / "reference_brain"


@dataclass(frozen=True, eq=False)
class Space:
    """`affine` (voxel→world RAS mm) and `shape` of the grid that prepared images have; `brain` is an average T1 brain in it."""

    name: str
    affine: np.ndarray
    shape: tuple[int, int, int]
    brain: Volume


def find_space(name: str) -> Space | None:
    """The space that a bundle's grid names; None for one that nothing is known of."""
    if name != "SRI24":
        return None
    # The grid of the BraTS data: 1 mm, indices growing towards left, posterior, superior.
    affine = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239.0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    image = nib.load(_FOLDER / "mni152_3mm.nii.gz")
    brain = Volume(np.asarray(image.dataobj, np.float32), np.array(image.affine, np.float64))
    return Space(name, affine, (240, 240, 155), brain)
