"""The nearest voxel's value on another grid: for labels, and for a quick look in Slicer, which may have numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def resample_nearest(
    array: np.ndarray, affine: np.ndarray, target_affine: np.ndarray, target_shape: Sequence[int], fill: float = 0
) -> np.ndarray:
    """The value of the nearest voxel at each voxel centre of another grid.

    Args:
        array: (X, Y, Z).
        affine: of `array`, voxel→world RAS mm.
        target_affine: of the grid wanted.
        target_shape: (X, Y, Z) of the grid wanted.
        fill: value outside the image's field of view.

    Returns:
        (X, Y, Z) of `target_shape`, in the dtype of `array`.
    """
    step = np.linalg.inv(affine) @ target_affine
    x, y, z = np.ogrid[tuple(slice(0, n) for n in target_shape)]
    # The index along each axis of the source is a sum of one term for each axis of the target.
    index = [np.rint(s[0] * x + s[1] * y + s[2] * z + s[3]).astype(np.int64) for s in step[:3]]
    inside = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(index, array.shape, strict=True)])
    found = array[tuple(np.clip(i, 0, n - 1) for i, n in zip(index, array.shape, strict=True))]
    return np.where(inside, found, array.dtype.type(fill))
