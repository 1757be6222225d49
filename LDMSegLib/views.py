"""The same MRI seen in other ways: mirrored along its axes, and with or without its uneven brightness.

What a network says should not depend on it. Where it does, it is unsure in a way that the noise of one view cannot show
(test-time augmentation as a measure of uncertainty: Wang et al. 2019, arXiv:1807.07356). The ensemble's members are dealt to
the views in equal blocks, so views cost one reading of the MRI each and no further step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

MOST = 8


@dataclass(frozen=True)
class View:
    """The spatial axes of the model's grid (0 left-right, 1 back-front, 2 up-down) along which the MRI is mirrored.

    `evened`: of a case that has evened images beside those as they are (`cases.shading`), this view is of the former.
    """

    axes: tuple[int, ...] = ()
    evened: bool = False

    def seen(self, mri: np.ndarray) -> np.ndarray:
        """(S, X, Y, Z) on the model's grid → the same in this view."""
        return np.ascontiguousarray(np.flip(mri, [axis + 1 for axis in self.axes]))

    def undone(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(R, X, Y, Z) found in this view → in the first one."""
        return probabilities.flip([axis + 1 for axis in self.axes]) if self.axes else probabilities


def views(count: int, evened: bool = False) -> tuple[View, ...]:
    """The first `count` of the eight mirrorings: as it is, left for right, then the same two with the other axes.

    With `evened` images to see, every view mirrored along an even number of axes, the first among them, is of these.

    Raises:
        ValueError: fewer than 1 or more than 8.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} views, expected 1 to {MOST}")
    every = [tuple(axis for axis, mirrored in enumerate((x, y, z)) if mirrored) for z, y, x in product((False, True), repeat=3)]
    return tuple(View(axes, evened and len(axes) % 2 == 0) for axes in every[:count])


def deal(members: int, count: int) -> list[range]:
    """Members 0 … members - 1 in `count` blocks as equal as can be, the first ones longer; views without a member are left out."""
    sizes = [members // count + (k < members % count) for k in range(count)]
    ends = np.cumsum(sizes).tolist()
    return [range(end - size, end) for size, end in zip(sizes, ends, strict=True) if size]
