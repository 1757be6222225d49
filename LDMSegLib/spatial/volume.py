"""One image and where it lies in the patient. Needs numpy alone, as `affine` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.spatial.affine import axis_codes, spacing_of


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
        return tuple(float(s) for s in spacing_of(self.affine))

    @property
    def orientation(self) -> str:
        """Which way each array axis runs, e.g. "LPS" where indices grow towards left, posterior and superior."""
        return axis_codes(self.affine)
