"""Images brought from one grid onto another, in world space.

One linear interpolation for everything, `interpolate`. An image that goes to larger voxels is smoothed first (`low_pass`), so that
a voxel of the target stands for all the tissue in it and not for the one point in its middle; a mask or a probability is not.
Affines are voxel→world RAS mm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from LDMSegLib.spatial.affine import transform_points
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.grids import aligned_axes

# Off-diagonal terms that move no voxel of the target by more than this are rounding, not rotation.
_PARALLEL_VOXELS = 1e-3
# Gaussians end at so many standard deviations; of those narrower than so many source voxels that leaves the middle alone.
_TRUNCATE, _NARROWEST = 3.0, 1 / 6
# Voxels are looked at this far to either side; a wider Gaussian takes longer steps.
_MOST_TAPS = 12
# Smoothing along the source's axes alone must not miss the target's direction by more voxels than this at one standard deviation.
_ASKEW = 0.25


@dataclass(frozen=True, eq=False)
class LowPass:
    """A Gaussian in voxels of the source: `sigma` (3,) along its axes, then a mean over `offsets` (n, 3) with `weights` (n,)."""

    sigma: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    @property
    def reach(self) -> np.ndarray:
        """How many voxels away, at most, a voxel is still seen along each axis."""
        return np.ceil(_TRUNCATE * self.sigma) + np.ceil(np.abs(self.offsets).max(axis=0))


def low_pass(linear: np.ndarray) -> LowPass:
    """The Gaussian that turns the source's voxel into the target's, as far as that is larger.

    A box of width w has variance w²/12 along its edge. So the target's voxel, seen in source voxels, has the covariance L Lᵀ / 12
    and the source's own I / 12; the Gaussian has the difference, or 0 along directions in which the target is finer. Where that is
    oblique to the source's axes (thick slices at an angle), it is taken apart into an isotropic part and lines along its
    principal axes.

    Args:
        linear: (3, 3), from steps in the target's voxels to steps in the source's.
    """
    along = (np.sum(linear**2, axis=1) - 1.0) / 12.0
    covariance = linear @ linear.T / 12.0
    across = np.abs(covariance - np.diag(np.diag(covariance))).max()
    if across <= _ASKEW * np.sqrt(max(along.max(), 1e-6)):
        return LowPass(np.sqrt(np.maximum(along, 0.0)), np.zeros((1, 3)), np.ones(1))
    values, vectors = np.linalg.eigh(covariance - np.eye(3) / 12.0)
    values = np.maximum(values, 0.0)
    lines = [_line(value - values.min()) for value in values]
    steps = np.array(list(itertools.product(*[line[0] for line in lines])))
    weights = np.array([np.prod(each) for each in itertools.product(*[line[1] for line in lines])])
    return LowPass(np.full(3, np.sqrt(values.min())), steps @ vectors.T, weights)


def _line(variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions and weights of a sampled Gaussian."""
    sigma = float(np.sqrt(variance))
    if sigma <= _NARROWEST:
        return np.zeros(1), np.ones(1)
    taps = min(int(np.ceil(_TRUNCATE * sigma)), _MOST_TAPS)
    steps = np.arange(-taps, taps + 1) * max(1.0, _TRUNCATE * sigma / _MOST_TAPS)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    return steps, weights / weights.sum()


