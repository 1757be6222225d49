"""One image and where it lies in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


@dataclass(frozen=True, eq=False)
class Volume:
    """One image: `array` float32 (X, Y, Z), `affine` float64 4×4 voxel→world RAS mm.

    `path` is the file it came from, if any. `header` is that file's nibabel header, kept so that a result can be
    written with exactly the same geometry (sform and qform codes, units).
    """

    array: np.ndarray
    affine: np.ndarray
    path: Path | None = None
    header: Any | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each array axis."""
        return tuple(int(n) for n in self.array.shape)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along each array axis."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def orientation(self) -> str:
        """Which way each array axis runs, e.g. "LPS" where indices grow towards left, posterior and superior."""
        return "".join(nib.aff2axcodes(self.affine))

    def describe(self) -> str:
        """Size, spacing and orientation for a person, e.g. "240×240×155 voxels of 1×1×1 mm, LPS"."""
        voxels = "×".join(str(n) for n in self.shape)
        size = "×".join(f"{s:.3g}" for s in self.spacing)
        return f"{voxels} voxels of {size} mm, {self.orientation}"
