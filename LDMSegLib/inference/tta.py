"""Test-time augmentation: the MRI mirrored along its axes, shifted within a cell of the latent, and with or without bias field correction.

What a network says should not depend on it. Where it does, it is unsure in a way that the noise of one view cannot show
(test-time augmentation as a measure of uncertainty: Wang et al. 2019, arXiv:1807.07356). The ensemble's members are dealt to
the views round-robin, so that any number of finished members is a fair sample of them; views cost one reading of the MRI each and no
further step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

MOST = 8

_PLACES = ((0, 0, 0), (4, 4, 4), (6, 2, 2), (2, 6, 6), (3, 3, 5), (7, 7, 1), (5, 1, 7), (1, 5, 3))
"""In eighths of a cell: the first points of Sobol's sequence (1967), which fill it evenly, along each axis too."""


@dataclass(frozen=True)
class View:
    """The spatial axes of the model's grid (0 left-right, 1 back-front, 2 up-down) along which the MRI is mirrored.

    `shift`: by how many voxels along each axis it is then moved. What leaves the grid on one side comes in on the other, where there
    is background as a rule, and so comes back whole.
    `bias_corrected`: of a case that has bias-corrected images beside those as scanned (`preprocessing.bias_field`), this view is of the
    former.
    """

    axes: tuple[int, ...] = ()
    shift: tuple[int, int, int] = (0, 0, 0)
    bias_corrected: bool = False

    def forward(self, mri: np.ndarray) -> np.ndarray:
        """Transform (S, X, Y, Z) on the model's grid into this view."""
        mirrored = np.flip(mri, [axis + 1 for axis in self.axes])
        return np.ascontiguousarray(np.roll(mirrored, self.shift, (1, 2, 3)))

    def inverse(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Transform (R, X, Y, Z) found in this view back into the first one."""
        back = torch.roll(probabilities, [-n for n in self.shift], (1, 2, 3)) if any(self.shift) else probabilities
        return back.flip([axis + 1 for axis in self.axes]) if self.axes else back


def views(count: int, cell: int = 1, bias_corrected: bool = False) -> tuple[View, ...]:
    """The first `count` of the eight mirrorings: as it is, left for right, then the same two with the other axes.

    Args:
        count: how many.
        cell: of the latent, in voxels along an axis: each view but the first is moved to a place of its own within one, by half a
            cell at most; 1 = none is moved.
        bias_corrected: whether there are bias-field-corrected images. Every view mirrored along an even number of axes, the first among
            them, is then of these.

    Raises:
        ValueError: fewer than 1 or more than 8.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"{count} views, expected 1 to {MOST}")
    every = [tuple(axis for axis, mirrored in enumerate((x, y, z)) if mirrored) for z, y, x in product((False, True), repeat=3)]
    return tuple(
        View(axes, tuple(_centred(n * cell // 8, cell) for n in place), bias_corrected and len(axes) % 2 == 0)
        for axes, place in zip(every[:count], _PLACES, strict=False)
    )


def _centred(place: int, cell: int) -> int:
    return place - cell if 2 * place > cell else place


def views_of_case(count: int, members: int, cell: int = 1, bias_corrected: bool = False) -> tuple[View, ...]:
    """The views that the members of a case are dealt to.

    A case with bias-corrected images beside those as scanned is seen in both kinds by every mode: where the mode has a single view, that
    view counts twice, once of each kind. One member alone sees the bias-corrected images.

    Args:
        count: the mode's views, 1 to 8.
        members: of the ensemble; there are not more views than members.
        cell, bias_corrected: see `views`.
    """
    used = views(min(count, members), cell, bias_corrected)
    return (*used, replace(used[0], bias_corrected=False)) if bias_corrected and count == 1 and members > 1 else used


def view_of(member: int, count: int) -> int:
    """The index of the view that a member sees, of `count`; it depends on nothing else, so that a stopped run is a shorter one.

    Round after round every view gets one member. Where the views divide by four each round begins two views later: the levels of
    `LDMSegLib.inference.intercepts` come back in kind every so many pairs, and a view would else meet the same kind in every round.
    """
    turn = member // count
    return (member + (2 * turn if count % 4 == 0 else 0)) % count
