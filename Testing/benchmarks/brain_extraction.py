"""How well the brain is found in T1 images after contrast agent with a tumour in them, and what becomes of the tumour.

    python -m Testing.benchmarks.brain_extraction [--cases ID ...] [--count N] [--seed N] [--method deepbet|hd-bet]

Prepared cases are made raw (see `make_raw`: the skull and neck are synthetic, drawn around the prepared brain's outline, so
that where the true brain ends is known and easier to see than in a patient); the raw exam has its own skull, and its truth
is the same patient's prepared brain. A tumour at the brain's edge is what such a network loses first: for those voxels of the whole
tumour that lie within 5 mm of the true brain's outside the share that is lost is a column of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.preprocessing.registration import register
from LDMSegLib.preprocessing.skull_strip import METHODS, find_brain, whole_brain
from LDMSegLib.spatial.boxes import bounding_box, whole_grid
from LDMSegLib.spatial.volume import Volume
from Testing.benchmarks.common import parser
from Testing.benchmarks.make_raw import make_raw
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.raw_common import onto
from Testing.benchmarks.real_data import ROOT, truth, unseen_first

EXAM, SAME = "native/TCGA-FG-6692_native_with_skull", "cases/TCGA-FG-6692"
EDGE_MM = 5.0


def brain_figures(found: np.ndarray, brain: np.ndarray, regions: Mapping[str, np.ndarray], volume: Volume) -> dict[str, Any]:
    """A mask beside the truth.

    Args:
        found: (X, Y, Z) bool.
        brain: (X, Y, Z) bool, the true brain.
        regions: name → (X, Y, Z) bool, the true tumour's; the outermost last.
        volume: whose grid it all is.

    Returns:
        "dice"; "missed_ml" and "extra_ml" of brain; "lost": region → share outside the mask; "edge_ml": how much of the outermost
        region lies within 5 mm of the true brain's outside, and "edge_lost": its share outside the mask (None without any).
    """
    ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000.0
    box = bounding_box(brain, 1) or whole_grid(brain)
    whole = list(regions.values())[-1]
    depth = ndimage.distance_transform_edt(np.pad(brain[box], 1), sampling=volume.spacing)[1:-1, 1:-1, 1:-1]
    edge = whole[box] & (depth <= EDGE_MM)
    return {
        "dice": dice(found, brain),
        "missed_ml": float((brain & ~found).sum() * ml),
        "extra_ml": float((found & ~brain).sum() * ml),
        "lost": {name: float((mask & ~found).sum() / mask.sum()) if mask.any() else None for name, mask in regions.items()},
        "edge_ml": float(edge.sum() * ml),
        "edge_lost": float((edge & ~found[box]).sum() / edge.sum()) if edge.any() else None,
    }


def brain_table(title: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """One line a case."""
    rows = list(rows)
    body = [
        (
            case,
            f"{row['dice']:.3f}",
            f"{row['missed_ml']:.0f}",
            f"{row['extra_ml']:.0f}",
            *(_share(value) for value in row["lost"].values()),
            f"{row['edge_ml']:.1f}",
            _share(row["edge_lost"]),
        )
        for case, row in rows
    ]
    names = [f"{name} lost" for name in rows[0][1]["lost"]] if rows else []
    head = ("case", "Dice", "missed mL", "extra mL", *names, f"WT within {EDGE_MM:g} mm of the edge, mL", "of that lost")
    worst = {name: max((row["lost"][name] or 0.0, case) for case, row in rows) for name in (rows[0][1]["lost"] if rows else ())}
    said = "; ".join(f"{name} {share:.1%} ({case})" for name, (share, case) in worst.items())
    return table(title, head, body) + (f"\nWorst loss: {said}." if said else "")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def made_raw(folder, seed: int, method: str, spec) -> tuple[dict[str, Any], float]:
    """One prepared case's T1c made raw, its brain found; and the processor seconds."""
    name = spec.reference
    prepared = {name: read_volume(next(folder.glob(f"*_{name}.nii.gz")))}
    raw = make_raw(prepared, seed, name)
    move, target = raw.moves[name], raw.volumes[name]
    labels, affine = truth(folder)
    masks = onto(region_masks(labels, spec.labels, spec.regions), move @ affine, target)
    brain = onto((prepared[name].array > 0)[None], move @ prepared[name].affine, target)[0]
    start = time.process_time()
    found = whole_brain(find_brain(target, method), target, name)
    return brain_figures(found, brain, dict(zip(spec.region_names, masks, strict=True)), target), time.process_time() - start


def exam(method: str, spec) -> tuple[dict[str, Any], float]:
    """The raw exam's T1c beside the same patient's prepared brain and its truth."""
    name = spec.reference
    native, ready = (read_volume(next((ROOT / folder).glob(f"*{name}*.nii.gz"))) for folder in (EXAM, SAME))
    to_native = np.linalg.inv(register(native, ready, ready.array > 0).matrix)
    labels, affine = truth(ROOT / SAME)
    masks = onto(region_masks(labels, spec.labels, spec.regions), to_native @ affine, native)
    brain = onto((ready.array > 0)[None], to_native @ ready.affine, native)[0]
    start = time.process_time()
    found = whole_brain(find_brain(native, method), native, name)
    return brain_figures(found, brain, dict(zip(spec.region_names, masks, strict=True)), native), time.process_time() - start


def main() -> None:
    command = parser(__doc__, "seed")
    command.add_argument("--cases", nargs="*", default=(), help="default: all, those that no training saw first")
    command.add_argument("--count", type=int, default=24)
    command.add_argument("--method", default="deepbet", choices=sorted(METHODS))
    arguments = command.parse_args()
    spec = find_bundle(arguments.bundle).specification
    folders = unseen_first(tuple(arguments.cases))[: arguments.count]
    jobs = [(f.name, lambda f=f, k=k: made_raw(f, arguments.seed + k, arguments.method, spec)) for k, f in enumerate(folders)]
    if (ROOT / EXAM).is_dir() and not arguments.cases:
        jobs.insert(0, ("raw exam", lambda: exam(arguments.method, spec)))
    rows, seconds = [], []
    for name, job in jobs:
        try:
            row, cost = job()
        except InputError as refused:
            print(f"Refused: {name}: {refused}", flush=True)
            continue
        rows.append((name, row))
        seconds.append(cost)
    print(f"Machine: {machine()}. {arguments.method}, processor seconds a case: median {np.median(seconds):.0f}, most {max(seconds):.0f}.")
    print(brain_table(f"The brain in T1c by {arguments.method} (all skulls but the raw exam's are synthetic)", rows))


if __name__ == "__main__":
    main()
