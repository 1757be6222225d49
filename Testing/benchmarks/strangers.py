"""How well images of one patient agree once registered, and how well images of two: where preparing draws its two lines.

    python -m Testing.benchmarks.strangers [--count N] [--seed N]

Each real case gives one pair of its own and one with the next case, once made raw (see `make_raw`; skull and neck are synthetic)
and once as a brain alone that was moved; the raw exam gives three of its own. Registration stops at 2 mm, at which agreement
is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from LDMSegLib.cases import registration
from LDMSegLib.cases.agreement import distinctness, mutual_information
from LDMSegLib.cases.brain import find_brain, whole_brain
from LDMSegLib.cases.geometry import resample_to
from LDMSegLib.cases.preparation import AROUND_BRAIN_MM, DOUBTFUL, UNRELATED
from LDMSegLib.cases.read import read_volume
from LDMSegLib.cases.registration import register
from LDMSegLib.cases.volume import Volume
from Testing.benchmarks.make_raw import make_raw
from Testing.benchmarks.real_data import ROOT, case_folders

OTHERS = ("t1n", "t2w", "t2f")
MEASURED: dict[tuple[str, str], list[tuple[float, float]]] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    registration.LEVELS = registration.LEVELS[:2]
    exam()
    folders = case_folders()[:: max(1, len(case_folders()) // arguments.count)][: arguments.count]
    heads = []
    for number, folder in enumerate(folders + folders[:1]):
        other = OTHERS[number % 3]
        heads.append((folder.name, *pair(folder, other, arguments.seed + number)))
        if number:
            strange(heads[-2], heads[-1])
            heads[-2] = None
    for (who, kind), values in MEASURED.items():
        (low, high), (least, most) = ((min(part), max(part)) for part in zip(*values, strict=True))
        print(f"{who} {kind}, {len(values)} pairs: distinctness {low:.2f} to {high:.2f}, agreement {least:.3f} to {most:.3f}")
    print(f"warned below {DOUBTFUL:g}, refused below {UNRELATED:g}")


def pair(folder: Path, other: str, seed: int):
    """A case's T1c and another sequence, raw and as brains, with their masks."""
    prepared = {name: read_volume(next(folder.glob(f"*_{name}.nii.gz"))) for name in ("t1c", other)}
    raw = make_raw(prepared, seed)
    brain = (prepared["t1c"].array > 0).astype(np.float32)
    t1c = raw.volumes["t1c"]
    mask = resample_to(brain, raw.moves["t1c"] @ prepared["t1c"].affine, t1c.affine, t1c.shape) > 0.5
    moved = Volume(prepared[other].array, raw.moves[other] @ prepared[other].affine)
    return other, (t1c, mask, raw.volumes[other]), (prepared["t1c"], brain > 0.5, moved)


def strange(one, two) -> None:
    """One case's own pairs, and its T1c with the next one's other sequence."""
    for kind, own, foreign in zip(("raw", "brain"), one[2:], two[2:], strict=True):
        show("same", kind, f"{one[0]} t1c {one[1]}", own[2], own[0], own[1])
        show("other", kind, f"{one[0]} t1c, {two[0]} {two[1]}", foreign[2], own[0], own[1])


def exam() -> None:
    folder = ROOT / "native/TCGA-FG-6692_native_with_skull"
    found = {name: read_volume(next(folder.glob(f"*{name}*.nii.gz"))) for name in ("t1c", *OTHERS)}
    fixed = found["t1c"]
    mask = whole_brain(find_brain(fixed), fixed, "t1c")
    for name in OTHERS:
        show("same", "exam", name, found[name], fixed, mask)


def show(who: str, kind: str, pair: str, moving: Volume, fixed: Volume, mask: np.ndarray) -> None:
    around = ndimage.distance_transform_edt(~mask, sampling=fixed.spacing) <= AROUND_BRAIN_MM
    matrix = register(moving, fixed).matrix
    agreement, distinct = (measure(moving, fixed, matrix, around) for measure in (mutual_information, distinctness))
    MEASURED.setdefault((who, kind), []).append((distinct, agreement))
    thick = "/".join(f"{max(v.spacing):.0f}" for v in (fixed, moving))
    print(f"{who:6}{kind:6} distinctness {distinct:.2f}  agreement {agreement:.3f}  slices {thick} mm  {pair}", flush=True)


if __name__ == "__main__":
    main()
