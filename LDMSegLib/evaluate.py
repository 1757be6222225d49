"""Results against references: which belongs to which, and how well they agree, region by region."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.cases.geometry import aligned_axes, difference, same_grid
from LDMSegLib.cases.naming import ENDINGS, natural, stem
from LDMSegLib.cases.read import read_label_map
from LDMSegLib.cases.volume import Volume
from LDMSegLib.errors import InputError
from LDMSegLib.metrics.evaluation import case_rows
from LDMSegLib.metrics.lesionwise import BRATS_2023_GLIOMA, Rules
from LDMSegLib.results.folder import PROVENANCE, is_result
from LDMSegLib.results.labels import label_values, region_masks
from LDMSegLib.specification import Specification

LABEL_MAP = "labels.nii.gz"

# How a file name says that it is a segmentation: <case>_seg.nii.gz, or seg.nii.gz in the case's folder.
_MARK = re.compile(r"(^|[ _.-]+)(seg|segmentation|label|labels|labelmap|mask|gt|truth)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """One case: the label map that was predicted and the reference's."""

    case: str
    prediction: Path
    reference: Path


@dataclass(frozen=True)
class Reference:
    """A reference's file and the names that its case may have."""

    file: Path
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Matched:
    """Pairs in natural order, and the cases that only one side has."""

    pairs: tuple[Pair, ...]
    without_reference: tuple[str, ...] = ()
    without_prediction: tuple[str, ...] = ()


def find_predictions(folder: str | Path) -> tuple[dict[str, Path], bool]:
    """The label maps of one result folder, of the result folders in a folder, or, from another program, of a folder of maps.

    Returns:
        Case id → label map in natural order, and whether a single result is asked about.

    Raises:
        InputError: there is none, or two stand for one case.
    """
    folder = _existing(folder)
    if folder.is_file():
        return {_case_of(folder): folder}, True
    if is_result(folder):
        return {_recorded(folder).get("case") or folder.name: folder / LABEL_MAP}, True
    entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    results = {entry.name: entry / LABEL_MAP for entry in entries if entry.is_dir() and is_result(entry)}
    if results:
        return results, False
    maps: dict[str, Path] = {}
    for file in filter(_is_nifti, entries):
        case = _case_of(file)
        if case in maps:
            raise InputError(f"{maps[case]} and {file} both stand for case {case}, expected one label map a case; remove or rename one")
        maps[case] = file
    if not maps:
        raise InputError(f"the folder {folder} holds no result, expected a result folder, a cohort's folder or label maps; check the path")
    return maps, False


def find_references(path: str | Path) -> list[Reference]:
    """The reference label maps at or below a path: those marked as segmentations, or where none is, every NIfTI file.

    <case>_seg.nii.gz and <case>.nii.gz stand for <case>; a map in the folders a/b also for "a_b", as cohorts name their cases.

    Raises:
        InputError: there is none.
    """
    root = _existing(path)
    files = [root] if root.is_file() else sorted(filter(_is_nifti, root.rglob("*")), key=lambda file: natural(str(file)))
    files = [file for file in files if _MARK.search(stem(file))] or files
    if not files:
        raise InputError(f"no NIfTI file was found below {root}, expected reference label maps such as <case>_seg.nii.gz; check the path")
    return [Reference(file, tuple(filter(None, (_case_of(file), _folders(file, root))))) for file in files]


def match(predictions: Mapping[str, Path], references: Sequence[Reference], single: bool) -> Matched:
    """Which reference belongs to which prediction, by the case's name.

    Args:
        predictions, references: from `find_predictions` and `find_references`.
        single: one result is asked about, so that other cases' references do not lack a prediction.

    Raises:
        InputError: two references for one case, or nothing matches.
    """
    pairs, without = [], []
    for case, prediction in predictions.items():
        found = [reference.file for reference in references if case in reference.cases]
        if len(found) > 1:
            raise InputError(f"{found[0]} and {found[1]} could both be the reference of {case}, expected one; remove or rename the other")
        if found:
            pairs.append(Pair(case, prediction, found[0]))
        else:
            without.append(case)
    if not pairs:
        raise InputError(
            f"no reference belongs to {', '.join(without[:3])}, expected files such as {without[0]}_seg.nii.gz; check the names"
        )
    used = {pair.reference for pair in pairs}
    left = () if single else tuple(reference.cases[0] for reference in references if reference.file not in used)
    return Matched(tuple(pairs), tuple(without), left)


def evaluate_pair(
    pair: Pair, specification: Specification, rules: Rules = BRATS_2023_GLIOMA, smallest_mm3: float = 0.0
) -> list[dict[str, Any]]:
    """Score one case, see `metrics.evaluation.case_rows` for the rows.

    Label maps may be in any convention that the bundle knows; axes stored in another order are turned.

    Raises:
        InputError: a file cannot be read or holds unknown labels, or the two lie on different grids.
    """
    prediction, reference = read_label_map(pair.prediction), read_label_map(pair.reference)
    answer = _masks(prediction, specification)
    truth = _masks(_on_grid(reference, prediction), specification)
    spacing = np.linalg.norm(prediction.affine[:3, :3], axis=0)
    return case_rows(pair.case, truth, answer, specification.region_names, spacing, rules, smallest_mm3)


def made_with(predictions: Iterable[Path]) -> str | None:
    """The name of the bundle that made the first result, if it is one of ours."""
    for file in predictions:
        if is_result(file.parent):
            return _recorded(file.parent).get("bundle", {}).get("name")
    return None


def _masks(volume: Volume, specification: Specification) -> np.ndarray:
    """(R, X, Y, Z) bool, in the convention that our own record names, else in the first that knows all values of the map."""
    conventions = [None, *sorted({name for label in specification.labels for name in label.conventions})]
    present = set(np.flatnonzero(np.bincount(volume.array.ravel())).tolist()) - {0}
    fitting = [c for c in conventions if present <= set(label_values(specification.labels, c))]
    recorded = _recorded(volume.path.parent).get("label_convention") if is_result(volume.path.parent) else None
    convention = recorded if recorded in conventions[1:] else next(iter(fitting), None)
    try:
        return region_masks(volume.array, specification.labels, specification.regions, convention)
    except InputError as error:
        raise InputError(f"{volume.path}: {error}") from None


def _on_grid(reference: Volume, prediction: Volume) -> Volume:
    array, affine = aligned_axes(reference.array, reference.affine, prediction.affine)
    if not same_grid(affine, array.shape, prediction.affine, prediction.shape):
        how = difference(reference.affine, reference.shape, prediction.affine, prediction.shape)
        raise InputError(
            f"the reference {reference.path} lies on another grid than {prediction.path} ({how}), expected the same; "
            "give the reference that belongs to the image that was segmented"
        )
    return Volume(array, prediction.affine, reference.path, reference.header)


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path} does not exist, expected a folder; check the path")
    return path


def _recorded(folder: Path) -> dict[str, Any]:
    return json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))


def _case_of(file: Path) -> str:
    """The file's name without its ending and without the mark of a segmentation; "" where nothing else is left."""
    return _MARK.sub("", stem(file))


def _folders(file: Path, root: Path) -> str:
    return "" if file == root else "_".join(file.parent.relative_to(root).parts)


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith(".") and path.is_file()
