"""The same MRI seen in other ways: mirrored, or moved by half a latent voxel.

What a network says should not depend on either. Where it does, it is unsure in a way that the noise of one view cannot show
(test-time augmentation as a measure of uncertainty: Wang et al. 2019, arXiv:1807.07356). The ensemble's members are dealt to
the views in equal blocks, so views cost one reading of the MRI each and no further step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class View:
    """Mirrored left to right or not, and moved by so many voxels along each axis of the model's grid."""

    mirrored: bool = False
    shift: int = 0

    def seen(self, mri: np.ndarray, fill: float) -> np.ndarray:
        """(S, X, Y, Z) on the model's grid (its first axis is left-right) → the same in this view; `fill` comes in at the edge."""
        seen = np.flip(mri, 1) if self.mirrored else mri
        return np.ascontiguousarray(_moved_array(seen, self.shift, fill))

    def undone(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(R, X, Y, Z) found in this view → in the first one; 0 comes in at the edge."""
        out = _moved(probabilities, -self.shift)
        return out.flip(1) if self.mirrored else out


def views(count: int, downsampling: int) -> tuple[View, ...]:
    """The first `count` of: as it is, mirrored, moved by half a latent voxel, mirrored and moved.

    Raises:
        ValueError: fewer than 1 or more than 4.
    """
    half = downsampling // 2
    every = (View(), View(mirrored=True), View(shift=half), View(mirrored=True, shift=half))
    if not 1 <= count <= len(every):
        raise ValueError(f"{count} views, expected 1 to {len(every)}")
    return every[:count]


def deal(members: int, count: int) -> list[range]:
    """Members 0 … members - 1 in `count` blocks as equal as can be, the first ones longer; views without a member are left out."""
    sizes = [members // count + (k < members % count) for k in range(count)]
    ends = np.cumsum(sizes).tolist()
    return [range(end - size, end) for size, end in zip(sizes, ends, strict=True) if size]


def _moved_array(array: np.ndarray, shift: int, fill: float) -> np.ndarray:
    return array if not shift else _moved(torch.from_numpy(np.ascontiguousarray(array)), shift, fill).numpy()


def _moved(x: torch.Tensor, shift: int, fill: float = 0.0) -> torch.Tensor:
    if not shift:
        return x
    # padding by +s before and -s after moves the content by s and cuts what leaves
    return torch.nn.functional.pad(x, (shift, -shift) * 3, value=fill)
