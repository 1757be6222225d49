"""What an image itself says about its sequence, once the skull is off: the last resort of identification.

Three things are measured on the brain: how the grey values spread around their median, how they change from the surface to
the depth (fluid, cortex, white matter, ventricles), and how far the brightest reach, which is what contrast agent changes. They
are compared with what is usual for each sequence (`contrast_table`, and how it was measured). Nothing here needs the sequences
to be aligned. With the skull on, fat and marrow drown all of this, so nothing is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from LDMSegLib.sequences import appearance_table as table
from LDMSegLib.spatial.foreground import inspect
from LDMSegLib.spatial.volume import Volume

VOXEL_MM = 2.0
_BANDS_MM = ((2, 5), (5, 9), (9, 15), (15, 22), (22, 99))
_SURFACE_MM = 4.0


def measure(volume: Volume) -> np.ndarray | None:
    """Features (15,) of one skull-stripped image; None with a skull on, or where there is no brain to speak of.

    The last one is log((p99.8 - median) / (median - p5)): how far the brightest voxels reach.
    """
    found = inspect(volume)
    if found.skull:
        return None
    factors = [max(1, round(VOXEL_MM / s)) for s in volume.spacing]
    array = _coarse(volume.array - np.float32(found.background or 0.0), factors)
    spacing = [s * f for s, f in zip(volume.spacing, factors, strict=True)]
    depth = ndimage.distance_transform_edt(np.pad(_brain(array), 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
    inside = array[depth > _SURFACE_MM]
    if inside.size < 1000:
        return None
    low, lower, quarter, median, upper, high, higher, highest = np.percentile(inside, [1, 5, 25, 50, 75, 95, 99, 99.8])
    width = max(upper - quarter, 1e-6 * max(abs(median), 1.0))
    bands = [array[(depth > a) & (depth <= b)] for a, b in _BANDS_MM]
    if min(band.size for band in bands) < 50:
        return None
    spread = [low, lower, high, higher, highest]
    profile = [np.median(band) for band in bands]
    ends = [np.percentile(band, p) for p in (10, 95) for band in bands[3:]]
    values = (np.array([*spread, *profile, *ends]) - median) / width
    reach = np.log(max(highest - median, 1e-6) / max(median - lower, 1e-6))
    return np.array([*(np.sign(values) * np.log1p(np.abs(values))), reach])


def likelihood(features: np.ndarray) -> dict[str, float]:
    """Log-likelihood of the features under each sequence of the table, up to a constant."""
    scores = {}
    for name, mean in table.MEANS.items():
        off = features - np.asarray(mean)
        scores[name] = float(-0.5 * off @ np.asarray(table.PRECISION) @ off)
    return scores


def assign(features: Sequence[np.ndarray], names: Sequence[str]) -> tuple[tuple[int, ...], float]:
    """The most likely way to give each sequence one of the images.

    Args:
        features: of each image (`measure`), at least as many as names.
        names: sequences of the table.

    Returns:
        The index of the image for each name, and the probability of that assignment among all, each taken for equally likely
        before.
    """
    scores = [likelihood(f) for f in features]
    # What an image is likely to be at all drops out of the comparison only if every image is used; so compare within images.
    logs = [{n: s[n] - np.logaddexp.reduce(list(s.values())) for n in s} for s in scores]
    ways = list(itertools.permutations(range(len(features)), len(names)))
    totals = np.array([sum(logs[i][n] for i, n in zip(way, names, strict=True)) for way in ways])
    best = int(totals.argmax())
    return ways[best], float(np.exp(totals[best] - np.logaddexp.reduce(totals)))


def reach_difference(first: np.ndarray, second: np.ndarray) -> float:
    """How much further the brightest voxels of the second image reach than the first's: positive after contrast agent."""
    return float(second[-1] - first[-1])


def _coarse(array: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Means over blocks of voxels."""
    kept = tuple(slice(0, n // f * f) for n, f in zip(array.shape, factors, strict=True))
    x, y, z = (n // f for n, f in zip(array.shape, factors, strict=True))
    a, b, c = factors
    return array[kept].reshape(x, a, y, b, z, c).mean(axis=(1, 3, 5))


def _brain(array: np.ndarray) -> np.ndarray:
    """The foreground without holes: fluid that is exactly 0 in a FLAIR is brain too."""
    mask = ndimage.binary_closing(np.pad(array > 0, 3), iterations=2)
    return ndimage.binary_fill_holes(ndimage.binary_opening(mask))[3:-3, 3:-3, 3:-3]
