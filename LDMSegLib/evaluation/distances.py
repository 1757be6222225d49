"""How far a set of generated masks is from a set of real ones, on features with a meaning (see `shapes`).

Distances between small samples are mostly sample size. So both sets are cut to equal size first (`equal_sizes`), and
every number deserves an interval (`bootstrap.bootstrap_interval`) and a comparison with real against real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist, pdist
from scipy.stats import wasserstein_distance

from LDMSegLib.evaluation.calibration import auroc
from LDMSegLib.evaluation.logistic import FREE, fit_logistic


@dataclass(frozen=True)
class Neighbourhoods:
    """Fidelity and variety by k nearest neighbours; see `neighbourhoods`."""

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class SetDistance:
    """All distances between two sets of equal size `n`; `wasserstein` per feature in units of the real set's SD."""

    n: int
    wasserstein: dict[str, float]
    mmd: float
    classifier_auc: float
    neighbourhoods: Neighbourhoods


def compare_sets(real: np.ndarray, generated: np.ndarray, names: Sequence[str], k: int = 5, seed: int = 0) -> SetDistance:
    """All of the below at once, on equally many cases of each set, standardised by the real set.

    Args:
        real, generated: (n, features) and (m, features); NaN where a feature is undefined (an empty region).
        names: The features' names.
        k: Neighbours, see `neighbourhoods`.
        seed: Chooses the cases of the larger set, and the classifier's folds.

    Raises:
        ValueError: Different features, or fewer than k + 1 cases in a set.
    """
    if real.shape[1:] != generated.shape[1:] or real.shape[1:] != (len(names),):
        raise ValueError(
            f"sets of shapes {real.shape} and {generated.shape} given for {len(names)} features, expected (cases, {len(names)})"
        )
    real, generated = equal_sizes(real, generated, seed)
    wasserstein = wasserstein_per_feature(real, generated)
    real, generated = standardise(real, generated)
    return SetDistance(
        n=len(real),
        wasserstein=dict(zip(names, wasserstein.tolist(), strict=True)),
        mmd=mmd_squared(real, generated),
        classifier_auc=classifier_auc(real, generated, seed=seed),
        neighbourhoods=neighbourhoods(real, generated, k),
    )


def equal_sizes(a: np.ndarray, b: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """As many random rows of the larger set as the smaller one has, in their old order."""
    n = min(len(a), len(b))
    rng = np.random.default_rng(seed)
    return tuple(rows if len(rows) == n else rows[np.sort(rng.choice(len(rows), n, replace=False))] for rows in (a, b))


def standardise(real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in units of the real set's SD about its mean, undefined values taken as its mean.

    A feature that is constant in the real set is only centred, so that a deviation stays visible.
    """
    mean, sd = _mean_sd(real)
    return tuple(np.nan_to_num((rows - mean) / sd, nan=0.0) for rows in (real, generated))


def wasserstein_per_feature(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """First Wasserstein distance of each feature's distribution, over the defined values, in units of the real set's SD.

    Infinite where a feature is defined in one set only, 0 where in neither.
    """
    _, sd = _mean_sd(real)
    out = np.zeros(real.shape[1])
    for j in range(real.shape[1]):
        a, b = (rows[~np.isnan(rows[:, j]), j] for rows in (real, generated))
        if a.size and b.size:
            out[j] = wasserstein_distance(a, b) / sd[j]
        elif a.size or b.size:
            out[j] = np.inf
    return out


def mmd_squared(a: np.ndarray, b: np.ndarray, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy, unbiased, Gaussian kernel (Gretton et al. 2012, JMLR 13, eq. 3).

    Args:
        a, b: (n, features) and (m, features), standardised, no NaN.
        bandwidth: The kernel's sigma; by default the median distance between all cases.

    Returns:
        About 0, possibly below, for samples of one distribution.
    """
    if bandwidth is None:
        bandwidth = float(np.median(pdist(np.concatenate([a, b])))) or 1.0
    kaa, kbb, kab = (np.exp(-cdist(x, y, "sqeuclidean") / (2 * bandwidth**2)) for x, y in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    return float((kaa.sum() - n) / (n * (n - 1)) + (kbb.sum() - m) / (m * (m - 1)) - 2 * kab.mean())


def classifier_auc(a: np.ndarray, b: np.ndarray, folds: int = 5, ridge: float = 1.0, seed: int = 0) -> float:
    """Classifier two-sample test (Lopez-Paz & Oquab 2017, arXiv:1610.06545) by ridge logistic regression.

    Args:
        a, b: (n, features) and (m, features), standardised, no NaN.
        folds: Cross-validation, stratified; the mean of the folds' AUC on cases not seen in fitting.
        ridge: Weight of the squared coefficients.
        seed: Shuffles the cases.

    Returns:
        About 0.5 where the sets cannot be told apart, 1 where they always can.

    Raises:
        ValueError: Fewer cases than folds.
    """
    if min(len(a), len(b)) < folds:
        raise ValueError(f"sets of {len(a)} and {len(b)} cases given, expected at least {folds} in each for as many folds")
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.concatenate([a, b]), np.ones(len(a) + len(b))])
    y = np.repeat([0.0, 1.0], [len(a), len(b)])
    penalty = np.append(np.full(x.shape[1] - 1, ridge), FREE)
    fold = np.concatenate([rng.permutation(np.arange(len(rows)) % folds) for rows in (a, b)])
    scores = []
    for k in range(folds):
        seen = fold != k
        scores.append(auroc(x[~seen] @ fit_logistic(x[seen], y[seen], penalty), y[~seen] > 0.5))
    return float(np.mean(scores))


def neighbourhoods(real: np.ndarray, generated: np.ndarray, k: int = 5) -> Neighbourhoods:
    """Precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020, arXiv:2002.09797).

    A case's ball reaches to its k-th nearest neighbour in its own set. Precision: share of generated cases inside some
    real ball; recall: the reverse; density: mean number of real balls around a generated case, over k; coverage: share
    of real balls with a generated case inside. Do not bootstrap these: doubled cases shrink the balls.

    Args:
        real, generated: (n, features) and (m, features), standardised, no NaN.
        k: Neighbours.

    Raises:
        ValueError: Not more than k cases in a set.
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(f"sets of {len(real)} and {len(generated)} cases given, expected more than k = {k} in each")
    between = cdist(real, generated)
    real_radius, generated_radius = (np.sort(cdist(rows, rows), axis=1)[:, k] for rows in (real, generated))
    in_real = between <= real_radius[:, None]
    return Neighbourhoods(
        precision=float(in_real.any(axis=0).mean()),
        recall=float((between <= generated_radius[None, :]).any(axis=1).mean()),
        density=float(in_real.sum(axis=0).mean() / k),
        coverage=float((between.min(axis=1) <= real_radius).mean()),
    )


def _mean_sd(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = ~np.isnan(rows)
    count = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, rows, 0.0)
    mean = filled.sum(axis=0) / count
    sd = np.sqrt((np.where(known, rows - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(sd > 1e-9 * np.maximum(np.abs(mean), 1.0), sd, 1.0)
