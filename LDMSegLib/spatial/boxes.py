"""The box around what is true in a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def bounding_box(mask: np.ndarray, margin: int | Sequence[int] = 0) -> tuple[slice, ...] | None:
    """The smallest box that holds a mask, widened by `margin` voxels inside the array; None for an empty mask."""
    margins = np.broadcast_to(margin, (mask.ndim,))
    box = []
    for axis, size in enumerate(mask.shape):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        if line.size == 0:
            return None
        box.append(slice(max(int(line[0] - margins[axis]), 0), min(int(line[-1] + 1 + margins[axis]), size)))
    return tuple(box)


def whole_grid(mask: np.ndarray) -> tuple[slice, ...]:
    """All of a mask's grid, for where an empty mask shall mean no restriction."""
    return tuple(slice(0, n) for n in mask.shape)
