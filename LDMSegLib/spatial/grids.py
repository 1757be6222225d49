"""Voxel grids compared: a grid is an affine (voxel→world RAS mm) and a shape.

Needs numpy alone, as `affine` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from LDMSegLib.spatial.affine import directions, nearest_axes, spacing_of, transform_points
from LDMSegLib.spatial.limits import SAME_GRID_MM


def corners(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """World coordinates (8, 3) in mm of the centres of a grid's corner voxels."""
    index = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    return transform_points(affine, index.T)


def corner_displacement(affine: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """How far apart, in mm, two affines put the same corner voxel of a grid of this shape, at worst."""
    return float(np.linalg.norm(corners(affine, shape) - corners(other, shape), axis=1).max())


def same_grid(
    affine: np.ndarray,
    shape: Sequence[int],
    other_affine: np.ndarray,
    other_shape: Sequence[int],
    tolerance: float = SAME_GRID_MM,
) -> bool:
    """Whether two grids have the same shape and put no voxel further apart than `tolerance` mm."""
    return tuple(shape) == tuple(other_shape) and corner_displacement(affine, other_affine, shape) <= tolerance


def aligned_axes(array: np.ndarray, affine: np.ndarray, target_affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Swap and flip axes so that they run as nearly as possible like the target's; no value changes.

    Args:
        array: (X, Y, Z).
        affine: of `array`.
        target_affine: whose axis directions are wanted.

    Returns:
        The array (a view) and its affine; every voxel stays where it is in the world.
    """
    axes = nearest_axes(directions(target_affine).T @ directions(affine))
    order = [row for row, _ in axes]
    moved, back = array.transpose(np.argsort(order)), np.zeros((4, 4))
    back[3, 3] = 1.0
    for source, (row, sign) in enumerate(axes):
        back[source, row] = sign
        if sign < 0:
            moved = np.flip(moved, row)
            back[source, 3] = array.shape[source] - 1
    return moved, affine @ back


def aligned_grid(affine: np.ndarray, shape: Sequence[int], target_affine: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Affine and shape that a grid has once its axes are stored in the target's order and direction."""
    moved, affine = aligned_axes(np.broadcast_to(False, tuple(shape)), affine, target_affine)
    return affine, moved.shape


def coverage(affine: np.ndarray, shape: Sequence[int], target_affine: np.ndarray, target_shape: Sequence[int]) -> float:
    """The share, 0 to 1, of the target's field of view that the image covers, counted on a lattice of at most 24³ points."""
    lines = [np.linspace(-0.5, n - 0.5, min(24, n) + 1) for n in target_shape]
    points = np.array(np.meshgrid(*[(line[:-1] + line[1:]) / 2 for line in lines], indexing="ij")).reshape(3, -1).T
    index = transform_points(np.linalg.inv(affine) @ target_affine, points)
    # Half a voxel beyond the outermost centres is still inside the outermost voxels; the margin is for rounding.
    inside = ((index >= -0.5 - 1e-6) & (index <= np.asarray(shape) - 0.5 + 1e-6)).all(axis=1)
    return float(inside.mean())


def difference(affine: np.ndarray, shape: Sequence[int], target_affine: np.ndarray, target_shape: Sequence[int]) -> str:
    """How a grid differs from the target's, for a person; "no difference" where it doesn't.

    Axes that are merely stored in another order are not a difference: sizes are compared along the target's axes.
    The shift is between the centres of the two fields of view, the rotation between their axes.
    """
    affine, shape = aligned_grid(affine, shape, target_affine)
    said = []
    spacing, wanted = spacing_of(affine), spacing_of(target_affine)
    if (np.abs(spacing - wanted) > 1e-3 * wanted).any():
        said.append(f"voxels of {_times(spacing, '.3g')} mm instead of {_times(wanted, '.3g')} mm")
    if tuple(shape) != tuple(target_shape):
        said.append(f"{_times(shape, 'd')} voxels instead of {_times(target_shape, 'd')}")
    shift = float(np.linalg.norm(_centre(affine, shape) - _centre(target_affine, target_shape)))
    if shift > SAME_GRID_MM:
        said.append(f"its centre {shift:.1f} mm away")
    turn = rotation(affine, target_affine)
    if turn > 0.05:
        said.append(f"turned by {turn:.1f}°")
    if not said and not same_grid(affine, shape, target_affine, target_shape):
        said.append(f"its corners up to {corner_displacement(affine, target_affine, shape):.1f} mm away")
    return ", ".join(said) or "no difference"


def rotation(affine: np.ndarray, target_affine: np.ndarray) -> float:
    """The angle in degrees between two grids' axes, swaps and flips of axes apart."""
    affine, _ = aligned_grid(affine, (1, 1, 1), target_affine)
    turn = directions(target_affine).T @ directions(affine)
    # A rotation by t has trace 1 + 2 cos t.
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))))


def _centre(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return transform_points(affine, (np.asarray(shape) - 1.0) / 2.0)


def _times(values: Sequence[float] | np.ndarray, style: str) -> str:
    return "×".join(format(v, style) for v in values)
