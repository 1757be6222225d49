"""From a case's own grid to the model's grid and back.

The model's grid is isotropic or nearly so, parallel to the RAS axes and centred on the brain; the case's grid may be
any. Images go down with a smoothing that stands for averaging over the larger voxel; probabilities come back by
trilinear interpolation, which keeps them in [0, 1] and keeps nested regions nested.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.spatial.affine import spacing_of, transform_points
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.limits import LARGEST_EXTENT_MM
from LDMSegLib.spatial.resampling import interpolate, resample_to
from LDMSegLib.specification import Grid


@dataclass(frozen=True)
class PlacedGrid:
    """The model's grid, placed in a case: `affine` voxel→world RAS mm, `shape` (X, Y, Z)."""

    affine: np.ndarray
    shape: tuple[int, int, int]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        return tuple(float(s) for s in spacing_of(self.affine))


def place(foreground: np.ndarray, affine: np.ndarray, grid: Grid) -> PlacedGrid:
    """The bundle's grid centred on the foreground's bounding box, larger in steps of `grid.multiple` if it must be.

    Args:
        foreground: (X, Y, Z) bool, true inside the brain.
        affine: of `foreground`, voxel→world RAS mm.
        grid: spacing, usual shape and multiple the networks need.

    Raises:
        InputError: the foreground is empty or far larger than a head.
    """
    low, high = _world_bounds(foreground, affine)
    extent = high - low
    if float(extent.max()) > LARGEST_EXTENT_MM:
        found = "×".join(f"{e:.0f}" for e in extent)
        raise InputError(
            f"the image's non-zero part measures {found} mm, expected a head of at most {LARGEST_EXTENT_MM:.0f} mm; "
            "check the voxel size in the file or crop the image"
        )
    spacing = np.asarray(grid.spacing, dtype=np.float64)
    needed = np.ceil(extent / spacing / grid.multiple).astype(int) * grid.multiple
    shape = np.maximum(np.asarray(grid.shape), needed)
    centre = (low + high) / 2
    placed = np.diag([*spacing, 1.0])
    placed[:3, 3] = centre - spacing * (shape - 1) / 2
    return PlacedGrid(placed, tuple(int(n) for n in shape))


def to_grid(array: np.ndarray, affine: np.ndarray, placed: PlacedGrid, background: float = 0.0) -> np.ndarray:
    """Resample one image onto the model's grid, averaging where the model's voxels are larger.

    Args:
        array: (X, Y, Z) in the case's grid.
        affine: of `array`, voxel→world RAS mm.
        placed: the model's grid.
        background: value outside the image's field of view.

    Returns:
        float32 (X, Y, Z) on the model's grid.
    """
    return resample_to(np.asarray(array, dtype=np.float32), affine, placed.affine, placed.shape, background)


def from_grid(array: np.ndarray, placed: PlacedGrid, affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Bring channels on the model's grid back onto a case's grid by trilinear interpolation, zero outside.

    A voxel gets the probability at its centre, also where it is larger than the model's.

    Args:
        array: (C, X, Y, Z) on the model's grid.
        placed: the model's grid.
        affine: of the case's grid, voxel→world RAS mm.
        shape: (X, Y, Z) of the case's grid.

    Returns:
        float32 (C, X, Y, Z) on the case's grid.
    """
    matrix = np.linalg.inv(placed.affine) @ affine
    out = np.zeros((array.shape[0], *shape), dtype=np.float32)
    for channel, target in zip(np.asarray(array, dtype=np.float32), out, strict=True):
        # Only where this channel says anything: the rest of the volume is zero already.
        box = bounding_box(channel > 0)
        low, high = (0, 0) if box is None else _reached(np.linalg.inv(matrix), box, shape)
        if np.any(high <= low):
            continue
        part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        corner = matrix.copy()
        corner[:3, 3] = transform_points(matrix, low)
        target[part] = interpolate(channel, corner, tuple(high - low), 0.0, np.float32)
    return out


def _world_bounds(foreground: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    box = bounding_box(foreground)
    if box is None:
        raise InputError("the images are empty (every voxel is zero), expected a brain; check that the right files were given")
    world = transform_points(affine, np.array(list(itertools.product(*[(part.start - 0.5, part.stop - 0.5) for part in box]))))
    return world.min(axis=0), world.max(axis=0)


def _reached(matrix: np.ndarray, box: tuple[slice, ...], shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The part of a grid that a box of the model's reaches: its first voxel, and the one after the last."""
    index = transform_points(matrix, np.array(list(itertools.product(*[(part.start - 1, part.stop) for part in box]))))
    low = np.clip(np.floor(index.min(axis=0)).astype(int) - 1, 0, shape)
    return low, np.clip(np.ceil(index.max(axis=0)).astype(int) + 2, 0, shape)
