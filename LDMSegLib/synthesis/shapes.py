"""A set of region masks as numbers a radiologist has words for: how large, how many parts, how round, how long, where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from LDMSegLib.postprocessing.regions import EVERY_NEIGHBOUR
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.surfaces import surface_area
from LDMSegLib.specification import Region, nesting


def shape_statistics(masks: np.ndarray, regions: tuple[Region, ...], affine: np.ndarray) -> dict[str, float]:
    """Statistics of one case.

    Per region: `volume_ml`; `components` (26-connected); `sphericity`, π^(1/3) (6 V)^(2/3) / A (Wadell 1935, J. Geol.
    43), with A of `surfaces.surface_area`, so that a voxelised ball has about 0.9; `elongation` and `flatness`, the
    square roots of the middle and of the smallest eigenvalue of the voxel positions' covariance over the largest
    (IBSI, arXiv:1612.07003: 1 is round, 0 a line or a plane); `centroid_r_mm`, `_a_mm`, `_s_mm` in world RAS. Per pair
    of nested regions: `<inner>_outside_<outer>_ml`.

    Args:
        masks: (R, X, Y, Z) bool.
        regions: The R regions, in channel order.
        affine: (4, 4), voxel to world RAS in mm, without shear.

    Returns:
        Names to values, in a fixed order; NaN for the shape and place of an empty region.
    """
    affine = np.asarray(affine, dtype=np.float64)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    voxel_ml = float(np.prod(spacing)) / 1000.0
    out: dict[str, float] = {}
    for region, mask in zip(regions, masks, strict=True):
        values = _of_region(np.asarray(mask, dtype=bool), affine, spacing, voxel_ml)
        out |= {f"{region.name}_{name}": value for name, value in values.items()}
    for inner, outer in nesting(regions):
        name = f"{regions[inner].name}_outside_{regions[outer].name}_ml"
        out[name] = float(np.count_nonzero(masks[inner] & ~masks[outer]) * voxel_ml)
    return out


def feature_matrix(cases: Sequence[dict[str, float]]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(cases, features) and the features' names, from the statistics of several cases.

    Raises:
        ValueError: No case, or cases with different statistics.
    """
    names = tuple(cases[0]) if cases else ()
    if not names or any(tuple(case) != names for case in cases):
        raise ValueError("the cases do not have the same statistics, expected at least one case and all measured with the same regions")
    return np.array([[case[name] for name in names] for case in cases], dtype=np.float64), names


def _of_region(mask: np.ndarray, affine: np.ndarray, spacing: np.ndarray, voxel_ml: float) -> dict[str, float]:
    nothing = float("nan")
    values = {"volume_ml": 0.0, "components": 0.0} | dict.fromkeys(
        ("sphericity", "elongation", "flatness", "centroid_r_mm", "centroid_a_mm", "centroid_s_mm"), nothing
    )
    box = bounding_box(mask)
    if box is None:
        return values
    voxels = np.argwhere(mask[box]) + [s.start for s in box]
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    volume_mm3 = len(voxels) * voxel_ml * 1000.0
    values["volume_ml"] = volume_mm3 / 1000.0
    values["components"] = float(ndimage.label(mask[box], EVERY_NEIGHBOUR)[1])
    values["sphericity"] = float(np.pi ** (1 / 3) * (6 * volume_mm3) ** (2 / 3) / surface_area(mask, spacing))
    if len(voxels) > 1:
        spread = np.linalg.eigvalsh(np.cov(world.T)).clip(min=0)
        values["elongation"], values["flatness"] = (float(np.sqrt(spread[i] / spread[2])) for i in (1, 0))
    centroid = world.mean(axis=0)
    values |= {f"centroid_{axis}_mm": float(x) for axis, x in zip("ras", centroid, strict=True)}
    return values
