"""Whether a probability of 0.7 means 70 %, and whether doubt points at the errors.

All functions look only inside a mask. Over a whole brain nearly every voxel is easily right, which makes any method
look calibrated; `surroundings` gives the honest mask: the neighbourhood of what was there or was predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.integrate import trapezoid
from scipy.stats import rankdata

from LDMSegLib.spatial.boxes import bounding_box


@dataclass(frozen=True)
class Bin:
    """Voxels whose probability lies in [low, high): how many, their mean probability, and the share that is truly on."""

    low: float
    high: float
    count: int
    probability: float
    frequency: float


@dataclass(frozen=True)
class ErrorDetection:
    """How well an uncertainty finds the wrong voxels: AUROC, AUPR, and the share of wrong ones (the AUPR of a guess)."""

    auroc: float
    aupr: float
    error_rate: float


@dataclass(frozen=True)
class Filtered:
    """The QU-BraTS curves, one value per threshold, and their areas (0 to 1).

    `dice` of what is left after removing voxels more uncertain than the threshold; `true_positives` and
    `true_negatives` are the shares of right voxels lost by that. `score` is the mean of the first area and of 1 minus
    each of the other two.
    """

    thresholds: np.ndarray
    dice: np.ndarray
    true_positives: np.ndarray
    true_negatives: np.ndarray
    dice_area: float
    true_positive_area: float
    true_negative_area: float
    score: float


def surroundings(masks: Sequence[np.ndarray], spacing: Sequence[float], distance_mm: float) -> np.ndarray:
    """(X, Y, Z) bool: voxels at most `distance_mm` away from any of the masks (themselves included)."""
    union = np.logical_or.reduce([mask.astype(bool) for mask in masks])
    box = bounding_box(union, margin=[int(np.ceil(distance_mm / s)) for s in spacing])
    near = np.zeros(union.shape, bool)
    if box is not None:
        near[box] = ndimage.distance_transform_edt(~union[box], sampling=spacing) <= distance_mm
    return near


def reliability(probability: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None, bins: int = 15) -> tuple[Bin, ...]:
    """The reliability table with bins of equal width (Guo et al. 2017, arXiv:1706.04599, for one class's probability).

    Args:
        probability: Values in [0, 1].
        truth: bool, same shape.
        mask: Where to look; everywhere without one.
        bins: How many.

    Returns:
        One entry per bin, NaN where it is empty. The last bin includes 1.
    """
    p, y = _inside(probability, truth, mask)
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(index, p, bins) / count
        frequency = np.bincount(index, y, bins) / count
    return tuple(Bin(k / bins, (k + 1) / bins, int(count[k]), float(mean[k]), float(frequency[k])) for k in range(bins))


def expected_calibration_error(probability: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None, bins: int = 15) -> float:
    """Mean over voxels of |frequency - mean probability| of their bin (Naeini et al. 2015, AAAI; Guo et al. 2017, section 2).

    NaN for an empty mask. Arguments as `reliability`.
    """
    table = [entry for entry in reliability(probability, truth, mask, bins) if entry.count]
    total = sum(entry.count for entry in table)
    return sum(entry.count * abs(entry.frequency - entry.probability) for entry in table) / total if total else float("nan")


def brier(probability: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of (p - y)² (Brier 1950, Monthly Weather Review 78); NaN for an empty mask."""
    p, y = _inside(probability, truth, mask)
    return float(np.mean((p - y) ** 2)) if p.size else float("nan")


def error_detection(
    probability: np.ndarray, uncertainty: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None, threshold: float = 0.5
) -> ErrorDetection:
    """How well an uncertainty ranks wrong voxels above right ones.

    Args:
        probability: Values in [0, 1]; on at or above the threshold.
        uncertainty: Any values, higher is less certain.
        truth: bool, same shape.
        mask: Where to look.
        threshold: Of the probability.

    Returns:
        AUROC and AUPR, NaN where there are no wrong or no right voxels.
    """
    where = np.ones(truth.shape, bool) if mask is None else mask
    wrong = (probability[where] >= threshold) != truth[where].astype(bool)
    doubt = uncertainty[where]
    return ErrorDetection(auroc(doubt, wrong), average_precision(doubt, wrong), float(wrong.mean()) if wrong.size else float("nan"))


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    """P(value of a positive > value of a negative), ties counting half (Hanley & McNeil 1982, Radiology 143)."""
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(values)[positive.astype(bool)].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def average_precision(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under precision over recall as the sum of steps, without interpolation (Davis & Goadrich 2006, ICML).

    Equal values are one step, so their order cannot matter. NaN where there is no positive.
    """
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(positive[order].astype(np.float64))
    if not hits.size or hits[-1] == 0:
        return float("nan")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(order) - 1)
    precision, recall = hits[ends] / (ends + 1), hits[ends] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def filtered_dice(
    prediction: np.ndarray, uncertainty: np.ndarray, truth: np.ndarray, brain: np.ndarray, thresholds: np.ndarray | None = None
) -> Filtered:
    """Dice and lost right voxels as uncertain voxels are removed (Mehta et al. 2022, QU-BraTS, MELBA 2022:026).

    A voxel is removed at threshold t where its uncertainty exceeds t. The areas are by the trapezium rule over the
    thresholds' range.

    Args:
        prediction, truth: bool.
        uncertainty: 0 (certain) to 100.
        brain: bool; right voxels lost are counted inside it, Dice everywhere, as in the challenge's own evaluation.
        thresholds: Rising, from 0 to 100; 41 of them by default.

    Returns:
        The curves. Dice of nothing is 1; a share of nothing lost is 0.
    """
    thresholds = np.linspace(0.0, 100.0, 41) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    prediction, truth, brain = prediction.astype(bool), truth.astype(bool), brain.astype(bool)

    def kept(voxels: np.ndarray) -> np.ndarray:
        # a voxel stays from the first threshold on that is not below its uncertainty
        first = np.searchsorted(thresholds, uncertainty[voxels])
        return np.cumsum(np.bincount(first, minlength=len(thresholds) + 1)[: len(thresholds)]).astype(np.float64)

    hits, wrong = kept(prediction & truth), kept(prediction ^ truth)
    whole = 2 * hits + wrong
    dice = np.where(whole > 0, 2 * hits / np.maximum(whole, 1), 1.0)
    positives = _share_lost(kept(prediction & truth & brain), np.count_nonzero(prediction & truth & brain))
    negatives = _share_lost(kept(~prediction & ~truth & brain), np.count_nonzero(~prediction & ~truth & brain))
    areas = [float(trapezoid(curve, thresholds) / np.ptp(thresholds)) for curve in (dice, positives, negatives)]
    return Filtered(thresholds, dice, positives, negatives, *areas, score=(areas[0] + (1 - areas[1]) + (1 - areas[2])) / 3)


def _share_lost(kept: np.ndarray, before: int) -> np.ndarray:
    return (before - kept) / before if before else np.zeros_like(kept)


def _inside(probability: np.ndarray, truth: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    where = np.ones(truth.shape, bool) if mask is None else mask
    return probability[where].astype(np.float64), truth[where].astype(np.float64)
