"""What the result says about inputs that are not what the model has learnt from, and whether it is silent about those that are.

    python -m Testing.benchmarks.out_of_distribution [--bundle B] [--mode M] [--members N] [--cases ID ...]

Validation cases as they are; the same with T1n and T1c, and T2w and T2f, given for each other; with each sequence replaced by
noise, and inverted, inside the brain; with the tumour's core replaced by fluid, as after an operation; and brains with multiple
sclerosis, as they are and with four small lesions made of a glioma set into them, as metastases lie (`altered_brains`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.sequences.naming import find_case
from Testing.benchmarks.altered_brains import resected, with_small_lesions
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import truth, tumour_free_folders, validation_folders

SWAPS = (("t1n", "t1c"), ("t2w", "t2f"))
AS_IT_IS = "as it is"
METASTASES = (0.5, 0.45, 0.4, 0.35)
"""Sizes of the small lesions, as shares of the glioma's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--mode")
    parser.add_argument("--members", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", default=(), help="default: the validation cases of Training/configs/small.json")
    arguments = parser.parse_args()
    bundle = find_bundle(arguments.bundle)
    spec = bundle.specification
    model = Model(bundle, sampling_mode(spec, arguments.mode, arguments.steps, arguments.members), choose_device())
    if not spec.plausibility.ranges:
        print(f"warning: bundle {bundle.name} has no ranges of what is usual (Training.plausibility), so it can say nothing")
    rows = []
    for folder in validation_folders(tuple(arguments.cases)):
        case = load_case(find_case(folder, spec.sequences), spec, folder.name)
        _, core, whole = region_masks(truth(folder)[0], spec.labels, spec.regions)
        operated = ("core resected", resected(case, core, whole, arguments.seed))
        for what, changed in (("glioma, " + AS_IT_IS, case), operated, *strange(case, arguments.seed)):
            rows.append(judged(what, changed, model, arguments.seed))
    for folder in tumour_free_folders():
        brain = load_case(find_case(folder, spec.sequences), spec, folder.name)
        scattered, _ = with_small_lesions(brain, case, whole, METASTASES, arguments.seed)
        for what, changed in (("multiple sclerosis", brain), (f"four small lesions, made of {case.id}", scattered)):
            rows.append(judged(what, changed, model, arguments.seed))
    print(f"Machine: {machine()}. Bundle {bundle.name}, {model.mode.members} members × {model.mode.steps} steps.")
    print(summary(rows))
    print(table("Every case", ("input", "case", f"{spec.region_names[-1]} mL", "said"), [tuple(map(str, row)) for row in rows]))


def strange(case: Case, seed: int) -> Iterator[tuple[str, Case]]:
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


def judged(what: str, case: Case, model: Model, seed: int) -> tuple[str, str, str, str]:
    """(input, case, volume of the last region, what the result says beyond what was said of the files)."""
    result = segment(case, model, Settings(seed))
    said = [sentence for sentence in result.warnings if sentence not in case.warnings]
    print(f"{case.id}, {what}: {'; '.join(said) or '-'}", flush=True)
    return what, case.id, f"{result.volumes[-1].ensemble:.1f}", " / ".join(said) or "-"


def summary(rows: list[tuple[str, str, str, str]]) -> str:
    """How often something was said, and how often that two images are swapped."""
    body = []
    for what in dict.fromkeys(row[0] for row in rows):
        said = [row[3] for row in rows if row[0] == what]
        warned, swapped = sum(s != "-" for s in said), sum("seem to be swapped" in s for s in said)
        body.append((what, str(len(said)), str(warned), str(swapped)))
    return table("What is said", ("input", "cases", "warned of", "of these called swapped"), body)


if __name__ == "__main__":
    main()
