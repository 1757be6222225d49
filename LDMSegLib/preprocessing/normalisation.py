"""Voxel values to the range the networks were trained on, sequence by sequence."""

from __future__ import annotations

import numpy as np

from LDMSegLib.specification import Intensity


def normalise(array: np.ndarray, intensity: Intensity) -> np.ndarray:
    """Bring one sequence to the network's range; statistics over its non-zero voxels at its own resolution.

    Args:
        array: (X, Y, Z), background exactly 0.
        intensity: method and limits of the bundle (see `specification.Intensity`).

    Returns:
        float32 (X, Y, Z); the background takes `background(intensity)`.
    """
    array = np.asarray(array, dtype=np.float32)
    foreground = array != 0
    values = array[foreground]
    empty = background(intensity)
    if not values.size:
        return np.full(array.shape, empty, dtype=np.float32)
    if intensity.method == "zscore":
        mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        scaled = np.clip((values - mean) / max(deviation, 1e-6), intensity.lower, intensity.upper) / intensity.scale
    else:
        low, high = np.percentile(values, [intensity.lower, intensity.upper])
        scaled = np.clip((values - low) / max(high - low, 1e-6), 0.0, 1.0) * 2.0 - 1.0
    out = np.full(array.shape, empty, dtype=np.float32)
    out[foreground] = scaled
    return out


def background(intensity: Intensity) -> float:
    """The value outside the brain, and of a whole sequence that is missing."""
    return 0.0 if intensity.method == "zscore" else -1.0
