"""How much a number would vary with other cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap


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
    """The percentile bootstrap (Efron & Tibshirani 1993, chapter 13), by `scipy.stats.bootstrap`.

    Args:
        statistic: Takes the samples, gives a number. Not one built on nearest neighbours: resampling doubles cases.
        *samples: (n, ...) arrays with cases along the first axis.
        repeats: Resamplings.
        level: Share of them inside the interval.
        seed: The same seed gives the same interval.
        paired: Draw the same cases from all samples (e.g. two methods on the same patients).

    Returns:
        The interval; only the value itself where every sample is a single case.

    Raises:
        ValueError: An empty sample, a single case beside several, or paired samples of different sizes.
    """
    sizes = [len(sample) for sample in samples]
    few = min(sizes, default=0)
    if few == 0 or (few == 1 and max(sizes) > 1) or (paired and len(set(sizes)) > 1):
        raise ValueError(f"samples of {sizes} cases given, expected at least two cases in each and equally many where they are paired")
    samples = tuple(np.asarray(sample) for sample in samples)
    value = float(statistic(*samples))
    if max(sizes) == 1:
        return Interval(value, value, value, level)
    # Numbers of cases are drawn and not the cases themselves, which may have any shape.
    found = bootstrap(
        tuple(np.arange(n) for n in sizes),
        lambda *drawn: float(statistic(*(sample[rows] for sample, rows in zip(samples, drawn, strict=True)))),
        n_resamples=repeats,
        vectorized=False,
        paired=paired,
        confidence_level=level,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(value, float(found.low), float(found.high), level)
