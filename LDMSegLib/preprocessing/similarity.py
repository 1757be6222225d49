"""How well two images agree where they lie: mutual information, and how much the place matters to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume

BINS = 32

# Detail is what a blur of this width (standard deviation) takes away.
DETAIL_MM = 5.0

# How far from where a registration ended agreement is measured again, to see how much the place matters (see `distinctness`).
AWAY_MM = 8.0


def mutual_information(moving: Volume, fixed: Volume, matrix: np.ndarray, inside: np.ndarray | None = None, mm: float = 2.0) -> float:
    """Normalised mutual information of two images, 0 (unrelated) to 1 (one determines the other).

    Mutual information of 32 × 32 grey values divided by the smaller of the two entropies, at `mm` resolution, where both
    images have values and `inside` is true.
    """
    return comparison(moving, fixed, inside, mm)(matrix)


def distinctness(
    moving: Volume, fixed: Volume, inside: np.ndarray | None = None, deep: np.ndarray | None = None
) -> Callable[[np.ndarray], float]:
    """How much the place matters to two images' agreement, as a function of the matrix.

    Agreement itself depends on the sequences, on slice thickness, and on how much outline is in view, and so tells little about
    whether two images belong together: any two heads agree somewhat. But one patient's folds and ventricles fit in one place
    only. So agreement is divided by its mean `AWAY_MM` away in six directions: of the images as they are, and of their detail
    alone. The result is the geometric mean of the two, because the outlines of two patients' heads stand out in the one and now
    and then a chance likeness in the other, but not in both. Measured by Testing/benchmarks/subject_mismatch.py, see
    Documentation/decisions/.

    Args:
        moving: one image.
        fixed: the other.
        inside: (X, Y, Z) bool on the fixed image's grid: where the images are compared as they are; everywhere without it.
        deep: where their detail is compared: inside the brain, away from its outline; as `inside` without it.
    """
    whole = comparison(moving, fixed, inside)
    fine = comparison(moving, fixed, inside if deep is None else deep, seen=_detail)
    return lambda matrix: float(np.sqrt(_stands_out(whole, matrix) * _stands_out(fine, matrix)))


def _stands_out(compare: Callable[[np.ndarray], float], matrix: np.ndarray) -> float:
    away = []
    for axis in range(3):
        for mm in (-AWAY_MM, AWAY_MM):
            shift = np.eye(4)
            shift[axis, 3] = mm
            away.append(compare(shift @ matrix))
    return max(compare(matrix), 0.0) / max(float(np.mean(away)), 1e-9)


def _detail(volume: Volume) -> Volume:
    """What a blur takes away, where there is an image at all: the edge of a stripped brain is no detail."""
    there = (volume.array > 0.1 * volume.array.mean()).astype(np.float32)
    sigma = DETAIL_MM / np.asarray(volume.spacing)
    blurred = ndimage.gaussian_filter(volume.array * there, sigma) / np.maximum(ndimage.gaussian_filter(there, sigma), 1e-3)
    return Volume((volume.array - blurred) * there, volume.affine)


def comparison(
    moving: Volume,
    fixed: Volume,
    inside: np.ndarray | None = None,
    mm: float = 2.0,
    seen: Callable[[Volume], Volume] = lambda volume: volume,
) -> Callable[[np.ndarray], float]:
    """Agreement as a function of the matrix, for comparing many; of what is `seen` of each image."""
    still, loose = seen(averaged(fixed, mm)), seen(averaged(moving, mm))
    wanted = np.ones(still.shape, bool) if inside is None else _any(fixed, inside, mm).array > 0
    box = bounding_box(wanted) or (slice(0, 1),) * 3
    corner = still.affine.copy()
    corner[:3, 3] += still.affine[:3, :3] @ [part.start for part in box]
    grey, wanted = still.array[box], wanted[box]

    def compare(matrix: np.ndarray) -> float:
        # Blocks were averaged already, and the limits of agreement were measured on images that are not smoothed further.
        moved = resample_to(loose.array, matrix @ loose.affine, corner, grey.shape, fill=np.nan, smooth=False)
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
