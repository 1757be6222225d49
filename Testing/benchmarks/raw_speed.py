"""What preparing four raw images of 1 mm costs, step by step: time and memory.

    python -m Testing.benchmarks.raw_speed [--case ID] [--bundle B] [--seed N]

One prepared case is made raw with every sequence cut into 1 mm (the skull and neck are synthetic). First `ldmseg segment` runs on
its files with one member: reading, preparing, restoring, writing and pictures, and next to no network. Then the steps of
preparing are timed one by one. Beside the seconds that passed stand processor seconds: on a machine that does other work too, and
on cores that are free, it takes no longer than these.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from unittest import mock

import nibabel as nib
import numpy as np

from LDMSegLib.cases.assemble import Images, read_images
from LDMSegLib.events import Silent
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.preprocessing.pipeline import preprocess_case
from LDMSegLib.preprocessing.plan import PreparationOptions, plan
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.specification import Specification
from Testing.benchmarks import make_raw as make_raw_module
from Testing.benchmarks.common import parser
from Testing.benchmarks.make_raw import make_raw
from Testing.benchmarks.process import machine, measure, table
from Testing.benchmarks.real_data import case_folders

# What issue 5 asks for, on 2 processor cores.
REGISTRATION_S, BRAIN_S, ALL_S, MEMORY_GIB = 20.0, 40.0, 75.0, 4.0


class Clock(Silent):
    """Notes the time whenever preparing says how far it is, which it does before each step and at the end."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float]] = []

    def progress(self, *_: object, **__: object) -> None:
        self.told.append((time.monotonic(), time.process_time()))


def steps(images: Images, spec: Specification) -> dict[str, tuple[float, float]]:
    """Step → (seconds, processor seconds)."""
    clock = Clock()
    todo = plan(images.volumes, images.findings, spec.reference, PreparationOptions())
    names = ["brain", *(f"register {name}" for name in todo.register), "turn like the space, resample", "bias field"]
    preprocess_case(
        "speed", images.volumes, images.findings, spec.reference, find_space(spec.grid.space), todo, PreparationOptions(), reporter=clock
    )
    spans = zip(clock.told, clock.told[1:], strict=False)
    return {name: (after[0] - before[0], after[1] - before[1]) for name, (before, after) in zip(names, spans, strict=True)}


def save_raw(folder: Path, spec: Specification, seed: int, output: Path) -> None:
    """A case made raw, all of 1 mm, as NIfTI files."""
    prepared = {name: read_volume(file) for name, file in find_case(folder, spec.sequences).items()}
    with mock.patch.object(make_raw_module, "PLANES", dict.fromkeys(make_raw_module.PLANES)):
        raw = make_raw(prepared, seed, spec.reference)
    for name, volume in raw.volumes.items():
        nib.save(nib.Nifti1Image(volume.array.astype(np.int16), volume.affine), output / f"raw_{name}.nii.gz")


def main() -> None:
    command = parser(__doc__, "seed")
    command.add_argument("--case", default="")
    command.add_argument("--steps-of", type=Path, help=argparse.SUPPRESS)
    arguments = command.parse_args()
    bundle = find_bundle(arguments.bundle)
    spec = bundle.specification
    if arguments.steps_of:
        print(json.dumps(steps(read_images(find_case(arguments.steps_of, spec.sequences)), spec)))
        return
    chosen = ["--bundle", str(arguments.bundle)] if arguments.bundle else []
    with tempfile.TemporaryDirectory() as place:
        raw = Path(place) / "raw"
        raw.mkdir()
        folder = case_folders((arguments.case,) if arguments.case else ())[0]
        save_raw(folder, spec, arguments.seed, raw)
        size = "; ".join(f"{file.name} {read_volume(file).describe()}" for file in sorted(raw.iterdir()))
        whole = measure(["-m", "LDMSegLib", "segment", str(raw), "-o", f"{place}/out", "--members", "1", *chosen])
        alone = measure(["-m", "Testing.benchmarks.raw_speed", "--steps-of", str(raw), *chosen])
    told = json.loads(alone.output.splitlines()[-1])
    registration = [sum(told[name][k] for name in told if name.startswith("register")) for k in (0, 1)]
    print(f"Machine: {machine()}. Case {folder.name} made raw: {size}.")
    body = [(name, f"{wall:.0f}", f"{cpu:.0f}", "") for name, (wall, cpu) in told.items()]
    body += [
        ("registration of three sequences", *(f"{s:.0f}" for s in registration), f"≤ {REGISTRATION_S:g} s"),
        ("finding the brain", *(f"{s:.0f}" for s in told["brain"]), f"≤ {BRAIN_S:g} s"),
        ("ldmseg segment, 1 member", f"{whole.wall:.0f}", f"{whole.cpu:.0f}", f"≤ {ALL_S:g} s"),
        ("peak memory of it", f"{whole.peak_gib:.1f} GiB", "", f"≤ {MEMORY_GIB:g} GiB"),
    ]
    print(table("Preparing raw images of 1 mm", ("step", "s", "processor s", "asked on 2 cores"), body))


if __name__ == "__main__":
    main()
