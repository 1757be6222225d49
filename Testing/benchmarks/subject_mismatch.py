"""How well images of one patient agree once registered, and how well images of two: where preparing draws its two lines.

    python -m Testing.benchmarks.subject_mismatch [--count N] [--seed N]

Each real case gives one pair of its own and one with the next case, once made raw (see `make_raw`; skull and neck are synthetic)
and once as a brain alone that was moved; the raw exam gives three of its own, and one with every case made raw. A pair is judged as
preparing judges it, with a second search where the first hardly fits; but registration stops at 2 mm, at which agreement is measured.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.preprocessing import registration
from LDMSegLib.preprocessing.registration import register
from LDMSegLib.preprocessing.registration_quality import DOUBTFUL, UNRELATED, where_compared
from LDMSegLib.preprocessing.skull_strip import find_brain, whole_brain
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume
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
    head, mask = exam()
    folders = case_folders()[:: max(1, len(case_folders()) // arguments.count)][: arguments.count]
    before = None
    for number, folder in enumerate(folders + folders[:1]):
        heads = pair(folder, OTHERS[number % 3], arguments.seed + number)
        if before:
            strange(before, heads)
            show("other", "exam", f"exam t1c, {heads[0]}", heads[1][2], head, mask)
        before = heads
    for (who, kind), values in MEASURED.items():
        (low, high), (least, most) = ((min(part), max(part)) for part in zip(*values, strict=True))
        print(f"{who} {kind}, {len(values)} pairs: distinctness {low:.2f} to {high:.2f}, agreement {least:.3f} to {most:.3f}")
    print(f"warned below {DOUBTFUL:g}, refused below {UNRELATED:g}")


def pair(folder: Path, other: str, seed: int):
    """A case's name and, raw and as brains: its T1c, the T1c's brain mask, and another sequence."""
    prepared = {name: read_volume(next(folder.glob(f"*_{name}.nii.gz"))) for name in ("t1c", other)}
    raw = make_raw(prepared, seed)
    brain = (prepared["t1c"].array > 0).astype(np.float32)
    t1c = raw.volumes["t1c"]
    mask = resample_to(brain, raw.moves["t1c"] @ prepared["t1c"].affine, t1c.affine, t1c.shape, smooth=False) > 0.5
    moved = Volume(prepared[other].array, raw.moves[other] @ prepared[other].affine)
    return f"{folder.name} {other}", (t1c, mask, raw.volumes[other]), (prepared["t1c"], brain > 0.5, moved)


def strange(one, two) -> None:
    """One case's own pairs, and its T1c with the next one's other sequence."""
    for kind, own, foreign in zip(("raw", "brain"), one[1:], two[1:], strict=True):
        show("same", kind, f"t1c, {one[0]}", own[2], own[0], own[1])
        show("other", kind, f"t1c of {one[0]}, {two[0]}", foreign[2], own[0], own[1])


def exam() -> tuple[Volume, np.ndarray]:
    """The raw exam's own pairs; its T1c and the mask of the brain in it."""
    folder = ROOT / "native/TCGA-FG-6692_native_with_skull"
    found = {name: read_volume(next(folder.glob(f"*{name}*.nii.gz"))) for name in ("t1c", *OTHERS)}
    fixed = found["t1c"]
    mask = whole_brain(find_brain(fixed), fixed, "t1c")
    for name in OTHERS:
        show("same", "exam", name, found[name], fixed, mask)
    return fixed, mask


def show(who: str, kind: str, pair: str, moving: Volume, fixed: Volume, mask: np.ndarray) -> None:
    found = register(moving, fixed, *where_compared(mask, fixed), DOUBTFUL)
    MEASURED.setdefault((who, kind), []).append((found.distinct, found.quality))
    thick = "/".join(f"{max(v.spacing):.0f}" for v in (fixed, moving))
    measured = f"distinctness {found.distinct:.2f}  agreement {found.quality:.3f}  searches {found.attempts}"
    print(f"{who:6}{kind:6} {measured}  slices {thick} mm  {pair}", flush=True)


if __name__ == "__main__":
    main()
