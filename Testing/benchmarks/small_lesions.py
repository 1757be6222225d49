"""How small a lesion is found that is not the only one: gliomas shrunk and set into other brains.

    python -m Testing.benchmarks.small_lesions [--bundle B] [--mode M] [--members N] [--csv FILE]

Each validation case beside its own tumour, and each brain with multiple sclerosis, gets three lesions made of another
validation case's tumour (`altered_brains`): of 0.7, 0.5 and 0.35 of its size. That they are there is synthetic, what they look
like is not. A lesion counts as found where at least half of it is called whole tumour.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.specification import Specification
from Testing.benchmarks.altered_brains import with_small_lesions
from Testing.benchmarks.common import heading, labelled_cases, load_model, parser, read_case, write_csv
from Testing.benchmarks.process import table
from Testing.benchmarks.real_data import tumour_free_folders, validation_folders
from Testing.benchmarks.segresnet_head import head_predictions, load_head

ZOOMS = (0.7, 0.5, 0.35)
SIZES_ML = (0.0, 4.0, 8.0, 16.0, 32.0, np.inf)
FOUND = 0.5


def main() -> None:
    arguments = parser(__doc__, "mode", "members", "seed", "csv").parse_args()
    model = load_model(arguments)
    spec, network = model.specification, load_head(model)
    rows = []
    for case, donor, lesions in altered(spec, arguments.seed):
        ours = segment(case, model, Settings(arguments.seed)).masks()[-1]
        theirs = head_predictions(network, case, model).averaged[-1] >= 0.5
        for number in range(1, lesions.max() + 1):
            inside = lesions == number
            size = np.count_nonzero(inside) * float(np.prod(case.grid.spacing)) / 1000
            found, head = float(ours[inside].mean()), float(theirs[inside].mean())
            rows.append({"case": case.id, "made_of": donor, "ml": size, "found": found, "found_by_segresnet": head})
            print(f"{case.id}: {size:.1f} mL of {donor}, found {found:.2f}, by the SegResNet {head:.2f}", flush=True)
    print(heading(model, arguments.seed))
    print(summary(rows))
    write_csv(arguments, rows)


def altered(spec: Specification, seed: int) -> Iterator[tuple[Case, str, np.ndarray]]:
    """(brain with lesions set into it, name of the case that they are made of, where they are)."""
    donors = [(case, masks[-1]) for case, masks in labelled_cases(validation_folders(), spec)]
    hosts = [(read_case(folder, spec), None) for folder in tumour_free_folders()] + donors
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
