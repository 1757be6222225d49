"""Volumes of the regions in millilitres, and how much the members of the ensemble disagree about them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from LDMSegLib.specification import Region


@dataclass(frozen=True)
class RegionVolume:
    """One region's volume, all in mL.

    `ensemble` is the volume of the result itself (thresholded mean). `expected` is the sum of the probabilities times
    the voxel's volume. `mean`, `sd` (n - 1) and the *spread* (2.5th to 97.5th percentile, lowest, highest) are over
    the members' own volumes, NaN without them. The spread says how far the members disagree; it is not a confidence
    interval: even without bias the central 95 % of 30 members covers less than 95 %, and nothing corrects the bias.
    """

    region: str
    ensemble: float
    expected: float
    members: int
    mean: float
    sd: float
    spread_low: float
    spread_high: float
    lowest: float
    highest: float


def measure(
    masks: np.ndarray,
    probabilities: np.ndarray,
    regions: tuple[Region, ...],
    affine: np.ndarray,
    member_volumes: np.ndarray | None = None,
) -> tuple[RegionVolume, ...]:
    """Measure every region.

    Args:
        masks: (R, X, Y, Z) bool, the result's regions.
        probabilities: (R, X, Y, Z).
        regions: The R regions, in channel order.
        affine: (4, 4), voxel to world RAS in mm.
        member_volumes: (members, R) volumes of the members' own thresholded regions in mL.

    Returns:
        One `RegionVolume` per region, in channel order.

    Raises:
        ValueError: Channels, regions and member volumes do not have the same number of regions.
    """
    if not len(masks) == len(probabilities) == len(regions):
        raise ValueError(f"{len(masks)} masks and {len(probabilities)} probabilities given for {len(regions)} regions, expected as many")
    members = np.zeros((0, len(regions))) if member_volumes is None else np.asarray(member_volumes, dtype=np.float64)
    if members.ndim != 2 or members.shape[1] != len(regions):
        raise ValueError(f"member volumes of shape {members.shape} given, expected (members, {len(regions)})")
    voxel = voxel_ml(affine)
    return tuple(
        RegionVolume(
            region=region.name,
            ensemble=float(np.count_nonzero(masks[r]) * voxel),
            expected=float(probabilities[r].sum(dtype=np.float64) * voxel),
            **_over_members(members[:, r]),
        )
        for r, region in enumerate(regions)
    )


def voxel_ml(affine: np.ndarray) -> float:
    """The volume of one voxel in mL, right for sheared and oblique affines too."""
    return float(abs(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3])) / 1000.0)


def to_rows(volumes: Iterable[RegionVolume], titles: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """One flat row per region for volumes.csv; the unit stands in the column names, empty cells where unknown."""
    rows = []
    for volume in volumes:
        row: dict[str, Any] = {"region": volume.region, "title": (titles or {}).get(volume.region, volume.region)}
        for name, value in asdict(volume).items():
            if name == "members":
                row["members"] = value
            elif name != "region":
                row[f"{name}_ml"] = "" if np.isnan(value) else f"{value:.4f}"
        rows.append(row)
    return rows


def to_csv(rows: list[dict[str, Any]], columns: Iterable[str] = ()) -> str:
    """Rows as CSV text with a header line; `columns` gives the header where there are no rows."""
    names = list(rows[0]) if rows else list(columns)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _over_members(values: np.ndarray) -> dict[str, Any]:
    if values.size == 0:
        return {"members": 0} | {f.name: float("nan") for f in fields(RegionVolume)[4:]}
    low, high = np.percentile(values, (2.5, 97.5))
    return {
        "members": int(values.size),
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if values.size > 1 else float("nan"),
        "spread_low": float(low),
        "spread_high": float(high),
        "lowest": float(values.min()),
        "highest": float(values.max()),
    }
