"""What is lost when one of the sequences is missing: Dice on cases that no training phase saw, sequence by sequence.

    python -m Testing.benchmarks.missing_sequence [--bundle B] [--mode M] [--cases ID ...] [--members N] [--steps S] [--csv FILE]

The same seed and members each time. A missing T1c also gives up the grid of the result; where all sequences lie on one grid,
as here, nothing changes by that.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.evaluation.evaluation import case_rows
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.sequences.naming import find_case
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import truth, validation_folders

NONE = "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--mode")
    parser.add_argument("--members", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", default=(), help="default: the validation cases of Training/configs/small.json")
    parser.add_argument("--csv", type=Path, help="write every case's row here")
    arguments = parser.parse_args()
    bundle = find_bundle(arguments.bundle)
    # A bundle may not say yet what it can do without; here that is what is asked.
    sequences = tuple(replace(sequence, required=False) for sequence in bundle.specification.sequences)
    spec = replace(bundle.specification, sequences=sequences)
    mode = sampling_mode(spec, arguments.mode, arguments.steps, arguments.members)
    model = Model(replace(bundle, specification=spec), mode, choose_device())
    rows = []
    for folder in validation_folders(tuple(arguments.cases)):
        files = find_case(folder, sequences)
        reference = region_masks(truth(folder)[0], spec.labels, spec.regions)
        for missing in (NONE, *(name for name in files if len(files) > 1)):
            case = load_case({name: file for name, file in files.items() if name != missing}, spec, folder.name)
            result = segment(case, model, Settings(arguments.seed))
            scored = case_rows(folder.name, reference, result.masks(), spec.region_names, case.grid.spacing)
            rows += [{"missing": missing, **row, "warnings": " | ".join(result.warnings)} for row in scored]
    print(f"Machine: {machine()}. Bundle {bundle.name}, {mode.sampler}, {mode.members} members × {mode.steps} steps.")
    print(losses(rows, spec.region_names))
    print(said(rows))
    if arguments.csv:
        arguments.csv.write_text(to_csv(rows), encoding="utf-8")


def losses(rows: list[dict], regions: tuple[str, ...]) -> str:
    """Mean Dice without each sequence, the mean drop, and the largest drop of a case."""
    of = {(row["missing"], row["case"], row["region"]): row["dice"] for row in rows}
    cases = dict.fromkeys(row["case"] for row in rows)
    body = []
    for missing in dict.fromkeys(row["missing"] for row in rows):
        dice = {r: np.array([of[missing, case, r] for case in cases if (missing, case, r) in of]) for r in regions}
        drop = {r: np.array([of[NONE, case, r] - of[missing, case, r] for case in cases if (missing, case, r) in of]) for r in regions}
        cells = [f"{dice[r].mean():.3f}" for r in regions]
        cells += [f"{drop[r].mean():.3f}" for r in regions] + [f"{drop[r].max():.3f}" for r in regions]
        body.append((missing, *cells))
    head = ("missing", *(f"Dice {r}" for r in regions), *(f"drop {r}" for r in regions), *(f"largest drop {r}" for r in regions))
    return table(f"One sequence missing, {len(cases)} cases, at their own voxels", head, body)


def said(rows: list[dict]) -> str:
    """Whether the result says that it is missing."""
    body = []
    for missing in dict.fromkeys(row["missing"] for row in rows if row["missing"] != NONE):
        warned = {row["case"]: f"without {missing}" in row["warnings"] for row in rows if row["missing"] == missing}
        body.append((missing, f"{sum(warned.values())} of {len(warned)}"))
    return table("Said in the result", ("missing", "cases"), body)


if __name__ == "__main__":
    main()
