"""Real data to the model's grid, once, for all phases.

    python -m Training.prepare --config Training/configs/small.json --data DATA --run runs/small

DATA may hold BraTS case folders anywhere below it (the sequences and `*seg.nii.gz` each), `.npz` files of label maps
(`case`, `seg`) and `.npz` files of lesion crops (`name`, `image_u8`, `seg`, `center`). Validation cases are written
apart and named so; nothing that stems from them is written anywhere else.
"""

from __future__ import annotations

import fnmatch
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.normalisation import background, normalise
from LDMSegLib.sequences.naming import assign, tokens
from LDMSegLib.spatial.model_grid import PlacedGrid, place, to_grid
from LDMSegLib.specification import to_dict
from Training.archives import label_maps, lesion_crops
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration
from Training.files import write_arrays, write_text
from Training.region_maps import in_our_values, soft_regions

RECORD = "prepared.json"


def prepare(configuration: Configuration, data: Path, run: Path) -> dict[str, int]:
    """Write `run/data/{training,validation}/<case>.npz`, `labelmaps.npz` and `patches.npz`; returns how many of each.

    Cases already written are kept, so a stopped preparation goes on. `prepared.json` says what it was made for and
    whether it is finished.

    Raises:
        InputError: there is nothing to train on, a case cannot be used, or the run folder was prepared for another grid,
            vocabulary or split.
    """
    target = run / "data"
    _check_record(configuration, target)
    _record(configuration, target, finished=False)
    counts = {"training": 0, "validation": 0, "labelmaps": 0, "patches": 0}
    for case, folder in case_folders(data):
        kind = "validation" if case in configuration.validation else "training"
        if kind == "training" and configuration.keeps_out(case):
            continue
        path = target / kind / f"{case}.npz"
        if not path.exists():
            write_arrays(path, **training_arrays(configuration, folder))
        counts[kind] += 1
    maps, patches = [], []
    for path in files_below(data, "*.npz"):
        with np.load(path) as archive:
            if "image_u8" in archive:
                patches += list(lesion_crops(configuration, archive))
            elif "seg" in archive and "case" in archive:
                maps += list(label_maps(configuration, archive))
    for name, items in (("labelmaps", maps), ("patches", patches)):
        if items:
            write_arrays(target / f"{name}.npz", **{key: np.stack([item[key] for item in items]) for key in items[0]})
        counts[name] = len(items)
    if not counts["training"] and not maps:
        raise InputError(f"the data folder {data} has no case folder and no .npz file to train on; give a BraTS folder with --data")
    missing = sorted(set(configuration.validation) - {path.stem for path in (target / "validation").glob("*.npz")})
    if missing:
        print(f"warning: {', '.join(missing)} of the validation split: no such case in {data}", file=sys.stderr, flush=True)
    _record(configuration, target, finished=True)
    return counts


def prepared(configuration: Configuration, run: Path) -> bool:
    """Whether a finished preparation for this configuration lies in the run folder.

    Raises:
        InputError: one for another grid, vocabulary or split does.
    """
    record = _check_record(configuration, run / "data")
    return bool(record) and record["finished"]


def prepare_once(configuration: Configuration, data: Path, run: Path, rank: int) -> None:
    """Prepare if that was not done yet; of several processes the first does it and the others wait for it.

    They look for the file: a collective operation would time out long before a data set is read.
    """
    if rank == 0 and not prepared(configuration, run):
        prepare(configuration, data, run)
    while not prepared(configuration, run):
        time.sleep(1.0)


