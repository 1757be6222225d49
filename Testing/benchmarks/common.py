"""What the benchmarks share: their options, the model that these ask for, the cases, and the line that says what was run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.models.bundle import Bundle, find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.specification import Specification
from Testing.benchmarks.process import machine
from Testing.benchmarks.real_data import truth

_OPTIONS = {
    "bundle": {"help": "name or folder of a bundle; the embedded default without"},
    "mode": {"help": "sampling mode; the bundle's default without"},
    "members": {"type": int, "help": "size of the ensemble; the mode's without"},
    "steps": {"type": int, "help": "sampling steps; the mode's without"},
    "seed": {"type": int, "default": 0},
    "cases": {"nargs": "*", "default": (), "help": "default: the validation cases of Training/configs/small.json"},
    "csv": {"type": Path, "help": "write every row here"},
}


def parser(description: str, *options: str, **defaults: object) -> argparse.ArgumentParser:
    """A parser with --bundle and the named options of `_OPTIONS`; `defaults` in place of theirs."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bundle", *options):
        made.add_argument(f"--{name}", **_OPTIONS[name])
    made.set_defaults(**defaults)
    return made


def load_model(arguments: argparse.Namespace, bundle: Bundle | None = None) -> Model:
    """The model in the sampling mode that the options ask for; of `bundle` where it is not the options' own."""
    bundle = bundle or find_bundle(arguments.bundle)
    asked = (getattr(arguments, name, None) for name in ("mode", "steps", "members"))
    return Model(bundle, sampling_mode(bundle.specification, *asked), choose_device())


def heading(model: Model, seed: int) -> str:
    """Machine, bundle and sampling in one line, so that no figure is without them."""
    mode = model.mode
    return f"Machine: {machine()}. Bundle {model.bundle.name}, {mode.sampler}, {mode.members} members × {mode.steps} steps, seed {seed}."


def read_case(folder: Path, spec: Specification) -> Case:
    """The case in a folder, named after it."""
    return load_case(find_case(folder, spec.sequences), spec, folder.name)


def reference_masks(folder: Path, spec: Specification) -> np.ndarray:
    """(R, X, Y, Z) bool: the regions of a case's label map."""
    return region_masks(truth(folder)[0], spec.labels, spec.regions)


def labelled_cases(folders: Iterable[Path], spec: Specification) -> Iterator[tuple[Case, np.ndarray]]:
    """Each case with its regions (R, X, Y, Z) bool."""
    return ((read_case(folder, spec), reference_masks(folder, spec)) for folder in folders)


def write_csv(arguments: argparse.Namespace, rows: list[dict]) -> None:
    """The rows as a file, where --csv asks for it."""
    if arguments.csv:
        arguments.csv.write_text(to_csv(rows), encoding="utf-8")
