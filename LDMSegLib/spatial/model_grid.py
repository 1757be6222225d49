"""From a case's own grid to the model's grid and back.

The model's grid is isotropic or nearly so, parallel to the RAS axes and centred on the brain; the case's grid may be
any. Images go down with a smoothing that stands for averaging over the larger voxel; probabilities come back by
trilinear interpolation, which keeps them in [0, 1] and keeps nested regions nested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from LDMSegLib.errors import InputError
from LDMSegLib.specification import Grid

# A brain larger than the trained grid gets a larger grid, up to this many mm an axis: beyond it, it is not a brain.
LARGEST_EXTENT_MM = 320.0


@dataclass(frozen=True)
class PlacedGrid:
    """The model's grid, placed in a case: `affine` voxel→world RAS mm, `shape` (X, Y, Z)."""

    affine: np.ndarray
    shape: tuple[int, int, int]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))


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
    matrix = np.linalg.inv(affine) @ placed.affine
    low, high = _source_box(matrix, placed.shape, array.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    source = np.asarray(array[box], dtype=np.float32)
    # Model voxel size counted in source voxels along each source axis.
    ratio = np.abs(matrix[:3, :3]).max(axis=1)
    # Two boxes of widths 1 and r differ in variance by (r² - 1) / 12: the Gaussian that turns one into the other.
    sigma = np.sqrt(np.maximum(ratio**2 - 1.0, 0.0) / 12.0)
    if (sigma > 0.05).any():
        source = ndimage.gaussian_filter(source, sigma, mode="nearest", truncate=3.0)
    return _affine_transform(source, _shifted(matrix, low), placed.shape, background)


def from_grid(array: np.ndarray, placed: PlacedGrid, affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Bring channels on the model's grid back onto a case's grid by trilinear interpolation, zero outside.

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
        occupied = np.argwhere(channel > 0)
        if not len(occupied):
            continue
        # Only where this channel says anything: the rest of the volume is zero already.
        first, last = occupied.min(axis=0) - 1, occupied.max(axis=0) + 1
        low, high = _target_box(np.linalg.inv(matrix), first, last, shape)
        if (high <= low).any():
            continue
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        target[box] = _affine_transform(channel, _shifted_output(matrix, low), tuple(high - low), 0.0)
    return out


def _affine_transform(source: np.ndarray, matrix: np.ndarray, shape: Sequence[int], background: float) -> np.ndarray:
    """Linear resampling; `matrix` maps output voxels to source voxels. Parallel axes take scipy's faster diagonal path."""
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    # Not scipy's "constant": that blanks a whole face whose coordinate is off by rounding, -1e-12 instead of 0.
    outside = {"mode": "grid-constant", "cval": background}
    order = np.abs(linear).argmax(axis=1)
    parallel = sorted(order) == [0, 1, 2] and np.count_nonzero(np.abs(linear) > 1e-6 * np.abs(linear).max()) == 3
    if not parallel:
        return ndimage.affine_transform(source, linear, offset, output_shape=tuple(shape), output=np.float32, order=1, **outside)
    # Source axis i runs along output axis order[i]: put the source's axes in output order, then only scale and shift.
    arranged = source.transpose(np.argsort(order))
    scale = linear[np.argsort(order), [0, 1, 2]]
    shift = offset[np.argsort(order)]
    for axis in range(3):
        if scale[axis] < 0:  # scipy's diagonal path wants positive steps
            arranged = np.flip(arranged, axis)
            shift[axis] = arranged.shape[axis] - 1 - shift[axis]
            scale[axis] = -scale[axis]
    return ndimage.affine_transform(arranged, scale, shift, output_shape=tuple(shape), output=np.float32, order=1, **outside)


def _world_bounds(foreground: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = [], []
    for axis in range(3):
        line = np.flatnonzero(foreground.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(line):
            raise InputError("the images are empty (every voxel is zero), expected a brain; check that the right files were given")
        low.append(line[0] - 0.5)
        high.append(line[-1] + 0.5)
    corners = _corners(np.array(low), np.array(high))
    world = corners @ affine[:3, :3].T + affine[:3, 3]
    return world.min(axis=0), world.max(axis=0)


def _corners(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    choice = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")).reshape(3, -1).T
    return np.where(choice == 1, high, low)


def _mapped_box(matrix: np.ndarray, low: np.ndarray, high: np.ndarray, margin: int, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    corners = _corners(low, high) @ matrix[:3, :3].T + matrix[:3, 3]
    first = np.floor(corners.min(axis=0)).astype(int) - margin
    last = np.ceil(corners.max(axis=0)).astype(int) + margin + 1
    return np.clip(first, 0, shape), np.clip(last, 0, shape)


def _source_box(matrix: np.ndarray, output_shape: Sequence[int], source_shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The part of the source that the output can see, with room for the smoothing; never empty."""
    low, high = _mapped_box(matrix, np.zeros(3), np.asarray(output_shape) - 1.0, 4, source_shape)
    low = np.minimum(low, np.asarray(source_shape) - 1)
    return low, np.maximum(high, low + 1)


def _target_box(matrix: np.ndarray, first: np.ndarray, last: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    return _mapped_box(matrix, first.astype(float), last.astype(float), 1, shape)


def _shifted(matrix: np.ndarray, low: np.ndarray) -> np.ndarray:
    shifted = matrix.copy()
    shifted[:3, 3] -= low
    return shifted


def _shifted_output(matrix: np.ndarray, low: np.ndarray) -> np.ndarray:
    shifted = matrix.copy()
    shifted[:3, 3] = matrix[:3, :3] @ low + matrix[:3, 3]
    return shifted
