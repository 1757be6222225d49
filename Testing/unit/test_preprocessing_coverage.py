"""Sequences that show less of the head than the others: told, with how much and where; what was planned so is not."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from LDMSegLib.preprocessing.coverage import short_stacks, unseen_brain
from LDMSegLib.preprocessing.mirrored import turned_axis
from LDMSegLib.spatial.volume import Volume

AXIAL = np.array([[-0.9, 0, 0, 115], [0, 0.9, 0, -115], [0, 0, 5.5, -70], [0, 0, 0, 1.0]])
SHAPE = (256, 256, 26)


def stack(first: int = 0, last: int = 26, affine: np.ndarray = AXIAL) -> Volume:
    """Slices first to last - 1 of a stack."""
    moved = affine.copy()
    moved[:3, 3] += first * affine[:3, 2]
    return Volume(np.broadcast_to(np.float32(0), (*SHAPE[:2], last - first)), moved)


def sagittal() -> Volume:
    """A whole head in 1 mm, slices from side to side."""
    affine = np.array([[0, 0, -1.0, 88], [1.0, 0, 0, -128], [0, 1.0, 0, -160], [0, 0, 0, 1.0]])
    return Volume(np.broadcast_to(np.float32(0), (256, 256, 176)), affine)


def test_stacks_of_one_plan_are_not_suspected_whatever_else_there_is():
    shifted = AXIAL.copy()
    shifted[2, 3] += 20.0
    tilted = AXIAL.copy()
    tilted[:3, :3] = Rotation.from_euler("x", 6, degrees=True).as_matrix() @ AXIAL[:3, :3]
    assert short_stacks({"t1c": stack(), "t2w": stack(affine=tilted), "t2f": stack(affine=shifted), "t1n": sagittal()}) == []


def test_the_last_or_first_slices_missing_are_told_with_their_millimetres_also_of_slices_stored_downwards():
    downwards = AXIAL @ np.diag([1, 1, -1.0, 1])
    downwards[:3, 3] = (AXIAL @ [0, 0, 25, 1])[:3]
    for t1c, end in ((stack(0, 20), "top"), (stack(6, 26), "bottom"), (stack(0, 20, downwards), "bottom")):
        (warning,) = short_stacks({"t1c": t1c, "t2w": stack(), "t2f": stack(), "t1n": sagittal()})
        assert f"t1c ends 33 mm before the other sequences do at the {end}" in warning


def test_half_of_a_stack_from_side_to_side_is_told_by_another_one():
    half = Volume(sagittal().array[:, :, :120], sagittal().affine)
    (warning,) = short_stacks({"t1c": half, "t1n": sagittal()})
    assert "t1c ends 56 mm before" in warning and "at the left of the head" in warning


def test_a_brain_that_a_sequence_does_not_show_is_told_with_its_place_also_after_it_was_moved():
    brain = np.zeros(SHAPE, bool)
    brain[60:200, 40:220, 2:24] = True
    matrix = np.eye(4)
    assert unseen_brain("t2w", "t1c", brain, AXIAL, stack(), matrix) == []
    (warning,) = unseen_brain("t2w", "t1c", brain, AXIAL, stack(0, 18), matrix)
    assert "t2w shows 73% of the brain in t1c" in warning and "at its top" in warning
    matrix[2, 3] = 33.0
    (warning,) = unseen_brain("t2w", "t1c", brain, AXIAL, stack(), matrix)
    assert "at its bottom" in warning


def test_an_image_that_would_lie_on_another_if_one_axis_pointed_the_other_way_has_a_mirrored_header():
    wrong = AXIAL @ np.diag([-1.0, 1, 1, 1])
    assert turned_axis(Volume(stack().array, wrong), stack()) == "left to right"
    away = AXIAL.copy()
    away[:3, 3] += [0, 600, 0]
    assert turned_axis(Volume(stack().array, away), stack()) == ""
