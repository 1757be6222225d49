"""Whether the faster ways to sample still give the ensemble that the reference gives: its spread and its accuracy.

    python -m Testing.benchmarks.fast_mode [--bundle B] [--reference paper] [--modes fast solver ...] [--members N]
        [--cases ID ...] [--keep FOLDER]

All modes of one bundle, with the same seed and as many members each, looking at the MRI in one view, which is all that the
reference has, and without a direct share: member i starts from the same noise in all of them and only the sampling differs. A
fast mode passes with a variance ratio of at least 0.9 and an ensemble Dice within 0.005 of the reference's. The reference
takes its time, 1000 steps for each member, so `--keep` saves its results and finds it again as long as the networks it
uses, the seed and the members are the same. Probabilities are compared without the bundle's calibration, which is the same
for all modes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import Bundle, find_bundle, load_networks
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.specification import Calibration, Mode, Specification
from Testing.benchmarks.common import parser, read_case, reference_masks, write_csv
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import validation_folders
from Training.trajectories import fingerprint

LEAST_RATIO, LARGEST_LOSS = 0.9, 0.005


@dataclass(frozen=True)
class Result:
    """What is compared: masks (R, X, Y, Z) bool, the summed variance of each region (R,), and how long it took."""

    masks: np.ndarray
    variance: np.ndarray
    seconds: float


def main() -> None:
    command = parser(__doc__, "members", "seed", "cases", "csv", members=30)
    command.add_argument("--reference", default="paper")
    command.add_argument("--modes", nargs="*", default=(), help="default: all others that read an MRI")
    command.add_argument("--keep", type=Path, metavar="FOLDER", help="save the reference's results here, or find them")
    arguments = command.parse_args()
    bundle = find_bundle(arguments.bundle)
    spec = replace(bundle.specification, calibration=Calibration())
    bundle = replace(bundle, specification=spec)
    others = arguments.modes or [name for name, mode in spec.modes.items() if mode.controlnet and name != arguments.reference]
    rows = []
    for folder in validation_folders(tuple(arguments.cases)):
        target = reference_masks(folder, spec)
        reference = None
        for name in (arguments.reference, *others):
            keep = arguments.keep if reference is None else None
            result = run_mode(folder, bundle, name, arguments.members, arguments.seed, keep)
            reference = reference or result
            rows += compared(folder.name, name, result, reference, target, spec)
            print(f"{folder.name}: {name}", flush=True)
    print(f"Machine: {machine()}. Bundle {bundle.name}, {arguments.members} members, seed {arguments.seed}.")
    print(summary(rows, spec.region_names, arguments.reference))
    write_csv(arguments, rows)


def run_mode(folder: Path, bundle: Bundle, name: str, members: int, seed: int, keep: Path | None) -> Result:
    """One mode's result for the case in `folder`, computed or found in `keep`."""
    spec = bundle.specification
    mode = replace(sampling_mode(spec, name, None, None), members=members, views=1, direct=0.0)
    kept = keep and keep / f"{folder.name}_{name}_{_key(bundle, mode, seed)}.npz"
    if kept and kept.exists():
        with np.load(kept) as found:
            return Result(found["masks"], found["variance"], float(found["seconds"]))
    case, begun = read_case(folder, spec), time.monotonic()
    result = segment(case, Model(bundle, mode, choose_device(), name), Settings(seed))
    found = Result(result.masks(), result.variance.sum(axis=(1, 2, 3), dtype=np.float64), time.monotonic() - begun)
    if kept:
        keep.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".part.npz")
        np.savez_compressed(partial, **asdict(found))
        partial.replace(kept)
    return found


def _key(bundle: Bundle, mode: Mode, seed: int) -> str:
    """Changes with everything that a result depends on, but not with networks that the mode does not use."""
    names = ["autoencoder", "conditioning", mode.unet, mode.controlnet]
    weights = fingerprint(*(network.state_dict() for network in load_networks(bundle, "cpu", torch.float32, names).values()))
    settings = json.dumps([asdict(replace(mode, title="")), asdict(bundle.specification.schedule), seed], sort_keys=True)
    return fingerprint({"weights": _bytes(weights), "settings": _bytes(settings)})


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def compared(case: str, mode: str, result: Result, reference: Result, target: np.ndarray, spec: Specification) -> list[dict]:
    """One row a region: Dice with the truth, its change, Dice with the reference's map, and the ratio of summed variances."""
    rows = []
    for r, name in enumerate(spec.region_names):
        theirs, ours = float(reference.variance[r]), float(result.variance[r])
        own, other = dice(target[r], result.masks[r]), dice(target[r], reference.masks[r])
        rows.append(
            {
                "case": case,
                "mode": mode,
                "region": name,
                "dice": own,
                "dice_change": own - other,
                "dice_with_reference": dice(reference.masks[r], result.masks[r]),
                "variance_ratio": ours / theirs if theirs else float("nan"),
                "seconds": result.seconds,
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
