"""Whether the faster ways to sample still give the ensemble that the reference gives: its spread and its accuracy.

    python -m Testing.benchmarks.fast_mode [--bundle B] [--reference paper] [--modes fast solver ...] [--members N] [--cases ID ...]

All modes of one bundle, with the same seed and as many members each, looking at the MRI in one view, which is all that the
reference has: member i starts from the same noise in all of them and only the sampling differs. A
fast mode passes with a variance ratio of at least 0.9 and an ensemble Dice within 0.005 of the reference's. The reference
takes its time: 1000 steps for each member.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from LDMSegLib.cases.case import load_case
from LDMSegLib.cases.naming import find_case
from LDMSegLib.metrics.lesionwise import dice
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.results.labels import region_masks
from LDMSegLib.results.measurements import to_csv
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.segment import Settings, segment
from LDMSegLib.specification import Specification
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import truth, validation_folders

LEAST_RATIO, LARGEST_LOSS = 0.9, 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--reference", default="paper")
    parser.add_argument("--modes", nargs="*", default=(), help="default: all others that read an MRI")
    parser.add_argument("--members", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", default=(), help="default: the validation cases of Training/configs/small.json")
    parser.add_argument("--csv", type=Path, help="write every case's row here")
    arguments = parser.parse_args()
    bundle, device = find_bundle(arguments.bundle), choose_device()
    spec = bundle.specification
    others = arguments.modes or [name for name, mode in spec.modes.items() if mode.controlnet and name != arguments.reference]
    rows = []
    for folder in validation_folders(tuple(arguments.cases)):
        case = load_case(find_case(folder, spec.sequences), spec, folder.name)
        target = region_masks(truth(folder)[0], spec.labels, spec.regions)
        reference = None
        for name in (arguments.reference, *others):
            mode = replace(sampling_mode(spec, name, None, None), members=arguments.members, views=1)
            model, begun = Model(bundle, mode, device), time.monotonic()
            result = segment(case, model, Settings(arguments.seed, mode_name=name))
            reference = reference or result
            rows += compared(folder.name, name, result, reference, target, spec, time.monotonic() - begun)
            print(f"{folder.name}: {name}", flush=True)
    print(f"Machine: {machine()}. Bundle {bundle.name}, {arguments.members} members, seed {arguments.seed}.")
    print(summary(rows, spec.region_names, arguments.reference))
    if arguments.csv:
        arguments.csv.write_text(to_csv(rows), encoding="utf-8")


def compared(
    case: str, mode: str, result: Segmentation, reference: Segmentation, target: np.ndarray, spec: Specification, seconds: float
) -> list[dict]:
    """One row a region: Dice with the truth, its change, Dice with the reference's map, and the ratio of summed variances."""
    rows = []
    for r, name in enumerate(spec.region_names):
        theirs = float(reference.variance[r].sum(dtype=np.float64))
        ours = float(result.variance[r].sum(dtype=np.float64))
        own, other = dice(target[r], result.masks()[r]), dice(target[r], reference.masks()[r])
        rows.append(
            {
                "case": case,
                "mode": mode,
                "region": name,
                "dice": own,
                "dice_change": own - other,
                "dice_with_reference": dice(reference.masks()[r], result.masks()[r]),
                "variance_ratio": ours / theirs if theirs else float("nan"),
                "seconds": seconds,
            }
        )
    return rows


def summary(rows: list[dict], regions: tuple[str, ...], reference: str) -> str:
    """Means over the cases, and whether a mode passes: in every region, by the means."""
    body = []
    for mode in dict.fromkeys(row["mode"] for row in rows):
        mine = [row for row in rows if row["mode"] == mode]

        def mean(measure: str, region: str, rows: list[dict] = mine) -> float:
            return float(np.nanmean([row[measure] for row in rows if row["region"] == region]))

        ratios, changes = [mean("variance_ratio", r) for r in regions], [mean("dice_change", r) for r in regions]
        passed = min(ratios) >= LEAST_RATIO and max(map(abs, changes)) <= LARGEST_LOSS
        cells = [f"{ratio:.3f}" for ratio in ratios] + [f"{mean('dice', r):.3f}" for r in regions] + [f"{c:+.4f}" for c in changes]
        verdict = "reference" if mode == reference else "yes" if passed else "no"
        body.append(
            (mode, *cells, *(f"{mean('dice_with_reference', r):.3f}" for r in regions), f"{mean('seconds', regions[0]):.0f}", verdict)
        )
    head = ("mode", *(f"variance ratio {r}" for r in regions), *(f"Dice {r}" for r in regions), *(f"change {r}" for r in regions))
    head += (*(f"Dice with reference {r}" for r in regions), "s a case", "passes")
    return table(f"Against mode {reference}, mean over {len({row['case'] for row in rows})} cases", head, body)


if __name__ == "__main__":
    main()
