"""How well two images agree where they lie: mutual information, and how much the place matters to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from LDMSegLib.cases.geometry import resample_to
from LDMSegLib.cases.volume import Volume

BINS = 32

# How far from where a registration ended agreement is measured again, to see how much the place matters (see `distinctness`).
AWAY_MM = 12.0


def mutual_information(moving: Volume, fixed: Volume, matrix: np.ndarray, inside: np.ndarray | None = None, mm: float = 2.0) -> float:
    """Normalised mutual information of two images, 0 (unrelated) to 1 (one determines the other).

    Mutual information of 32 × 32 grey values divided by the smaller of the two entropies, at `mm` resolution, where both
    images have values and `inside` is true.
    """
    return comparison(moving, fixed, inside, mm)(matrix)


def distinctness(moving: Volume, fixed: Volume, matrix: np.ndarray, inside: np.ndarray | None = None) -> float:
    """How much better two images agree here than a little way off: their agreement over its mean `AWAY_MM` away in six directions.

    Agreement itself depends on the sequences, on slice thickness, and on how much outline is in view, and so tells little about
    whether two images belong together: any two heads agree somewhat. But one patient's folds and ventricles fit in one place
    only. Ask for it `inside` the brain: the outlines of any two heads fit one another. Measured by
    Testing/benchmarks/strangers.py, see Documentation/decisions.md.
    """
    compare = comparison(moving, fixed, inside)
    return distinct_by(compare, matrix, compare(matrix))


def distinct_by(compare: Callable[[np.ndarray], float], matrix: np.ndarray, quality: float) -> float:
    away = []
    for axis in range(3):
        for mm in (-AWAY_MM, AWAY_MM):
            shift = np.eye(4)
            shift[axis, 3] = mm
            away.append(compare(shift @ matrix))
    return quality / max(float(np.mean(away)), 1e-9) if quality else 0.0


def comparison(moving: Volume, fixed: Volume, inside: np.ndarray | None = None, mm: float = 2.0) -> Callable[[np.ndarray], float]:
    """Agreement as a function of the matrix, for comparing many."""
    still, loose = averaged(fixed, mm), averaged(moving, mm)
    wanted = np.ones(still.shape, bool) if inside is None else _any(fixed, inside, mm).array > 0
    box = ndimage.find_objects(wanted.astype(np.uint8))[0] if wanted.any() else (slice(0, 1),) * 3
    corner = still.affine.copy()
    corner[:3, 3] += still.affine[:3, :3] @ [part.start for part in box]
    grey, wanted = still.array[box], wanted[box]

    def compare(matrix: np.ndarray) -> float:
        moved = resample_to(loose.array, matrix @ loose.affine, corner, grey.shape, fill=np.nan)
        where = wanted & np.isfinite(moved)
        if np.count_nonzero(where) < BINS**2:
            return 0.0
        a, b = _ranked(grey[where]), _ranked(moved[where])
        joint = np.histogram2d(a, b, bins=BINS)[0] / a.size
        one, other = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
        return float((one + other - _entropy(joint.ravel())) / max(min(one, other), 1e-9))

    return compare


def _ranked(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def averaged(volume: Volume, mm: float) -> Volume:
    """The volume with whole blocks of voxels averaged, so that no axis is much finer than `mm`."""
    factors = _factors(volume, mm)
    if max(factors) == 1:
        return Volume(volume.array.astype(np.float32, copy=False), volume.affine)
    return Volume(_blocks(volume.array, factors).mean(axis=(1, 3, 5), dtype=np.float32), _coarser(volume.affine, factors))


def _any(volume: Volume, inside: np.ndarray, mm: float) -> Volume:
    factors = _factors(volume, mm)
    return Volume(_blocks(inside, factors).any(axis=(1, 3, 5)).astype(np.uint8), _coarser(volume.affine, factors))


def _factors(volume: Volume, mm: float) -> tuple[int, ...]:
    return tuple(max(1, min(round(mm / s), n)) for s, n in zip(volume.spacing, volume.shape, strict=True))


def _blocks(array: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    counts = [n // f for n, f in zip(array.shape, factors, strict=True)]
    cut = array[tuple(slice(0, c * f) for c, f in zip(counts, factors, strict=True))]
    return cut.reshape([size for pair in zip(counts, factors, strict=True) for size in pair])


def _coarser(affine: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    step = np.diag([*factors, 1.0])
    step[:3, 3] = (np.asarray(factors) - 1) / 2
    return affine @ step
