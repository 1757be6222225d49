"""Comparing voxel grids and bringing an image from one grid onto another.

All affines map voxel indices to world coordinates in mm, RAS.
"""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np
from scipy import ndimage

from LDMSegLib.spatial.boxes import bounding_box

# Affines written by different programs differ by rounding: up to this the grids are one grid.
SAME_GRID_MM = 0.1

# Off-diagonal terms that move no voxel of the target by more than this are rounding, not rotation.
_PARALLEL_VOXELS = 1e-3


def corners(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """World coordinates (8, 3) in mm of the centres of a grid's corner voxels."""
    index = np.array(np.meshgrid(*[(0, n - 1) for n in shape], indexing="ij")).reshape(3, -1)
    return _apply(affine, index.T)


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
    turn = _directions(target_affine).T @ _directions(affine)
    orientation = nib.io_orientation(np.block([[turn, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]))
    moved = nib.apply_orientation(array, orientation)
    return moved, affine @ nib.orientations.inv_ornt_aff(orientation, array.shape)


def coverage(affine: np.ndarray, shape: Sequence[int], target_affine: np.ndarray, target_shape: Sequence[int]) -> float:
    """The share, 0 to 1, of the target's field of view that the image covers, counted on a lattice of at most 24³ points."""
    lines = [np.linspace(-0.5, n - 0.5, min(24, n) + 1) for n in target_shape]
    points = np.array(np.meshgrid(*[(line[:-1] + line[1:]) / 2 for line in lines], indexing="ij")).reshape(3, -1).T
    index = _apply(np.linalg.inv(affine) @ target_affine, points)
    # Half a voxel beyond the outermost centres is still inside the outermost voxels; the margin is for rounding.
    inside = ((index >= -0.5 - 1e-6) & (index <= np.asarray(shape) - 0.5 + 1e-6)).all(axis=1)
    return float(inside.mean())


def difference(affine: np.ndarray, shape: Sequence[int], target_affine: np.ndarray, target_shape: Sequence[int]) -> str:
    """How a grid differs from the target's, for a person; "no difference" where it doesn't.

    Axes that are merely stored in another order are not a difference: sizes are compared along the target's axes.
    The shift is between the centres of the two fields of view, the rotation between their axes.
    """
    placeholder, affine = aligned_axes(np.broadcast_to(False, tuple(shape)), affine, target_affine)
    said = []
    spacing, wanted = (np.linalg.norm(a[:3, :3], axis=0) for a in (affine, target_affine))
    if (np.abs(spacing - wanted) > 1e-3 * wanted).any():
        said.append(f"voxels of {_times(spacing, '.3g')} mm instead of {_times(wanted, '.3g')} mm")
    if tuple(placeholder.shape) != tuple(target_shape):
        said.append(f"{_times(placeholder.shape, 'd')} voxels instead of {_times(target_shape, 'd')}")
    shift = float(np.linalg.norm(_centre(affine, placeholder.shape) - _centre(target_affine, target_shape)))
    if shift > SAME_GRID_MM:
        said.append(f"its centre {shift:.1f} mm away")
    turn = rotation(affine, target_affine)
    if turn > 0.05:
        said.append(f"turned by {turn:.1f}°")
    return ", ".join(said) or "no difference"


def rotation(affine: np.ndarray, target_affine: np.ndarray) -> float:
    """The angle in degrees between two grids' axes, swaps and flips of axes apart."""
    _, affine = aligned_axes(np.broadcast_to(False, (1, 1, 1)), affine, target_affine)
    turn = _directions(target_affine).T @ _directions(affine)
    # A rotation by t has trace 1 + 2 cos t.
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))))


def resample_to(
    array: np.ndarray,
    affine: np.ndarray,
    target_affine: np.ndarray,
    target_shape: Sequence[int],
    order: int = 1,
    fill: float = 0.0,
) -> np.ndarray:
    """Sample an image at the voxel centres of another grid, in world space.

    Args:
        array: (X, Y, Z).
        affine: of `array`.
        target_affine: of the grid wanted.
        target_shape: (X, Y, Z) of the grid wanted.
        order: of the spline: 0 nearest (labels), 1 linear (images).
        fill: value outside the image's field of view.

    Returns:
        (X, Y, Z) of `target_shape`, in the dtype of `array`.
    """
    array, affine = aligned_axes(array, affine, target_affine)
    matrix = np.linalg.inv(affine) @ target_affine
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    skew = np.abs(linear - np.diag(np.diag(linear))) @ np.asarray(target_shape)
    if skew.max() < _PARALLEL_VOXELS:
        linear = np.diag(linear)  # scipy treats the axes one by one: much faster
    # grid-constant: with "constant" a coordinate of -1e-12, mere rounding, would blank a whole face of the image.
    return ndimage.affine_transform(
        array, linear, offset, output_shape=tuple(target_shape), order=order, mode="grid-constant", cval=fill, output=array.dtype
    )


def resample_inside(array: np.ndarray, affine: np.ndarray, target_affine: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """As `resample_to` (linear) onto the grid of a mask, but only where the mask is true; 0 elsewhere.

    A brain fills a good third of its field of view, and the rest is not computed.

    Args:
        array: (X, Y, Z).
        affine: of `array`.
        target_affine: of `inside`.
        inside: (X, Y, Z) bool.

    Returns:
        (X, Y, Z) of `inside`'s shape, in the dtype of `array`.
    """
    out = np.zeros(inside.shape, array.dtype)
    if inside.any():
        box = bounding_box(inside)
        corner = target_affine.copy()
        corner[:3, 3] = _apply(target_affine, np.array([part.start for part in box]))
        part = resample_to(array, affine, corner, inside[box].shape)
        out[box] = np.where(inside[box], part, array.dtype.type(0))
    return out


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]


def _centre(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return _apply(affine, (np.asarray(shape) - 1.0) / 2.0)


def _directions(affine: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to an affine's axes (polar decomposition): directions without spacing or shear."""
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    return left @ right


def _times(values: Sequence[float], style: str) -> str:
    return "×".join(format(v, style) for v in values)