def resample_to(
    array: np.ndarray, affine: np.ndarray, target_affine: np.ndarray, target_shape: Sequence[int], fill: float = 0.0, smooth: bool = True
) -> np.ndarray:
    """Resample an image onto another grid, linearly; averaging where the target's voxels are larger.

    Args:
        array: (X, Y, Z).
        affine: of `array`.
        target_affine: of the grid wanted.
        target_shape: (X, Y, Z) of the grid wanted.
        fill: value outside the image's field of view.
        smooth: False takes the value at the centre of each target voxel, whatever the voxels' sizes.

    Returns:
        (X, Y, Z) of `target_shape`, in the dtype of `array`.
    """
    matrix = np.linalg.inv(affine) @ target_affine
    smoothing = low_pass(matrix[:3, :3])
    if not smooth or (len(smoothing.weights) == 1 and (smoothing.sigma <= _NARROWEST).all()):
        array, affine = aligned_axes(array, affine, target_affine)
        return interpolate(array, np.linalg.inv(affine) @ target_affine, target_shape, fill, array.dtype)
    # Only what the target can see is smoothed, and what the smoothing needs around it.
    low, high = _seen(matrix, target_shape, array.shape, np.maximum(smoothing.reach + 2, 4))
    seen = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    seen = seen if np.issubdtype(array.dtype, np.floating) else seen.astype(np.float32)
    matrix[:3, 3] -= low
    if (smoothing.sigma > _NARROWEST).any():
        seen = ndimage.gaussian_filter(seen, smoothing.sigma, mode="nearest", truncate=_TRUNCATE)
    if len(smoothing.weights) == 1:
        return interpolate(seen, matrix, target_shape, fill, array.dtype)
    total = np.zeros(tuple(target_shape), seen.dtype)
    for offset, weight in zip(smoothing.offsets, smoothing.weights, strict=True):
        moved = matrix.copy()
        moved[:3, 3] += offset
        total += seen.dtype.type(weight) * interpolate(seen, moved, target_shape, fill, seen.dtype)
    return total if total.dtype == array.dtype else np.rint(total).astype(array.dtype)


def resample_mask(mask: np.ndarray, affine: np.ndarray, target_affine: np.ndarray, target_shape: Sequence[int]) -> np.ndarray:
    """(X, Y, Z) bool of `target_shape`: where a mask, interpolated linearly, is above one half; false outside its field of view."""
    return resample_to(mask.astype(np.float32), affine, target_affine, target_shape, smooth=False) > 0.5


def resample_inside(array: np.ndarray, affine: np.ndarray, target_affine: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """As `resample_to` onto the grid of a mask, but only where the mask is true; 0 elsewhere.

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
    box = bounding_box(inside)
    if box is not None:
        corner = target_affine.copy()
        corner[:3, 3] = transform_points(target_affine, np.array([part.start for part in box]))
        part = resample_to(array, affine, corner, inside[box].shape)
        out[box] = np.where(inside[box], part, array.dtype.type(0))
    return out


def interpolate(source: np.ndarray, matrix: np.ndarray, shape: Sequence[int], fill: float, dtype: np.dtype | type) -> np.ndarray:
    """Trilinear interpolation; `matrix` (4, 4) maps voxels of the output to voxels of the source.

    Axes that are parallel, also in another order or direction, take scipy's way one by one, which is much faster.
    """
    linear, offset = matrix[:3, :3], matrix[:3, 3].copy()
    # Not scipy's "constant": that blanks a whole face whose coordinate is off by rounding, -1e-12 instead of 0.
    options = {"output_shape": tuple(int(n) for n in shape), "output": dtype, "order": 1, "mode": "grid-constant", "cval": fill}
    order = np.abs(linear).argmax(axis=1)
    main = np.zeros((3, 3), bool)
    main[np.arange(3), order] = True
    if sorted(order) != [0, 1, 2] or (np.where(main, 0.0, np.abs(linear)) @ np.asarray(shape)).max() >= _PARALLEL_VOXELS:
        return ndimage.affine_transform(source, linear, offset, **options)
    # Source axis i runs along output axis order[i]: put the source's axes in output order, then only scale and shift.
    back = np.argsort(order)
    arranged, scale, shift = source.transpose(back), linear[back, [0, 1, 2]], offset[back]
    for axis in range(3):
        if scale[axis] < 0:  # scipy's way wants positive steps
            arranged = np.flip(arranged, axis)
            shift[axis] = arranged.shape[axis] - 1 - shift[axis]
            scale[axis] = -scale[axis]
    return ndimage.affine_transform(arranged, scale, shift, **options)


def _seen(matrix: np.ndarray, shape: Sequence[int], source_shape: Sequence[int], margin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first voxel of the source that an output grid can see, and the one after the last; never empty."""
    corners = np.array(list(itertools.product(*[(0.0, n - 1.0) for n in shape])))
    index = transform_points(matrix, corners)
    low = np.clip(np.floor(index.min(axis=0)) - margin, 0, np.asarray(source_shape) - 1).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + margin + 1, low + 1, source_shape).astype(int)
    return low, high
