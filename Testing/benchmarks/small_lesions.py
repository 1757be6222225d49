"""How small a lesion is found that is not the only one: gliomas shrunk and set into other brains.

    python -m Testing.benchmarks.small_lesions [--bundle B] [--mode M] [--members N] [--csv FILE]

Each validation case beside its own tumour, and each brain with multiple sclerosis, gets three lesions made of another
validation case's tumour (`altered_brains`): of 0.7, 0.5 and 0.35 of its size. That they are there is synthetic, what they look
like is not. A lesion counts as found where at least half of it is called whole tumour.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import find_bundle, load_networks
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.specification import Specification
from Testing.benchmarks.altered_brains import with_small_lesions
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import truth, tumour_free_folders, validation_folders
from Testing.benchmarks.rival import answers

ZOOMS = (0.7, 0.5, 0.35)
SIZES_ML = (0.0, 4.0, 8.0, 16.0, 32.0, np.inf)
FOUND = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--mode")
    parser.add_argument("--members", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, help="write every lesion's row here")
    arguments = parser.parse_args()
    bundle, device = find_bundle(arguments.bundle), choose_device()
    spec = bundle.specification
    model = Model(bundle, sampling_mode(spec, arguments.mode, None, arguments.members), device)
    rival = load_networks(bundle, device.kind, device.dtype, ["conditioning"])["conditioning"]
    rows = []
    for case, donor, lesions in altered(spec, arguments.seed):
        ours = segment(case, model, Settings(arguments.seed)).masks()[-1]
        theirs = answers(rival, case, model).averaged[-1] >= 0.5
        for number in range(1, lesions.max() + 1):
            inside = lesions == number
            size = np.count_nonzero(inside) * float(np.prod(case.grid.spacing)) / 1000
            found, head = float(ours[inside].mean()), float(theirs[inside].mean())
            rows.append({"case": case.id, "made_of": donor, "ml": size, "found": found, "found_by_segresnet": head})
            print(f"{case.id}: {size:.1f} mL of {donor}, found {found:.2f}, by the SegResNet {head:.2f}", flush=True)
    print(f"Machine: {machine()}. Bundle {bundle.name}, {model.mode.members} members × {model.mode.steps} steps, seed {arguments.seed}.")
    print(summary(rows))
    if arguments.csv:
        arguments.csv.write_text(to_csv(rows), encoding="utf-8")


def altered(spec: Specification, seed: int) -> Iterator[tuple[Case, str, np.ndarray]]:
    """(brain with lesions set into it, name of the case that they are made of, where they are)."""
    donors = [
        (load_case(find_case(folder, spec.sequences), spec, folder.name), region_masks(truth(folder)[0], spec.labels, spec.regions)[-1])
        for folder in validation_folders()
    ]
    hosts = [(load_case(find_case(folder, spec.sequences), spec, folder.name), None) for folder in tumour_free_folders()] + donors
    for i, (host, own) in enumerate(hosts):
        others = [pair for pair in donors if pair[0] is not host]
        donor, whole = others[i % len(others)]
        case, lesions = with_small_lesions(host, donor, whole, ZOOMS, seed + i, own)
        yield case, donor.id, lesions


def summary(rows: list[dict]) -> str:
    """By size: how many, how many found, and how much of them."""
    body = []
    for low, high in itertools.pairwise(SIZES_ML):
        mine = [row for row in rows if low <= row["ml"] < high]
        if mine:
            cells = []
            for column in ("found", "found_by_segresnet"):
                shares = np.array([row[column] for row in mine])
                cells += [str(int((shares >= FOUND).sum())), f"{shares.mean():.2f}"]
            body.append((f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} and more", str(len(mine)), *cells))
    head = ("size mL", "lesions", "found", "mean share found", "found by the SegResNet, same views", "mean share found by it")
    return table("Lesions beside others", head, body)


if __name__ == "__main__":
    main()
