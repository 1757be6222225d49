"""A real lesion, cut from one patient, set at its own place into another brain.

292 lesions come as small crops without their brains; whole cases are few. A transplant gives each lesion many brains and
the network whole-head context. The seam is soft and the tissue around the lesion is matched in intensity.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def transplant(
    host_image: np.ndarray, host_regions: np.ndarray, patch: dict[str, np.ndarray], spacing: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Set a lesion crop into a host brain, both on the model's spacing and centred alike.

    Args:
        host_image: (S, X, Y, Z), z-scores, background 0.
        host_regions: (R, X, Y, Z) in [0, 1].
        patch: `image` (S, x, y, z), `regions` (R, x, y, z) in [0, 1], `inside` (x, y, z) bool, `centre` mm from the brain's.
        spacing: of both, mm.
        rng: draws a small shift and how far intensities are matched.

    Returns:
        New image and regions of the host's shape.
    """
    image, regions = host_image.copy(), host_regions.copy()
    size, limit = np.array(patch["inside"].shape), np.array(host_image.shape[1:])
    start = np.round(patch["centre"] / spacing + (limit - size) / 2).astype(int) + rng.integers(-2, 3, 3)
    low, high = np.clip(start, 0, limit), np.clip(start + size, 0, limit)
    if (high - low < 4).any():
        return image, regions
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    here = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
    piece, labels, inside = patch["image"][(..., *here)], patch["regions"][(..., *here)], patch["inside"][here]
    around = image[(..., *there)]
    both = (around != 0).any(axis=0) & (piece != 0).any(axis=0)
    weight = _seam(labels.max(axis=0), inside) * both
    ring = (weight > 0.02) & (weight < 0.6)
    if ring.sum() > 50:
        shift = around[:, ring].mean(axis=1) - piece[:, ring].mean(axis=1)
        piece = piece + rng.uniform(0.3, 1.0) * shift[:, None, None, None]
    image[(..., *there)] = around * (1 - weight) + piece * weight
    regions[(..., *there)] = np.where(weight > 0.5, labels, regions[(..., *there)])
    return image, regions


def _seam(lesion: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """1 on the lesion and a little beyond, falling to 0 before the crop's edge."""
    near = ndimage.binary_dilation(lesion > 0.1, iterations=3) & ndimage.binary_erosion(np.pad(inside, 1), iterations=2)[1:-1, 1:-1, 1:-1]
    return ndimage.gaussian_filter(near.astype(np.float32), 1.2)
