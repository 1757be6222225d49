"""What is lost when one of the sequences is missing: Dice on cases that no training phase saw, sequence by sequence.

    python -m Testing.benchmarks.missing_sequence [--bundle B] [--mode M] [--cases ID ...] [--members N] [--steps S] [--csv FILE]

The same seed and members each time. A missing T1c also gives up the grid of the result; where all sequences lie on one grid,
as here, nothing changes by that.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.evaluation.evaluation import case_rows
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.sequences.naming import find_case
from Testing.benchmarks.common import heading, load_model, parser, reference_masks, write_csv
from Testing.benchmarks.process import table
from Testing.benchmarks.real_data import validation_folders

NONE = "none"


def main() -> None:
    arguments = parser(__doc__, "mode", "members", "steps", "seed", "cases", "csv").parse_args()
    bundle = find_bundle(arguments.bundle)
    # A bundle may not say yet what it can do without; here that is what is asked.
    sequences = tuple(replace(sequence, required=False) for sequence in bundle.specification.sequences)
    model = load_model(arguments, replace(bundle, specification=replace(bundle.specification, sequences=sequences)))
    spec = model.specification
    rows = []
    for folder in validation_folders(tuple(arguments.cases)):
        files = find_case(folder, sequences)
        reference = reference_masks(folder, spec)
        for missing in (NONE, *(name for name in files if len(files) > 1)):
            case = load_case({name: file for name, file in files.items() if name != missing}, spec, folder.name)
            result = segment(case, model, Settings(arguments.seed))
            scored = case_rows(folder.name, reference, result.masks(), spec.region_names, case.grid.spacing)
            rows += [{"missing": missing, **row, "warnings": " | ".join(result.warnings)} for row in scored]
    print(heading(model, arguments.seed))
    print(losses(rows, spec.region_names))
    print(warned(rows))
    write_csv(arguments, rows)


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


def warned(rows: list[dict]) -> str:
    """In how many cases the result warns that it is missing."""
    body = []
    for missing in dict.fromkeys(row["missing"] for row in rows if row["missing"] != NONE):
        warnings = {row["case"]: f"without {missing}" in row["warnings"] for row in rows if row["missing"] == missing}
        body.append((missing, f"{sum(warnings.values())} of {len(warnings)}"))
    return table("Warned of in the result", ("missing", "cases"), body)


if __name__ == "__main__":
    main()
