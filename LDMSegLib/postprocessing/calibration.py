"""From the ensemble's mean to a probability that means what it says.

A bundle may carry a slope and an offset for each region, fitted on training cases: p' = sigmoid(slope logit(p) + offset)
(Platt 1999; with slope alone it is the temperature scaling of Guo et al. 2017, arXiv:1706.04599, section 4.2). It is a
monotone change of the mean alone: which voxel is more probable than which does not change, certain voxels (0 and 1) stay
certain, and the variance over the members stays that of their own outputs.

A threshold is meant for p'. Seen from the mean it then lies at `uncalibrated` instead, and a member's own volume is counted
there too: so a member is held to the rule that the result is held to, and members that all agree give a result that equals
each of them. Counted at the threshold itself, the result could lie outside its own members' spread.
"""

from __future__ import annotations

import math

import numpy as np

from LDMSegLib.postprocessing.regions import nest
from LDMSegLib.specification import Calibration, Region

IDENTITY = Calibration()


def calibrate(probabilities: np.ndarray, calibration: Calibration, regions: tuple[Region, ...]) -> np.ndarray:
    """Calibrated and nested probabilities; the array itself where the bundle has no calibration.

    Args:
        probabilities: (R, ...) float32 in [0, 1], nested; not changed.
        calibration: slope and offset by region.
        regions: The R regions, in channel order.

    Returns:
        (R, ...) float32. Regions are calibrated each for itself, so they are nested anew (see `regions.nest`).
    """
    if calibration == IDENTITY:
        return probabilities
    out = probabilities.copy()
    for channel, (slope, offset) in zip(out, _pairs(calibration, len(regions)), strict=True):
        doubtful = (channel > 0) & (channel < 1)
        p = channel[doubtful].astype(np.float64)
        channel[doubtful] = 1.0 / (1.0 + np.exp(np.clip(-slope * np.log(p / (1.0 - p)) - offset, -700.0, 700.0)))
    return nest(out, regions)


def uncalibrated(threshold: float, calibration: Calibration, regions: tuple[Region, ...]) -> tuple[float, ...]:
    """By region, the mean whose calibrated probability is `threshold`; the threshold itself without a calibration, at 0 or at 1."""
    if calibration == IDENTITY or not 0.0 < threshold < 1.0:
        return (threshold,) * len(regions)
    wanted = math.log(threshold / (1.0 - threshold))
    exponents = [(offset - wanted) / slope for slope, offset in _pairs(calibration, len(regions))]
    return tuple(1.0 / (1.0 + math.exp(min(max(e, -700.0), 700.0))) for e in exponents)


def _pairs(calibration: Calibration, count: int) -> list[tuple[float, float]]:
    return list(zip(calibration.slope or (1.0,) * count, calibration.offset or (0.0,) * count, strict=True))
