"""Distances between the surfaces of two masks, by the definition that the BraTS 2023 evaluation uses.

A mask's surface consists of one element for every 2x2x2 neighbourhood of voxels that is neither all inside nor all
outside: it lies at the neighbourhood's middle and has the area of the marching-cubes surface there (Lorensen & Cline
1987). The 95 % Hausdorff distance is the larger of the two directed ones; each is the smallest distance within which
95 % of a surface's *area* lies from the other surface (Nikolov et al. 2018, arXiv:1809.04430). The areas are those of the
authors' package `surface-distance`, which the official evaluation carries too.

Other packages take surface *voxels* and count them instead of weighing areas, so their numbers differ: on 28 pairs of
real tumour maps at 1 mm this one equals `surface-distance` in all and MONAI's in 12; where they differ, MONAI's is up to
3.7 mm larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree
from surface_distance.lookup_tables import ENCODE_NEIGHBOURHOOD_3D_KERNEL, create_table_neighbour_code_to_surface_area

from LDMSegLib.spatial.boxes import bounding_box


def hausdorff95(reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], percent: float = 95.0) -> float:
    """The robust Hausdorff distance between two masks' surfaces.

    Args:
        reference, prediction: (X, Y, Z) bool.
        spacing: Voxel size along the array's axes in mm.
        percent: Share of each surface's area that must lie within the distance.

    Returns:
        mm; 0 where both are empty, infinity where one is.
    """
    box = bounding_box(reference | prediction)
    if box is None:
        return 0.0
    points, areas = zip(*(_surface(mask[box], spacing) for mask in (reference, prediction)), strict=True)
    if not len(points[0]) or not len(points[1]):
        return float("inf")
    return max(
        _weighted_percentile(cKDTree(points[1]).query(points[0])[0], areas[0], percent),
        _weighted_percentile(cKDTree(points[0]).query(points[1])[0], areas[1], percent),
    )


def surface_area(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """The area of a mask's surface in mm² (a smooth body's is overestimated by some per cent: voxels have corners)."""
    box = bounding_box(mask)
    return 0.0 if box is None else float(_surface(mask[box], spacing)[1].sum())


def _surface(mask: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) in mm, up to a common shift, and areas (n,) in mm² of the surface elements."""
    padded = np.pad(mask.astype(np.uint8), 1)
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for corner, bit in np.ndenumerate(ENCODE_NEIGHBOURHOOD_3D_KERNEL.astype(np.uint8)):
        codes |= padded[tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))] * bit
    where = np.nonzero((codes != 0) & (codes != 255))
    areas = _element_areas(tuple(float(s) for s in spacing))
    return np.stack(where, axis=1) * np.asarray(spacing, dtype=np.float64), areas[codes[where]]


@lru_cache(maxsize=16)
def _element_areas(spacing: tuple[float, float, float]) -> np.ndarray:
    """(256,) area in mm² by neighbourhood."""
    return create_table_neighbour_code_to_surface_area(spacing)


def _weighted_percentile(distances: np.ndarray, areas: np.ndarray, percent: float) -> float:
    order = np.argsort(distances, kind="stable")
    share = np.cumsum(areas[order]) / areas.sum()
    return float(distances[order[min(np.searchsorted(share, percent / 100.0), len(order) - 1)]])
