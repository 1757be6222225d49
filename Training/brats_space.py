"""The space of the BraTS volumes: where label maps lie that come without an image."""

from __future__ import annotations

import numpy as np

from LDMSegLib.spatial.affine import BRATS_AFFINE, BRATS_SHAPE
from LDMSegLib.spatial.model_grid import PlacedGrid
from LDMSegLib.specification import Grid

# Where brains lie in that space (mean bounding-box centre of the cases here), for label maps that come without a brain.
BRATS_CENTRE = np.array([-119.0, 110.0, 71.5])


def affine_of(shape: tuple[int, ...]) -> np.ndarray:
    """The affine of a whole BraTS volume resampled to `shape`, voxel edges aligned."""
    zoom = np.asarray(BRATS_SHAPE) / np.asarray(shape)
    step = np.diag([*zoom, 1.0])
    step[:3, 3] = (zoom - 1) / 2
    return BRATS_AFFINE @ step


def model_grid(grid: Grid) -> PlacedGrid:
    """The model's grid where brains lie in this space."""
    spacing = np.asarray(grid.spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = BRATS_CENTRE - spacing * (np.asarray(grid.shape) - 1) / 2
    return PlacedGrid(affine, grid.shape)
