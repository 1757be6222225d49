"""A real lesion shrunk to a speck, set into another label map.

Patients have many large lesions and few small ones, and an autoencoder that hardly ever met a small lesion forgets to draw it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from LDMSegLib.spatial.boxes import bounding_box


def speck(regions: np.ndarray, other: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add `other`'s lesions, together 3 to 9 voxels long, to `regions`.

    Args:
        regions: (R, X, Y, Z) in [0, 1].
        other: same, of another case; its regions' nesting is kept by the shrinking.
        where: voxel of `regions` that comes to the speck's middle.
        rng: draws the size.

    Returns:
        New regions; the given ones where `other` is empty.
    """
    box = bounding_box((other > 0.5).any(axis=0))
    if box is None:
        return regions
    lesion = torch.from_numpy(np.ascontiguousarray(other[(slice(None), *box)]))[None]
    length = min(rng.uniform(3, 9), max(lesion.shape[2:]))
    size = [max(1, round(n * length / max(lesion.shape[2:]))) for n in lesion.shape[2:]]
    small = F.interpolate(lesion, size=size, mode="area")[0].numpy()
    start = np.asarray(where) - np.array(size) // 2
    low, high = np.clip(start, 0, regions.shape[1:]), np.clip(start + size, 0, regions.shape[1:])
    if (high <= low).any():
        return regions
    out = regions.copy()
    there = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
    here = (slice(None), *(slice(a, b) for a, b in zip(low - start, high - start, strict=True)))
    out[there] = np.maximum(out[there], small[here])
    return out
