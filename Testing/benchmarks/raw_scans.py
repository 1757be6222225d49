"""What preparing raw scans costs in accuracy, where the truth is known: prepared cases made raw, and the raw exam.

    python -m Testing.benchmarks.raw_scans [--cases ID ...] [--count N] [--members M] [--steps S] [--rows FILE] [--only-table]

Each case is made raw by `make_raw` (the skull and neck are synthetic), prepared, segmented, and compared on the raw T1c's own grid
with the same case untouched, segmented by the same members. Registration error is the distance between where the found and the
true transform take points of the brain, 10 mm apart, a mean for each moved sequence. Every finished case is a row in FILE at
once, and is not done again by the same code. "As it is" and "corrected" are the same raw case with all members looking at the images as
they are, and with all looking at the bias-field-corrected ones (`preprocessing.bias_field`); otherwise it is half of them each. What is
measured of the raw exam is told in `raw_exam`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.sequences.naming import find_case
from Testing.benchmarks import make_raw as make_raw_module
from Testing.benchmarks.brain_extraction import EXAM, brain_figures, brain_table
from Testing.benchmarks.common import load_model, parser
from Testing.benchmarks.make_raw import make_raw
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.raw_common import code, distances, onto, points_of, prepared_with_cost
from Testing.benchmarks.raw_exam import exam, exam_figures
from Testing.benchmarks.real_data import ROOT, truth, unseen_first

# What issue 5 asks for.
MEDIAN_MM, P95_MM, DICE_DROP = 1.0, 2.0, 0.03


def main() -> None:
    command = parser(__doc__, "members", "steps", "seed", members=5)
    command.add_argument("--cases", nargs="*", default=(), help="default: all, those that no training saw first")
    command.add_argument("--count", type=int, default=24)
    command.add_argument("--rows", type=Path, default=Path("runs/raw_scans.jsonl"), help="finished cases, one a line")
    command.add_argument("--only-table", action="store_true", help="print what is finished")
    arguments = command.parse_args()
    bundle = find_bundle(arguments.bundle)
    mode = sampling_mode(bundle.specification, None, arguments.steps, arguments.members)
    how = {"bundle": bundle.name, "members": mode.members, "steps": mode.steps, "seed": arguments.seed, "code": code(make_raw_module)}
    done = [json.loads(line) for line in arguments.rows.read_text().splitlines()] if arguments.rows.exists() else []
    exam_how = {**how, "code": code()}  # nothing is made raw there
    done = [row for row in done if row["how"] == (exam_how if row["case"] == EXAM else how)]
    if not arguments.only_table:
        model = load_model(arguments, bundle)
        folders = unseen_first(tuple(arguments.cases))[: arguments.count]
        arguments.rows.parent.mkdir(parents=True, exist_ok=True)
        jobs = [(EXAM, lambda: exam(model, arguments.seed))] if (ROOT / EXAM).is_dir() and not arguments.cases else []
        jobs += [(f.name, lambda f=f, k=k: made_raw(f, model, arguments.seed + k, arguments.seed)) for k, f in enumerate(folders)]
        for name, job in jobs:
            if all(row["case"] != name for row in done):
                row = _tried(name, exam_how if name == EXAM else how, job)
                done.append(row)
                with arguments.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
    print(f"Machine: {machine()}. Bundle {bundle.name}, {mode.members} members × {mode.steps} steps, seed {arguments.seed}.")
    print(figures([row for row in done if row["case"] != EXAM]))
    print(exam_figures([row for row in done if row["case"] == EXAM]))


def made_raw(folder: Path, model: Model, seed: int, sampling_seed: int) -> dict[str, Any]:
    """One prepared case made raw: what came back, beside the truth."""
    spec = model.specification
    settings = Settings(seed=sampling_seed)
    files = find_case(folder, spec.sequences)
    volumes = {name: read_volume(file) for name, file in files.items()}
    raw = make_raw(volumes, seed, spec.reference)
    prepared, cost = prepared_with_cost(folder.name, raw.volumes, spec)
    moved, target = raw.moves[spec.reference], raw.volumes[spec.reference]
    points, found = points_of(volumes[spec.reference]), prepared.transforms
    far = {name: distances(found[name, spec.reference] @ raw.moves[name], moved, points) for name in volumes if name != spec.reference}
    labels, affine = truth(folder)
    wanted = onto(region_masks(labels, spec.labels, spec.regions), moved @ affine, target)
    known = segment(load_case(files, spec), model, settings)
    untouched = onto(known.masks(), moved @ known.affine, target)
    ready = prepared.case
    ways = {"as it is": replace(ready, bias_corrected={}), "corrected": replace(ready, volumes=ready.bias_corrected, bias_corrected={})}
    result, *others = (segment(one, model, settings).masks() for one in (ready, *ways.values()))
    true_brain = onto((volumes[spec.reference].array > 0)[None], moved @ volumes[spec.reference].affine, target)[0]
    return {
        "planes": dict(raw.planes),
        "errors_mm": {name: float(apart.mean()) for name, apart in far.items()},
        "most_mm": {name: float(apart.max()) for name, apart in far.items()},
        "dice": {r: (dice(u, w), dice(f, w)) for r, u, f, w in zip(spec.region_names, untouched, result, wanted, strict=True)},
        "shading": {way: dice(masks[-1], wanted[-1]) for way, masks in zip(ways, others, strict=True)},
        "brain": brain_figures(prepared.case.target_inside(), true_brain, dict(zip(spec.region_names, wanted, strict=True)), target),
        "distinctness": dict(prepared.record["distinctness"]),
        **cost,
    }


def _tried(name: str, how: dict, job: Any) -> dict[str, Any]:
    """A case that is refused is a row too, with what was said."""
    try:
        return {"case": name, "how": how, **job()}
    except InputError as refused:
        return {"case": name, "how": how, "refused": str(refused)}


def figures(rows: list[dict]) -> str:
    """Case by case, and whether what was asked for is reached."""
    refused = [row for row in rows if "refused" in row]
    rows = [row for row in rows if "refused" not in row]
    if not rows:
        return "\nNo case made raw has been finished."
    body = []
    for row in rows:
        outer = list(row["dice"])[-1]
        before, after = row["dice"][outer]
        body.append(
            (
                row["case"],
                " ".join(f"{n}:{p}" for n, p in row["planes"].items()),
                " ".join(f"{n}:{e:.2f}" for n, e in row["errors_mm"].items()),
                f"{before:.3f}",
                f"{after:.3f}",
                f"{after - before:+.3f}",
                *(f"{value:.3f}" for value in row["shading"].values()),
                f"{row['brain']['dice']:.3f}",
                f"{list(row['brain']['lost'].values())[-1] or 0.0:.1%}",
                f"{row['cpu_s']:.0f}",
            )
        )
    head = (
        "case",
        "slices",
        "error mm",
        "Dice WT untouched",
        "Dice WT raw",
        "change",
        "as it is",
        "corrected",
        "brain Dice",
        "WT outside brain",
        "CPU s",
    )
    errors = np.array([e for row in rows for e in row["errors_mm"].values()])
    change = np.array([(lambda d: d[1] - d[0])(list(row["dice"].values())[-1]) for row in rows])
    alone = {f"all members {way}": [row["shading"][way] - list(row["dice"].values())[-1][0] for row in rows] for way in rows[0]["shading"]}
    median, high = np.percentile(errors, [50, 95])
    asked = [
        ("registration error, median", f"{median:.2f} mm", f"≤ {MEDIAN_MM:g} mm", median <= MEDIAN_MM),
        ("registration error, 95th percentile", f"{high:.2f} mm", f"≤ {P95_MM:g} mm", high <= P95_MM),
        ("WT Dice, worst loss", f"{-change.min():.3f}", f"≤ {DICE_DROP:g}", -change.min() <= DICE_DROP),
        ("WT Dice, mean change", f"{change.mean():+.3f}", f"≥ {-DICE_DROP:g}", change.mean() >= -DICE_DROP),
        *((f"WT Dice, mean change, {way}", f"{float(np.mean(shift)):+.3f}", "", "") for way, shift in alone.items()),
        ("WT Dice, cases within it", f"{(change >= -DICE_DROP).sum()} of {len(change)}", "all", (change >= -DICE_DROP).all()),
        ("processor seconds to prepare, median", f"{np.median([row['cpu_s'] for row in rows]):.0f}", "", ""),
        ("peak memory", f"{max(row['peak_gib'] for row in rows):.1f} GiB", "≤ 4 GiB", max(row["peak_gib"] for row in rows) <= 4),
    ]
    said = [(*line[:3], {True: "yes", False: "NO"}.get(bool(line[3]) if line[3] != "" else None, "")) for line in asked]
    return "\n".join(
        [
            table(f"Made raw on purpose (skull and neck synthetic), {len(rows)} cases, {len(errors)} moved sequences", head, body),
            table("Asked for", ("figure", "measured", "asked", "reached"), said),
            brain_table("The brain in T1c, by deepbet", [(row["case"], row["brain"]) for row in rows]),
            *(f"\nRefused: {row['case']}: {row['refused']}" for row in refused),
        ]
    )


if __name__ == "__main__":
    main()
