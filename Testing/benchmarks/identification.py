"""How well the images alone tell which sequence they are, and the table this rests on.

    python -m Testing.benchmarks.identification [--write]

Every case is judged by a table made without it (leave one out). --write makes LDMSegLib/sequences/appearance_table.py anew from all.
The question asked of the images is the hardest one: four volumes without any name or header.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np

from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.sequences import appearance, appearance_table
from LDMSegLib.sequences.identify import LEAST_PROBABILITY
from LDMSegLib.sequences.t1_pair import LEAST_REACH, split_t1
from Testing.benchmarks.process import table
from Testing.benchmarks.real_data import ROOT

NAMES = ("t1n", "t1c", "t2w", "t2f")
SHRINK = 0.1
TABLE = Path(__file__).parents[2] / "LDMSegLib/sequences/appearance_table.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the table anew")
    arguments = parser.parse_args()
    folders = sorted([*ROOT.glob("cases/*/"), *ROOT.glob("healthy/open_ms_patient*/")])
    if not folders:
        raise SystemExit(f"no case under {ROOT}; set LDMSEG_REAL_DATA to a folder that has some")
    with ThreadPoolExecutor(max_workers=2) as pool:
        measured = dict(zip((f.name for f in folders), pool.map(features_of, folders), strict=True))
    print(judged(measured))
    if arguments.write:
        TABLE.write_text(source(*fit(list(measured.values())), len(measured)), encoding="utf-8")


def features_of(folder: Path) -> dict[str, np.ndarray]:
    """Features of a case's four images."""
    return {name: appearance.measure(read_volume(next(folder.glob(f"*{name}*.nii.gz")))) for name in NAMES}


def fit(cases: list[Mapping[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Mean of each sequence, and the inverse of the covariance they share, shrunk towards its diagonal."""
    means = {name: np.mean([case[name] for case in cases], axis=0) for name in NAMES}
    off = np.array([case[name] - means[name] for case in cases for name in NAMES])
    covariance = off.T @ off / len(off)
    shrunk = (1 - SHRINK) * covariance + SHRINK * np.diag(np.diag(covariance))
    return means, np.linalg.inv(shrunk)


def judged(measured: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Confusion of the four sequences over all cases, and how often the answer is a question."""
    confusion = np.zeros((4, 4), int)
    asked, wrong, right, pairs = [], [], 0, [0, 0, 0]
    for case, features in measured.items():
        means, precision = fit([f for name, f in measured.items() if name != case])
        with mock.patch.multiple(appearance_table, MEANS=means, PRECISION=precision):
            way, probability = appearance.assign([features[n] for n in NAMES], NAMES)
            unsure = probability < LEAST_PROBABILITY or split_t1(features["t1n"], features["t1c"]) == 0
        for truth, told in enumerate(np.argsort(way)):
            confusion[truth, told] += 1
        if unsure:
            asked.append(case)
        elif way == (0, 1, 2, 3):
            right += 1
        else:
            wrong.append(case)
        pairs[1 + split_t1(features["t1n"], features["t1c"])] += 1
    body = [(name, *row) for name, row in zip(NAMES, confusion, strict=True)]
    return "\n".join(
        [
            table(f"Told from the images alone, best guess, {len(measured)} cases, leave one out", ("truth", *NAMES), body),
            f"\nCases told right: {right}; told wrong: {len(wrong)} ({', '.join(wrong) or 'none'}); asked instead: {len(asked)} "
            f"({', '.join(asked) or 'none'}). Asked below a probability of {LEAST_PROBABILITY:g} or a reach of {LEAST_REACH:g}.",
            f"T1 pairs alone, by the reach of the brightest voxels: right {pairs[2]}, swapped {pairs[0]}, asked {pairs[1]}.",
        ]
    )


def source(means: Mapping[str, np.ndarray], precision: np.ndarray, count: int) -> str:
    """The table as a Python module."""

    def row(values: np.ndarray) -> str:
        return textwrap.fill(", ".join(f"{v:.6g}" for v in values), 120, initial_indent=" " * 8, subsequent_indent=" " * 8)

    lines = [
        f'"""Features of `appearance.measure` on {count} real skull-stripped cases: mean by sequence, and the inverse of their covariance.',
        "",
        "Written by `python -m Testing.benchmarks.identification --write`, which also prints how well it tells them apart.",
        '"""',
        "",
        "# fmt: off",
        "MEANS = {",
        *(f'    "{name}": (\n{row(mean)},\n    ),' for name, mean in means.items()),
        "}",
        "PRECISION = (",
        *(f"    (\n{row(line)},\n    )," for line in precision),
        ")",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