def training_arrays(configuration: Configuration, folder: Path) -> dict[str, np.ndarray]:
    """One case on the model's grid: `image` float16 (S, X, Y, Z), `regions` uint8 0–255 (R, X, Y, Z), `affine`.

    Raises:
        InputError: a sequence is missing, the images differ in shape, or the label map holds an unknown value.
    """
    paths = assign(sorted(folder.glob("*.nii*")), configuration.sequences)
    volumes = {name: nib.load(path) for name, path in paths.items()}
    if configuration.reference not in volumes:
        raise InputError(f"the case {folder} has no {configuration.reference}, which gives its grid; add it or take the case out")
    affine = volumes[configuration.reference].affine
    arrays = {name: np.asarray(volume.dataobj, dtype=np.float32) for name, volume in volumes.items()}
    truth = _truth(folder)
    size = arrays[configuration.reference].shape
    labels = np.asarray(nib.load(truth).dataobj).round().astype(np.uint8) if truth else np.zeros(size, np.uint8)
    shapes = {array.shape for array in (*arrays.values(), labels)}
    if len(shapes) > 1:
        found = " and ".join(sorted("×".join(map(str, shape)) for shape in shapes))
        raise InputError(f"the images of the case {folder} measure {found}, expected one grid; resample them or take the case out")
    placed = placed_grid(configuration, arrays, affine)
    empty = background(configuration.intensity)
    missing = np.full(size, empty, np.float32)
    image = [
        to_grid(normalise(arrays[s.name], configuration.intensity) if s.name in arrays else missing, affine, placed, empty)
        for s in configuration.sequences
    ]
    return {
        "image": np.stack(image).astype(np.float16),
        "regions": soft_regions(configuration, in_our_values(configuration, labels, truth), affine, placed),
        "affine": placed.affine,
    }


def placed_grid(configuration: Configuration, arrays: Mapping[str, np.ndarray], affine: np.ndarray) -> PlacedGrid:
    """The model's grid around the brain of a case, whose sequences (X, Y, Z) lie on one grid with a background of 0."""
    return place(np.any([array != 0 for array in arrays.values()], axis=0), affine, configuration.grid)


def case_folders(data: Path) -> Iterator[tuple[str, Path]]:
    """Every folder with images that either has a truth or is known to be free of tumour."""
    seen: dict[str, Path] = {}
    for folder in sorted({path.parent for path in files_below(data, "*.nii*")}):
        if not _truth(folder) and not any(folder.glob("*_mslesion.nii*")):
            continue
        if folder.name in seen:
            raise InputError(f"the folders {seen[folder.name]} and {folder} hold a case of the same name, expected each once; take one out")
        seen[folder.name] = folder
        yield folder.name, folder


def files_below(folder: Path, pattern: str) -> list[Path]:
    """Files of that name anywhere below a folder, in order; linked folders are entered, as data sets are often put together of links."""
    walked = os.walk(folder, followlinks=True)
    return sorted(Path(where) / name for where, _, names in walked for name in fnmatch.filter(names, pattern))


def _truth(folder: Path) -> Path | None:
    """The case's label map: `…_seg.nii.gz` (BraTS 2017–2021), `…-seg.nii.gz` (2023)."""
    found = [path for path in sorted(folder.glob("*.nii*")) if tokens(path)[-1] in ("seg", "segm")]
    return found[0] if found else None


def _purpose(configuration: Configuration) -> dict[str, Any]:
    """What prepared data depends on."""
    return {
        "spacing": list(configuration.grid.spacing),
        "shape": list(configuration.grid.shape),
        "intensity": to_dict(configuration.intensity),
        "sequences": [sequence.name for sequence in configuration.sequences],
        "regions": {region.name: list(region.labels) for region in configuration.regions},
        "labels": {label.name: label.value for label in configuration.labels},
        "validation": sorted(configuration.validation),
        "held_out": sorted(configuration.held_out),
    }


def _check_record(configuration: Configuration, target: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    purpose = _purpose(configuration)
    other = [key for key in purpose if record["purpose"].get(key) != purpose[key]]
    if other:
        raise InputError(
            f"{target} was prepared for another configuration ({', '.join(other)} differ), expected one run folder for each; "
            "give another --run, or delete that folder and prepare again"
        )
    return record


def _record(configuration: Configuration, target: Path, finished: bool) -> None:
    write_text(target / RECORD, json.dumps({"finished": finished, "purpose": _purpose(configuration)}, indent=1))


def main() -> None:
    """The command line."""
    arguments = parser(__doc__, "config", "data", "run").parse_args()
    with one_sentence():
        counts = prepare(read_configuration(arguments.config), arguments.data, arguments.run)
    print(", ".join(f"{count} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
