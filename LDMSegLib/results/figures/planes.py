"""Which slice of a volume is shown, which way round, and where a voxel lies in the picture.

Volumes are brought to the nearest canonical order (axes towards Right, Anterior, Superior) by swapping and flipping
axes only, so that no voxel is interpolated. Pictures follow the radiological convention: the patient's right is on the
left of axial and coronal views, anterior is on the left of sagittal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform


@dataclass(frozen=True)
class Plane:
    """A direction to look at. `axis`, `across` and `up` are canonical axes; `across` is drawn from its high end to its low end.

    `letters` stand at the picture's left, right, top and bottom.
    """

    name: str
    axis: int
    across: int
    up: int
    letters: tuple[str, str, str, str]


AXIAL = Plane("Axial", 2, 0, 1, ("R", "L", "A", "P"))
CORONAL = Plane("Coronal", 1, 0, 2, ("R", "L", "S", "I"))
SAGITTAL = Plane("Sagittal", 0, 1, 2, ("A", "P", "S", "I"))
PLANES = (AXIAL, CORONAL, SAGITTAL)


class Canonical:
    """The canonical order of a grid.

    Attributes:
        spacing: Voxel size along R, A, S in mm.
        tilt: The largest angle between a voxel axis and the body axis it is named after, in degrees.
    """

    def __init__(self, affine: np.ndarray, shape: Sequence[int]) -> None:
        affine = np.asarray(affine, dtype=np.float64)
        native = io_orientation(affine)
        self._transform = ornt_transform(native, axcodes2ornt("RAS"))
        self._shape = tuple(shape)
        order = np.argsort(native[:, 0])
        self.spacing = np.linalg.norm(affine[:3, :3], axis=0)[order]
        directions = affine[:3, order] / self.spacing
        self.tilt = float(np.degrees(np.arccos(np.clip(np.abs(np.diagonal(directions)).min(), 0, 1))))

    def turn(self, array: np.ndarray) -> np.ndarray:
        """A view (no copy) of an (X, Y, Z) array with its axes towards R, A, S."""
        return apply_orientation(array, self._transform)

    def voxel(self, voxel: Sequence[int]) -> tuple[int, int, int]:
        """Where a voxel of the original array is in the turned one."""
        out = [0, 0, 0]
        for source, (axis, flip) in enumerate(self._transform):
            out[int(axis)] = int(voxel[source]) if flip > 0 else self._shape[source] - 1 - int(voxel[source])
        return tuple(out)


@dataclass(frozen=True)
class Cut:
    """One slice of canonical volumes: a plane, the index on its axis, and the (first, last) voxels shown on each axis."""

    plane: Plane
    index: int
    box: Sequence[tuple[int, int]]
    spacing: np.ndarray

    def of(self, array: np.ndarray) -> np.ndarray:
        """(rows from the picture's bottom up, columns from its left) of a canonical volume."""
        where: list[object] = [slice(low, high + 1) for low, high in self.box]
        where[self.plane.axis] = self.index
        return np.asarray(array[tuple(where)])[::-1, :].T  # the two axes left stand in the order across, up

    @property
    def size(self) -> tuple[float, float]:
        """The picture's width and height in mm."""
        return tuple(float((self.box[a][1] - self.box[a][0] + 1) * self.spacing[a]) for a in (self.plane.across, self.plane.up))

    def point(self, voxel: Sequence[int]) -> tuple[float, float]:
        """Where a canonical voxel's centre lies, in mm from the picture's lower left corner."""
        across, up = self.plane.across, self.plane.up
        x = (self.box[across][1] - voxel[across] + 0.5) * self.spacing[across]
        y = (voxel[up] - self.box[up][0] + 0.5) * self.spacing[up]
        return float(x), float(y)
