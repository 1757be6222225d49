"""A brain's mask that a user gives, and what is to be said of any mask before it is relied on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from LDMSegLib.cases.brain import SUITS_DEEPBET
from LDMSegLib.cases.checks import LARGEST_CUT_CM2, largest_cut
from LDMSegLib.cases.geometry import resample_to
from LDMSegLib.cases.read import read_label_map
from LDMSegLib.cases.volume import Volume
from LDMSegLib.errors import InputError


def given_mask(file: Path, volume: Volume, name: str) -> np.ndarray:
    """(X, Y, Z) bool on a volume's grid: what a file marks. `name` is the volume's sequence.

    Raises:
        InputError: the file cannot be read, or marks nothing there.
    """
    given = read_label_map(file)
    mask = resample_to((given.array > 0).astype(np.float32), given.affine, volume.affine, volume.shape) > 0.5
    if not mask.any():
        raise InputError(
            f"the brain mask {file} marks nothing in {volume.path or name} ({name}), expected a mask "
            "of its brain in the same world; check that the two belong together"
        )
    return mask


def doubts_of_brain(mask: np.ndarray, method: str | None, volume: Volume, name: str) -> list[str]:
    """What is to be said of a brain's mask; `method` found it, None stands for a mask that was given."""
    said = []
    if method == "deepbet" and name not in SUITS_DEEPBET:
        said.append(
            f"the brain was looked for in {name}, because no T1 image is there, and deepbet knows T1 images only; look at "
            "the picture of this step, choose --brain-extraction hd-bet or give a mask with --brain-mask"
        )
    cut = largest_cut(mask, volume.affine) / 100.0
    if cut > LARGEST_CUT_CM2:
        said.append(
            f"the field of view of {name} cuts through the brain ({cut:.0f} cm² of it lie on one face of the image); "
            "what lies outside cannot be segmented, use whole-brain images"
        )
    return said
