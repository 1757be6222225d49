"""Results against references: which belongs to which, and how well they agree, region by region."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.evaluation.evaluation import case_rows
from LDMSegLib.evaluation.labelling import OWN, Labelling, decide, labellings, present
from LDMSegLib.evaluation.lesionwise import BRATS_2023_GLIOMA, Rules
from LDMSegLib.io.atomic_folder import PROVENANCE, is_result
from LDMSegLib.io.nifti_in import read_label_map
from LDMSegLib.io.printable import printable
from LDMSegLib.sequences.naming import ENDINGS, natural, stem
from LDMSegLib.spatial.grids import aligned_axes, difference, same_grid
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Specification

LABEL_MAP = "labels.nii.gz"

# How a file name says that it is a segmentation: <case>_seg.nii.gz, or seg.nii.gz in the case's folder.
_MARK = re.compile(
    r"(^|[ _.-]+)(seg|segm|dseg|segmentations?|labels?|labelmap|masks?|gt|(ground[ _.-]?)?truth|annotations?|manual|roi)$", re.IGNORECASE
)
# What bears such a mark and is none: the brain, and probabilities.
_NO_LABELS = re.compile(r"(brain|bet|skull)[ _.-]?(extracted[ _.-]?)?masks?$", re.IGNORECASE)
# BIDS: what a name says beside subject and session is how the map came about, and not whose it is.
_ENTITY = re.compile(r"_(?!ses-)[a-zA-Z]+-[a-zA-Z0-9+]+")


@dataclass(frozen=True)
class Pair:
    """One case: the label map that was predicted and the reference's."""

    case: str
    prediction: Path
    reference: Path


@dataclass(frozen=True)
class Reference:
    """A reference's file and the names that its case may have; `given` where it was named itself and not found in a folder."""

    file: Path
    cases: tuple[str, ...]
    given: bool = False


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
        return {_recorded(folder).get("case") or printable(folder.name): folder / LABEL_MAP}, True
    entries = sorted(folder.iterdir(), key=lambda entry: natural(entry.name))
    results = {printable(entry.name): entry / LABEL_MAP for entry in entries if entry.is_dir() and is_result(entry)}
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
    if not root.is_file():
        files = [file for file in files if _MARK.search(stem(file)) and not _NO_LABELS.search(stem(file))] or files
    if not files:
        raise InputError(f"no NIfTI file was found below {root}, expected reference label maps such as <case>_seg.nii.gz; check the path")
    return [Reference(file, _cases_of(file, root), root.is_file()) for file in files]


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
        found = [reference.file for reference in references if case in reference.cases or (single and reference.given)]
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


def decide_labellings(
    pairs: Sequence[Pair], specification: Specification, references: Labelling | None = None, predictions: Labelling | None = None
) -> tuple[Labelling, dict[Path, Labelling]]:
    """What the integers mean: of all references, and of each prediction.

    Args:
        pairs: from `match`.
        specification: the bundle's.
        references, predictions: where the user says so. Of our own results their record says it.

    Raises:
        InputError: the maps contradict each other, see `labelling.decide`.
    """
    known = labellings(specification)
    own = {pair.prediction: known.get(_convention(pair.prediction) or OWN) for pair in pairs if is_result(pair.prediction.parent)}
    own = {file: labelling for file, labelling in own.items() if labelling is not None}
    foreign = [pair.prediction for pair in pairs if pair.prediction not in own]
    if references is None:
        references = decide(_values([pair.reference for pair in pairs]), specification, "references")
    if predictions is None and foreign:
        predictions = decide(_values(foreign), specification, "predictions")
    return references, {pair.prediction: own.get(pair.prediction) or predictions for pair in pairs}


def evaluate_pair(
    pair: Pair,
    specification: Specification,
    rules: Rules = BRATS_2023_GLIOMA,
    smallest_mm3: float = 0.0,
    labels: tuple[Labelling, Labelling] | None = None,
) -> list[dict[str, Any]]:
    """Score one case, see `evaluation.evaluation.case_rows` for the rows.

    `labels` says what the integers of reference and prediction mean; without, this pair alone decides. Axes stored in another order are
    turned.

    Raises:
        InputError: a file cannot be read or holds unknown labels, or the two lie on different grids.
    """
    prediction, reference = read_label_map(pair.prediction), read_label_map(pair.reference)
    if labels is None:
        meant, own = decide_labellings([pair], specification)
        labels = meant, own[pair.prediction]
    return evaluate_volumes(pair.case, prediction, reference, specification, labels, rules, smallest_mm3)


def evaluate_volumes(
    case: str,
    prediction: Volume,
    reference: Volume,
    specification: Specification,
    labels: tuple[Labelling, Labelling],
    rules: Rules = BRATS_2023_GLIOMA,
    smallest_mm3: float = 0.0,
) -> list[dict[str, Any]]:
    """Score one case whose label maps are in memory; see `evaluate_pair`."""
    answer = labels[1].masks(prediction.array, specification, prediction.path or "the prediction")
    truth = labels[0].masks(_on_grid(reference, prediction).array, specification, reference.path or "the reference")
    spacing = np.linalg.norm(prediction.affine[:3, :3], axis=0)
    return case_rows(case, truth, answer, specification.region_names, spacing, rules, smallest_mm3)


def made_with(predictions: Iterable[Path]) -> str | None:
    """The name of the bundle that made the first result, if it is one of ours."""
    for file in predictions:
        if is_result(file.parent):
            return _recorded(file.parent).get("bundle", {}).get("name")
    return None


def _values(files: Iterable[Path]) -> Iterable[tuple[Path, list[int]]]:
    for file in files:
        try:
            yield file, present(read_label_map(file).array)
        except InputError:
            continue  # told where the case is scored


def _convention(file: Path) -> str | None:
    return _recorded(file.parent).get("label_convention")


def _on_grid(reference: Volume, prediction: Volume) -> Volume:
    array, affine = aligned_axes(reference.array, reference.affine, prediction.affine)
    if not same_grid(affine, array.shape, prediction.affine, prediction.shape):
        how = difference(reference.affine, reference.shape, prediction.affine, prediction.shape)
        file, other = reference.path or "given", prediction.path or "the prediction"
        raise InputError(
            f"the reference {file} lies on another grid than {other} ({how}), expected the same; "
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
    return printable(_MARK.sub("", stem(file)))


def _cases_of(file: Path, root: Path) -> tuple[str, ...]:
    """By the file's name, by the folders it lies in, and in BIDS by subject and session."""
    name = _case_of(file)
    folders = "" if file == root else printable("_".join(file.parent.relative_to(root).parts))
    bids = _ENTITY.sub("", name) if name.startswith("sub-") else ""
    return tuple(dict.fromkeys(filter(None, (name, bids, folders))))


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith(".") and path.is_file()
