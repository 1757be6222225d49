"""Read and check the files of a result before anything in the scene is changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.specification import Label, Region, Specification
from LDMSegModule.result.UncertainRegions import UncertainRegions, UncertainRow
from LDMSegModule.scene.NiftiFile import NiftiFile

_READERS = 4
# Colours for labels of a bundle that is not at hand: the segmentation is readable, if not as its makers chose.
_COLOURS = ((230, 75, 60), (90, 190, 110), (255, 205, 70), (80, 140, 220), (190, 110, 210), (90, 205, 205))


@dataclass(frozen=True, eq=False)
class ResultFolder:
    """What lies in a result folder. Arrays are (Z, Y, X); all lie on one grid.

    Attributes:
        labels_map: uint8, in the values of `labels`.
        probabilities, variances: Region name → float32.
        affine: (4, 4), voxel (i, j, k) to world RAS in mm.
        volumes: One mapping for each region, of the text in volumes.csv.
        threshold: The probability at or above which a region was on.
        transforms: Name, e.g. "t1n_to_t1c", → (4, 4) that takes world RAS in mm of the first to the second; of raw scans only.
    """

    path: Path
    labels_map: np.ndarray
    probabilities: Mapping[str, np.ndarray]
    variances: Mapping[str, np.ndarray]
    affine: np.ndarray
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    volumes: tuple[Mapping[str, str], ...]
    uncertain_rows: tuple[UncertainRow, ...]
    provenance: Mapping[str, Any]
    smallest_mm3: float
    threshold: float
    transforms: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, path: str | Path, specification: Specification | None = None) -> ResultFolder:
        """Read a folder that `ldmseg segment` wrote.

        Args:
            path: of the folder.
            specification: of the bundle it was made with, for titles and colours; plain ones without.

        Raises:
            InputError: A file is missing, damaged, or does not fit the others.
        """
        path = Path(path)
        provenance, labels, regions = read_record(path, specification)
        names = ["labels", *(f"probability_{r.name}" for r in regions), *(f"variance_{r.name}" for r in regions)]
        with ThreadPoolExecutor(_READERS) as pool:
            maps = dict(zip(names, pool.map(lambda name: NiftiFile.read(path / f"{name}.nii.gz"), names), strict=True))
        first = maps["labels"]
        for name, found in maps.items():
            if found.array.shape != first.array.shape or np.abs(found.affine - first.affine).max() > 1e-3:
                raise InputError(
                    f"{path / name}.nii.gz lies on another grid than labels.nii.gz, expected one grid; run the segmentation again"
                )
        for table in ("volumes.csv", "uncertain_regions.csv"):
            _check(path / table, provenance)
        titles = {region.name: region.title for region in regions}
        return cls(
            path=path,
            labels_map=first.array.astype(np.uint8, copy=False),
            probabilities={r.name: maps[f"probability_{r.name}"].array for r in regions},
            variances={r.name: maps[f"variance_{r.name}"].array for r in regions},
            affine=first.affine,
            labels=labels,
            regions=regions,
            volumes=_rows(path / "volumes.csv"),
            uncertain_rows=UncertainRegions.read(path / "uncertain_regions.csv", titles),
            provenance=provenance,
            smallest_mm3=specification.min_component_mm3 if specification else 0.0,
            threshold=_threshold(path, provenance),
            transforms=_transforms(path, provenance),
        )


def read_record(folder: Path, specification: Specification | None = None) -> tuple[dict[str, Any], tuple[Label, ...], tuple[Region, ...]]:
    """Read provenance.json of a folder that LDMSeg wrote, and what its maps mean.

    Args:
        folder: of a segmentation or of synthetic masks.
        specification: gives titles and colours to the labels and regions that it knows; plain ones without.

    Returns:
        The record; its labels, with the values of this folder's maps; its regions.

    Raises:
        InputError: Not there, damaged, or not ours.
    """
    file = folder / "provenance.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}), expected a folder that LDMSeg wrote; choose another, or run it again"
        ) from None
    except ValueError as error:
        raise InputError(f"{file} is not readable JSON ({error}), expected the record of a run; run it again") from None
    if not isinstance(record, dict) or not isinstance(record.get("labels"), dict) or not isinstance(record.get("regions"), dict):
        raise InputError(f"{file} names no labels and regions, expected the record of a run of LDMSeg; choose another folder")
    known_labels = {label.name: label for label in specification.labels} if specification else {}
    known_regions = {region.name: region for region in specification.regions} if specification else {}
    try:
        labels = tuple(
            replace(known_labels.get(name, Label(name, int(value), name, _COLOURS[k % len(_COLOURS)])), value=int(value))
            for k, (name, value) in enumerate(record["labels"].items())
        )
        regions = tuple(
            known_regions.get(name, Region(name, name, tuple(members), _COLOURS[k % len(_COLOURS)]))
            for k, (name, members) in enumerate(record["regions"].items())
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}), expected the record of a run; run it again") from None
    return record, labels, regions


def _threshold(path: Path, provenance: Mapping[str, Any]) -> float:
    try:
        threshold = float(provenance.get("sampling", {}).get("threshold", 0.5))
    except (AttributeError, TypeError, ValueError):
        threshold = float("nan")
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"{path / 'provenance.json'} has a damaged threshold, expected a probability; run the segmentation again")
    return threshold


def _transforms(path: Path, provenance: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        stored = (provenance.get("preparation") or {}).get("matrices_ras_mm", {})
        matrices = {name: np.array(matrix, dtype=np.float64) for name, matrix in stored.items()}
        whole = all(m.shape == (4, 4) and np.isfinite(m).all() and abs(np.linalg.det(m)) > 0 for m in matrices.values())
    except (AttributeError, TypeError, ValueError):
        whole = False
    if not whole:
        raise InputError(f"{path / 'provenance.json'} has a damaged transform, expected the record of a run; run it again")
    return matrices


def _check(file: Path, provenance: Mapping[str, Any]) -> None:
    """A table cut off half-way reads as a shorter table, so its hash is compared; the maps' own compression notices."""
    hashes = provenance.get("files")
    expected = hashes.get(file.name) if isinstance(hashes, Mapping) else None
    try:
        found = file_sha256(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}), expected a table of the run; run the segmentation again") from None
    if expected is not None and found != expected:
        raise InputError(f"{file} is not as the run wrote it, expected the SHA-256 in provenance.json; run the segmentation again")


def _rows(file: Path) -> tuple[Mapping[str, str], ...]:
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            return tuple(csv.DictReader(stream))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}), expected the table of volumes; run the segmentation again") from None
