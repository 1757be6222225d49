"""Synthetic small lesions: real ones shrunk, in label maps alone and as crops of MRI.

Patients have many large lesions and few small ones. An autoencoder that hardly ever met a small lesion forgets to draw it, a network that
reads MRI does not look for it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from LDMSegLib.spatial.boxes import bounding_box

VISIBLE, FEWEST_VOXELS = 0.4, 8
"""A lesion stands out by this much, in prepared values (z-scores over `intensity.scale`), and by so many voxels."""


def small_lesion_in_labels(regions: np.ndarray, other: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add `other`'s lesions, together 3 to 9 voxels long, to `regions`.

    Args:
        regions: (R, X, Y, Z) in [0, 1].
        other: same, of another case; its regions' nesting is kept by the shrinking.
        where: voxel of `regions` that comes to the small lesion's middle.
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


def shrunk(patch: dict[str, np.ndarray], zoom: float, place: np.ndarray, limit: np.ndarray, spacing: np.ndarray) -> dict[str, np.ndarray]:
    """A lesion crop made smaller, to be set elsewhere.

    Args:
        patch: as `transplant.transplant` takes it.
        zoom: its new size as a share of the old one, 0 to 1.
        place: (3,) voxel of the host that its middle is wanted at.
        limit: (3,) the host's shape.
        spacing: mm.
    """
    tissue = (patch["image"] != 0).any(axis=0)
    # Some blur only: what is as fine as a rim would be averaged away by the whole of what aliasing asks for.
    blur = 0.3 * (1.0 / zoom - 1.0)
    image = np.stack([ndimage.zoom(ndimage.gaussian_filter(one, blur), zoom, order=1) for one in patch["image"]])
    regions = np.stack([ndimage.zoom(ndimage.gaussian_filter(one, blur), zoom, order=1) for one in patch["regions"]])
    kept = ndimage.zoom(tissue.astype(np.float32), zoom, order=1) > 0.99
    inside = ndimage.zoom(patch["inside"].astype(np.float32), zoom, order=1) > 0.99
    return {"image": image * kept, "regions": regions, "inside": inside, "centre": (place - limit / 2) * spacing}


def stands_out(image: np.ndarray, lesion: np.ndarray) -> bool:
    """Whether a lesion differs from what is around it in some sequence, on average by `VISIBLE`. What cannot be seen teaches doubt.

    Args:
        image: (S, X, Y, Z), background 0.
        lesion: (X, Y, Z) bool.
    """
    around = ndimage.binary_dilation(lesion, iterations=4) & ~ndimage.binary_dilation(lesion, iterations=1) & (image != 0).any(axis=0)
    if lesion.sum() < FEWEST_VOXELS or around.sum() < FEWEST_VOXELS:
        return False
    return bool(np.abs(image[:, lesion].mean(axis=1) - image[:, around].mean(axis=1)).max() >= VISIBLE)
