"""A brain's mask that a user gives, and what is to be said of any mask before it is relied on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from LDMSegLib.errors import InputError
from LDMSegLib.io.nifti_in import read_label_map
from LDMSegLib.preprocessing.quality import largest_area_near_a_face
from LDMSegLib.preprocessing.skull_strip import SUITS_DEEPBET
from LDMSegLib.spatial.atlas import Space
from LDMSegLib.spatial.foreground import largest_cut
from LDMSegLib.spatial.limits import LARGEST_CUT_CM2
from LDMSegLib.spatial.resampling import resample_mask
from LDMSegLib.spatial.volume import Volume

# Beyond an average brain, by more than this, lay at most 4 mL of the brains of 24 prepared glioma cases (on voxels of 4 mm), and 25 mL
# of the one mask of 20 in which deepbet had taken in the (synthetic) skull.
BEYOND_MM, MOST_BEYOND_ML = 12.0, 10.0

# Networks round a brain's mask off where the field of view ends, so it is measured this far inside. Of a whole brain whose top just
# lies within, up to 53 cm² were found there; without the last two slices of 5.5 mm 66, without the last six 134.
NEAR_A_FACE_MM, LARGEST_NEAR_A_FACE_CM2 = 10.0, 55.0

# What to do about a mask that is too large, by where it comes from; "alone": the brain stood on an empty background already.
REMEDIES = {
    "deepbet": "choose --brain-extraction hd-bet or give a mask with --brain-mask",
    "hd-bet": "give a mask with --brain-mask",
    "given": "correct the mask",
    "alone": "extract the brain anew from the images with skull",
}


def given_mask(file: Path, volume: Volume, name: str) -> np.ndarray:
    """(X, Y, Z) bool on a volume's grid: what a file marks. `name` is the volume's sequence.

    Raises:
        InputError: the file cannot be read, or marks nothing there.
    """
    given = read_label_map(file)
    mask = resample_mask(given.array > 0, given.affine, volume.affine, volume.shape)
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
    cut, near = largest_cut(mask, volume.affine) / 100.0, largest_area_near_a_face(mask, volume.affine, NEAR_A_FACE_MM) / 100.0
    if cut > LARGEST_CUT_CM2 or (method is not None and near > LARGEST_NEAR_A_FACE_CM2):
        said.append(
            f"the field of view of {name} cuts through the brain ({max(cut, near):.0f} cm² of it lie within {NEAR_A_FACE_MM:g} mm of one "
            "face of the image); slices may be missing, and what lies outside cannot be segmented, so use whole-brain images"
        )
    return said


def doubts_of_size(mask: np.ndarray, affine: np.ndarray, space: Space, whose: str, name: str) -> list[str]:
    """What is to be said of a brain's mask once it lies on the average brain.

    Args:
        mask: (X, Y, Z) bool.
        affine: its grid's voxel→world RAS mm, followed by the turn into the space.
        space: with the average brain.
        whose: a key of `REMEDIES`.
        name: of the sequence that the mask belongs to.
    """
    grid, shape = space.coarse(4.0)
    beyond = ndimage.distance_transform_edt(~space.inside(grid, shape), sampling=4.0) > BEYOND_MM
    found = resample_mask(mask, affine, grid, shape)
    millilitres = np.count_nonzero(found & beyond) * 4.0**3 / 1000.0
    if millilitres <= MOST_BEYOND_ML:
        return []
    return [
        f"the brain in {name} reaches further than brains do: {millilitres:.0f} mL of it lie more than {BEYOND_MM:g} mm outside of an "
        f"average brain, expected at most {MOST_BEYOND_ML:g} mL; it may hold skull or muscle, so look at the picture of this step and "
        f"{REMEDIES[whose]}"
    ]
