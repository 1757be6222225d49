"""What a new mask is shown on: the image it was drawn into, or else the brain, so that one sees where in a head it lies."""

from __future__ import annotations

import numpy as np
from tiny_bundle import LABELS

from LDMSegLib.results.figures.montage import BRAIN_GREY, make_tile

MASK = np.zeros((20, 22, 18), np.uint8)
MASK[8:12, 8:13, 7:11] = 2
BRAIN = np.zeros(MASK.shape, bool)
BRAIN[3:17, 3:19, 3:15] = True
OEDEMA = np.array([90, 190, 110]) / 255


def colours(**shown: np.ndarray) -> set[tuple[float, ...]]:
    """Of the first picture of a mask's tile."""
    picture, _ = make_tile("mask", MASK, np.eye(4), LABELS, **shown).pictures[0]
    return {tuple(np.round(colour, 3).tolist()) for colour in picture.reshape(-1, 3)}


def rounded(*values: float) -> tuple[float, ...]:
    return tuple(np.round(np.array(values, np.float32), 3).tolist())


def test_without_an_image_the_brain_is_shown_in_dark_grey():
    assert colours(brain=BRAIN) == {rounded(0, 0, 0), rounded(*[BRAIN_GREY] * 3), rounded(*OEDEMA)}


def test_an_image_is_shown_in_place_of_the_brain():
    image = np.where(BRAIN, 100.0, 0.0).astype(np.float32)
    assert colours(image=image, brain=BRAIN) == {rounded(0, 0, 0), rounded(1, 1, 1), rounded(*OEDEMA)}


def test_where_nothing_is_known_of_a_head_the_mask_stands_on_black():
    assert colours() == {rounded(0, 0, 0), rounded(*OEDEMA)}
