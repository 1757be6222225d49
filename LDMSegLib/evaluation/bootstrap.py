"""How much a number would vary with other cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A statistic on the cases at hand and its percentile interval over resampled ones."""

    value: float
    low: float
    high: float
    level: float


def bootstrap_interval(
    statistic: Callable[..., float], *samples: np.ndarray, repeats: int = 1000, level: float = 0.95, seed: int = 0, paired: bool = False
) -> Interval:
    """The percentile bootstrap (Efron & Tibshirani 1993, chapter 13).

    Args:
        statistic: Takes the samples, gives a number. Not one built on nearest neighbours: resampling doubles cases.
        *samples: (n, ...) arrays with cases along the first axis.
        repeats: Resamplings.
        level: Share of them inside the interval.
        seed: The same seed gives the same interval.
        paired: Draw the same cases from all samples (e.g. two methods on the same patients).

    Raises:
        ValueError: An empty sample, or paired samples of different sizes.
    """
    sizes = [len(sample) for sample in samples]
    if not sizes or min(sizes) == 0 or (paired and len(set(sizes)) > 1):
        raise ValueError(f"samples of {sizes} cases given, expected at least one case in each and equally many where they are paired")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn = [rng.integers(0, sizes[0], sizes[0])] * len(sizes) if paired else [rng.integers(0, n, n) for n in sizes]
        values.append(statistic(*(np.asarray(sample)[rows] for sample, rows in zip(samples, drawn, strict=True))))
    tail = 50.0 * (1 - level)
    low, high = np.percentile(values, (tail, 100 - tail))
    return Interval(float(statistic(*samples)), float(low), float(high), level)
