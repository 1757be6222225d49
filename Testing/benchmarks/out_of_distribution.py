"""What the result says about inputs that are not what the model has learnt from, and whether it is silent about those that are.

    python -m Testing.benchmarks.out_of_distribution [--bundle B] [--mode M] [--members N] [--cases ID ...]

Validation cases as they are; the same with T1n and T1c, and T2w and T2f, given for each other; with each sequence replaced by
noise, and inverted, inside the brain; with the tumour's core replaced by fluid, as after an operation; and brains with multiple
sclerosis, as they are and with four small lesions made of a glioma set into them, as metastases lie (`altered_brains`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.model import Model
from LDMSegLib.preprocessing.case import Case
from Testing.benchmarks.altered_brains import resected, with_small_lesions
from Testing.benchmarks.common import heading, labelled_cases, load_model, parser, read_case
from Testing.benchmarks.process import table
from Testing.benchmarks.real_data import tumour_free_folders, validation_folders

SWAPS = (("t1n", "t1c"), ("t2w", "t2f"))
AS_IT_IS = "as it is"
METASTASES = (0.5, 0.45, 0.4, 0.35)
"""Sizes of the small lesions, as shares of the glioma's."""


def main() -> None:
    arguments = parser(__doc__, "mode", "members", "steps", "seed", "cases").parse_args()
    model = load_model(arguments)
    spec = model.specification
    if not spec.plausibility.ranges:
        print(f"warning: bundle {model.bundle.name} has no ranges of what is usual (Training.plausibility), so it can say nothing")
    rows = []
    for case, reference in labelled_cases(validation_folders(tuple(arguments.cases)), spec):
        _, core, whole = reference
        operated = ("core resected", resected(case, core, whole, arguments.seed))
        for what, changed in (("glioma, " + AS_IT_IS, case), operated, *altered_images(case, arguments.seed)):
            rows.append(warnings_of(what, changed, model, arguments.seed))
    for folder in tumour_free_folders():
        brain = read_case(folder, spec)
        scattered, _ = with_small_lesions(brain, case, whole, METASTASES, arguments.seed)
        for what, changed in (("multiple sclerosis", brain), (f"four small lesions, made of {case.id}", scattered)):
            rows.append(warnings_of(what, changed, model, arguments.seed))
    print(heading(model, arguments.seed))
    print(summary(rows))
    print(table("Every case", ("input", "case", f"{spec.region_names[-1]} mL", "warnings"), [tuple(map(str, row)) for row in rows]))


def altered_images(case: Case, seed: int) -> Iterator[tuple[str, Case]]:
    """The case with something wrong in its images."""
    volumes = dict(case.volumes)
    for a, b in SWAPS:
        if a in volumes and b in volumes:
            arrays = {a: volumes[b].array, b: volumes[a].array}
            yield f"{a} and {b} swapped", replace(case, volumes={n: replace(v, array=arrays.get(n, v.array)) for n, v in volumes.items()})
    rng = np.random.default_rng(seed)
    for name, volume in volumes.items():
        inside = volume.array != 0
        values = volume.array[inside]
        for what, new in (("noise", rng.normal(values.mean(), values.std(), values.shape)), ("inverted", values.max() + 1 - values)):
            array = np.zeros_like(volume.array)
            # A voxel of exactly 0 would be background.
            array[inside] = np.where(new == 0, 1e-3, new)
            yield f"{name} {what}", replace(case, volumes=volumes | {name: replace(volume, array=array)})


def warnings_of(what: str, case: Case, model: Model, seed: int) -> tuple[str, str, str, str]:
    """(input, case, volume of the last region, warnings of the result beyond those of the files)."""
    result = segment(case, model, Settings(seed))
    warnings = [sentence for sentence in result.warnings if sentence not in case.warnings]
    print(f"{case.id}, {what}: {'; '.join(warnings) or '-'}", flush=True)
    return what, case.id, f"{result.volumes[-1].ensemble:.1f}", " / ".join(warnings) or "-"


def summary(rows: list[tuple[str, str, str, str]]) -> str:
    """How often a result carries a warning, and how often the one that two images are swapped."""
    body = []
    for what in dict.fromkeys(row[0] for row in rows):
        warnings = [row[3] for row in rows if row[0] == what]
        warned, swapped = sum(w != "-" for w in warnings), sum("seem to be swapped" in w for w in warnings)
        body.append((what, str(len(warnings)), str(warned), str(swapped)))
    return table("Warnings", ("input", "cases", "with a warning", "of these: swapped"), body)


if __name__ == "__main__":
    main()
