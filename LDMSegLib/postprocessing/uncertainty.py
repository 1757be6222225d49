"""Where to look first: the connected places where the ensemble doubts itself, worst first.

Ambiguity of a voxel is 4 p (1 - p): 1 at p = 0.5, 0 where all members agree. It is, up to the factor 4, the variance
of the members' binary votes. A place is a connected set of voxels with p between 0.2 and 0.8 (ambiguity at least 0.64).

A doubted shell all around a tumour would be a single place, of no use to go to. So each connected band is divided: its
peaks of local doubt (Gaussian-weighted ambiguity within reach) at least one `reach` apart become centres, every voxel
of the band belongs to the nearest centre, and what stays connected is one place. Places are ranked by volume times
mean ambiguity, that is by the sum of ambiguity, so a thick doubtful corner comes before a thin ordinary edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from LDMSegLib.postprocessing.regions import EVERY_NEIGHBOUR
from LDMSegLib.postprocessing.volumes import voxel_ml
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.specification import Region

LOWEST_P, HIGHEST_P = 0.2, 0.8


@dataclass(frozen=True)
class UncertainRegion:
    """One doubted place on the boundary of `region`.

    `center` is the ambiguity-weighted centroid in RAS mm. `voxel` is the place's own voxel nearest to it (the centroid
    of a curved place may lie outside it), and `position` that voxel in RAS mm: where a viewer should jump.
    `box` is ((i0, j0, k0), (i1, j1, k1)), first and last voxel, both inside. `volume` in mL, `ambiguity` the mean of
    4 p (1 - p), `score` their product in mL.
    """

    rank: int
    region: str
    center: tuple[float, float, float]
    position: tuple[float, float, float]
    voxel: tuple[int, int, int]
    box: tuple[tuple[int, int, int], tuple[int, int, int]]
    volume: float
    ambiguity: float
    score: float


def find_uncertain_regions(
    probabilities: np.ndarray,
    regions: tuple[Region, ...],
    affine: np.ndarray,
    count: int = 10,
    smallest_ml: float = 0.05,
    reach_mm: float = 10.0,
) -> tuple[UncertainRegion, ...]:
    """Find and rank the doubted places of all regions.

    Args:
        probabilities: (R, X, Y, Z).
        regions: The R regions, in channel order.
        affine: (4, 4), voxel to world RAS in mm.
        count: At most this many, over all regions together.
        smallest_ml: Smaller places are left out.
        reach_mm: Least distance between the centres of two places of one band.

    Returns:
        Places by falling score. The boundaries of nested regions may be doubted at one spot: each is listed.
    """
    found: list[UncertainRegion] = []
    for channel, region in zip(probabilities, regions, strict=True):
        found.extend(_places(channel, region.name, np.asarray(affine, dtype=np.float64), smallest_ml, reach_mm))
    found.sort(key=lambda place: (-place.score, place.region, place.voxel))
    return tuple(_ranked(place, rank) for rank, place in enumerate(found[:count], start=1))


COLUMNS = (
    *("rank", "region", "volume_ml", "mean_ambiguity", "score_ml"),
    *("center_r_mm", "center_a_mm", "center_s_mm", "jump_r_mm", "jump_a_mm", "jump_s_mm"),
    *("jump_i", "jump_j", "jump_k", "first_i", "first_j", "first_k", "last_i", "last_j", "last_k"),
)
"""The columns of uncertain_regions.csv; positions are world RAS in mm, i j k are voxel indices from 0."""


def to_rows(places: Iterable[UncertainRegion]) -> list[dict[str, Any]]:
    """One flat row per place for uncertain_regions.csv."""
    return [
        dict(
            zip(
                COLUMNS,
                (
                    *(place.rank, place.region, f"{place.volume:.4f}", f"{place.ambiguity:.4f}", f"{place.score:.4f}"),
                    *(f"{x:.2f}" for x in (*place.center, *place.position)),
                    *place.voxel,
                    *place.box[0],
                    *place.box[1],
                ),
                strict=True,
            )
        )
        for place in places
    ]


def _places(p: np.ndarray, name: str, affine: np.ndarray, smallest_ml: float, reach_mm: float) -> list[UncertainRegion]:
    band = (p >= LOWEST_P) & (p <= HIGHEST_P)
    box = bounding_box(band)
    voxel = voxel_ml(affine)
    if box is None or np.count_nonzero(band[box]) * voxel < smallest_ml:
        return []
    band, p = band[box], p[box].astype(np.float32)
    doubt = np.where(band, 4 * p * (1 - p), np.float32(0))
    components, _ = ndimage.label(band, EVERY_NEIGHBOUR)

    # bands too small to be listed are dropped before the costlier steps: there may be thousands
    large = np.bincount(components.ravel()) * voxel >= smallest_ml
    large[0] = False
    where = np.argwhere(large[components])
    if len(where) == 0:
        return []
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    local = ndimage.gaussian_filter(doubt, reach_mm / 2 / spacing, mode="constant", truncate=2.0)
    index = tuple(where.T)
    positions = where @ affine[:3, :3].T
    member = _divide(components[index], positions, local[index], reach_mm)

    weights = doubt[index].astype(np.float64)
    origin = np.array([s.start for s in box])
    order = np.argsort(member, kind="stable")
    places = []
    for group in np.split(order, np.flatnonzero(np.diff(member[order])) + 1):
        group = _largest_connected(where[group], group)
        volume = len(group) * voxel
        if volume < smallest_ml:
            continue
        places.append(_describe(name, where[group] + origin, weights[group], affine, volume))
    return places


def _divide(component: np.ndarray, positions: np.ndarray, local: np.ndarray, reach_mm: float) -> np.ndarray:
    """A number per voxel: the same for voxels of one component nearest to the same peak of local doubt."""
    # quantised so that the order, and with it the division, does not hang on the last bit of a sum
    order = np.lexsort((np.arange(len(local)), -np.round(local, 5)))
    member = np.empty(len(local), np.int64)
    first = 0
    for c in np.unique(component):
        mine = order[component[order] == c]
        # a tree of the band: comparing every peak with every voxel takes minutes where the whole brain is doubted
        tree, near = cKDTree(positions[mine]), np.zeros(len(mine), bool)
        peaks = []
        for k, voxel in enumerate(mine):
            if not near[k]:
                peaks.append(voxel)
                near[tree.query_ball_point(positions[voxel], reach_mm)] = True
        _, nearest = cKDTree(positions[peaks]).query(positions[mine])
        member[mine] = first + nearest
        first += len(peaks)
    return member


def _largest_connected(voxels: np.ndarray, group: np.ndarray) -> np.ndarray:
    low = voxels.min(axis=0)
    grid = np.zeros(voxels.max(axis=0) - low + 1, bool)
    index = tuple((voxels - low).T)
    grid[index] = True
    parts, n = ndimage.label(grid, EVERY_NEIGHBOUR)
    if n == 1:
        return group
    part = parts[index]
    return group[part == np.bincount(part)[1:].argmax() + 1]


def _describe(name: str, voxels: np.ndarray, weights: np.ndarray, affine: np.ndarray, volume: float) -> UncertainRegion:
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    center = np.average(world, axis=0, weights=weights)
    nearest = int(((world - center) ** 2).sum(axis=1).argmin())
    ambiguity = float(weights.mean())
    return UncertainRegion(
        rank=0,
        region=name,
        center=tuple(float(x) for x in center),
        position=tuple(float(x) for x in world[nearest]),
        voxel=tuple(int(x) for x in voxels[nearest]),
        box=(tuple(int(x) for x in voxels.min(axis=0)), tuple(int(x) for x in voxels.max(axis=0))),
        volume=float(volume),
        ambiguity=ambiguity,
        score=float(volume * ambiguity),
    )


def _ranked(place: UncertainRegion, rank: int) -> UncertainRegion:
    return replace(place, rank=rank)
