"""Which drawn masks to keep, so that the shapes of those that are kept are those of real tumours.

What a network draws is a little off: too flat, too long, too often in parts. How much likelier than among draws a shape is among
real masks can be learnt (`Training.shape_odds`) from a few numbers that say what the shape is (`synthesis.shapes`). A mask is kept
with a probability in proportion to these odds, so what is kept is distributed like the real ones as far as these numbers tell
(discriminator rejection sampling: Azadi et al. 2019, arXiv:1810.06758, section 3; with such numbers in place of a network's).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from LDMSegLib.specification import Grid, Region, ShapeOdds
from LDMSegLib.synthesis.shapes import shape_statistics


def shape_on_model_grid(masks: np.ndarray, regions: tuple[Region, ...], grid: Grid) -> dict[str, float]:
    """`synthesis.shapes.shape_statistics` of (R, X, Y, Z) bool on the model's grid, centroids in mm from its middle.

    Always on that grid, wherever the mask goes then: a voxel's size shows in a surface.
    """
    spacing = np.asarray(grid.spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -spacing * (np.asarray(masks.shape[1:]) - 1) / 2
    return shape_statistics(masks, regions, affine)


def log_odds(shape: Mapping[str, float], odds: ShapeOdds) -> float:
    """Of that shape being a real one's. What is undefined for a mask, such as the place of an empty region, says nothing about it."""
    return sum(term.weight * (shape[name] - term.mean) for name, term in odds.terms.items() if not math.isnan(shape[name]))


def keeping_probability(shape: Mapping[str, float], odds: ShapeOdds) -> float:
    """With what probability a mask of that shape is kept: min(1, exp(log odds - highest)), 1 without any odds."""
    return math.exp(min(log_odds(shape, odds) - odds.highest, 0.0))


def chance(seed: int, member: int) -> float:
    """From 0 to below 1, drawn for this member alone: whether it is kept does not depend on what is drawn beside it."""
    return float(np.random.default_rng((seed, member)).random())
