"""Many cases to two tables: one row per case, region and filter, and one row per region and filter over all cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from LDMSegLib.evaluation.lesionwise import BRATS_2023_GLIOMA, Rules, score

MEASURES = ("lesionwise_dice", "lesionwise_hd95_mm", "dice", "hd95_mm")


def case_rows(
    case: str,
    reference: np.ndarray,
    prediction: np.ndarray,
    names: Sequence[str],
    spacing: Sequence[float],
    rules: Rules = BRATS_2023_GLIOMA,
    smallest_mm3: float = 0.0,
) -> list[dict[str, Any]]:
    """Score every region of a case.

    Args:
        case: Its name.
        reference, prediction: (R, X, Y, Z) bool, see `postprocessing.regions.region_masks`.
        names: The R regions' names.
        spacing: Voxel size along the array's axes in mm.
        rules: The challenge's.
        smallest_mm3: Above 0, every region is scored a second time without predicted components smaller than this.

    Returns:
        Rows with case, region, filter_mm3 (0 or `smallest_mm3`), the `MEASURES`, numbers of lesions and volumes in mL.
    """
    voxel_ml = float(np.prod(spacing)) / 1000.0
    rows = []
    for name, truth, answer in zip(names, reference, prediction, strict=True):
        for smallest in (0.0, smallest_mm3) if smallest_mm3 > 0 else (0.0,):
            result = score(truth, answer, spacing, rules, smallest)
            rows.append(
                {
                    "case": case,
                    "region": name,
                    "filter_mm3": smallest,
                    "lesionwise_dice": result.dice,
                    "lesionwise_hd95_mm": result.hd95,
                    "dice": result.global_dice,
                    "hd95_mm": result.global_hd95,
                    "lesions": sum(lesion.counted for lesion in result.lesions),
                    "missed": result.missed,
                    "false_positives": len(result.false_positives),
                    "reference_ml": float(np.count_nonzero(truth) * voxel_ml),
                    "prediction_ml": float(np.count_nonzero(answer) * voxel_ml),
                }
            )
    return rows


def summary_rows(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean, SD (n - 1), median and quartiles of every measure over the cases, per region and filter, in order of appearance."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["region"], row["filter_mm3"]), []).append(row)
    summary = []
    for (region, smallest), members in groups.items():
        out: dict[str, Any] = {"region": region, "filter_mm3": smallest, "cases": len(members)}
        for measure in MEASURES:
            values = np.array([row[measure] for row in members], dtype=np.float64)
            low, middle, high = np.percentile(values, (25, 50, 75))
            out |= {
                f"{measure}_mean": float(values.mean()),
                f"{measure}_sd": float(values.std(ddof=1)) if len(values) > 1 else float("nan"),
                f"{measure}_median": float(middle),
                f"{measure}_q25": float(low),
                f"{measure}_q75": float(high),
            }
        out |= {name: sum(row[name] for row in members) for name in ("lesions", "missed", "false_positives")}
        summary.append(out)
    return summary
