"""Label maps of whatever convention to soft region maps on a grid of the model's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.spatial.model_grid import PlacedGrid, to_grid
from Training.configuration import Configuration


def in_our_values(configuration: Configuration, labels: np.ndarray, truth: Path | None) -> np.ndarray:
    """Label values of whichever convention the map follows (BraTS wrote 4 for ET until 2021) in the specification's."""
    found = set(np.unique(labels).tolist()) - {0}
    ours = {label.value for label in configuration.labels}
    if found <= ours:
        return labels
    conventions = sorted({name for label in configuration.labels for name in label.conventions})
    for name in conventions:
        values = {label.conventions.get(name, label.value): label.value for label in configuration.labels}
        if found <= set(values):
            out = np.zeros_like(labels)
            for theirs, value in values.items():
                out[labels == theirs] = value
            return out
    raise InputError(f"the label map {truth} holds the values {sorted(found)}, expected {sorted(ours)}; map them or take the case out")


def soft_regions(configuration: Configuration, labels: np.ndarray, affine: np.ndarray, placed: PlacedGrid) -> np.ndarray:
    """Return the regions (R, X, Y, Z) uint8 of a label map on the model's grid, 255 where a voxel is wholly inside."""
    values = {label.name: label.value for label in configuration.labels}
    regions = [np.isin(labels, [values[name] for name in region.labels]) for region in configuration.regions]
    return np.stack([(to_grid(r.astype(np.float32), affine, placed) * 255).round().astype(np.uint8) for r in regions])
