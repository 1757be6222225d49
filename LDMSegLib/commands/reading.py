"""From what a user points at to a case: NIfTI files or a DICOM folder, told apart, read, and prepared where they call for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from LDMSegLib.cases.case import Case, Images, assemble, case_id, known_files, look_at, missing_from, read_images, reference_of
from LDMSegLib.cases.checks import image_warnings
from LDMSegLib.cases.naming import find_case
from LDMSegLib.cases.plan import NEVER, Plan, Wishes, plan
from LDMSegLib.cases.preparation import Prepared, prepare_case
from LDMSegLib.cases.space import find_space
from LDMSegLib.errors import InputError
from LDMSegLib.events import Reporter
from LDMSegLib.specification import Specification


@dataclass(frozen=True, eq=False)
class Read:
    """A case that the networks can take, and what was done to it if it was raw."""

    case: Case
    prepared: Prepared | None = None


@dataclass(frozen=True, eq=False)
class Found:
    """Images that were read, what to call them, and what to tell of how they were told apart."""

    id: str
    images: Images
    notes: tuple[str, ...] = ()


def read_files(files: Mapping[str, Path], specification: Specification, id: str | None = None) -> Found:
    """Read one NIfTI file a sequence; raises InputError as `load_case`."""
    known = known_files(files, specification)
    return Found(id or case_id(list(known.values())), read_images(known))


def read_folder(folder: Path, specification: Specification, id: str | None = None) -> Found:
    """Read a folder of NIfTI files, told apart by their names, or of DICOM series, told apart by what they say of themselves.

    Raises:
        InputError: it holds no case, a series is damaged, or which image is which cannot be told.
    """
    from LDMSegLib.cases.dicom import is_dicom_folder, read_dicom_folder, reject_different_patients

    if any(folder.rglob("*.nii*")) or not is_dicom_folder(folder):
        return read_files(find_case(folder, specification.sequences), specification, id)
    from LDMSegLib.cases.identify import candidates_of_series, identify

    series = read_dicom_folder(folder)
    told = identify(candidates_of_series(series), specification.sequences)
    chosen = told.settled()
    reject_different_patients([candidate.source for candidate in chosen.values()])
    volumes = {name: chosen[name].read() for name in specification.sequence_names if name in chosen}
    unusable = [one.problem for one in series if one.problem]
    return Found(id or folder.resolve().name, look_at(volumes), (*told.guesses, *unusable))


def to_case(found: Found, specification: Specification, wishes: Wishes, reporter: Reporter) -> Read:
    """Prepare what calls for it; else put the images on one grid as their headers say.

    Raises:
        InputError: see `prepare_case` and `assemble`.
    """
    images = found.images
    reference, notes = reference_of(tuple(images.volumes), specification)
    space = find_space(specification.grid.space)
    todo = plan(images.volumes, images.findings, reference, wishes) if space else Plan()
    if not space and wishes.choice != NEVER and any(finding.skull for finding in images.findings.values()):
        raise InputError(
            f"the images are raw, and how to prepare them for the space '{specification.grid.space}' of this bundle is not known; prepare "
            "them as the bundle's description says and add --prepare never"
        )
    if not todo.anything:
        case = assemble(images, specification, found.id)
        read = Read(_noted(case, found.notes))
    else:
        stripped = {name: finding for name, finding in images.findings.items() if not finding.skull}
        notes += image_warnings(stripped, reference)
        missing = missing_from(images.volumes, specification)
        said = (*found.notes, *notes)
        prepared = prepare_case(found.id, images.volumes, images.findings, reference, space, todo, wishes, missing, said, reporter)
        read = Read(prepared.case, prepared)
    for warning in read.case.warnings:
        reporter.warning(warning)
    return read


def _noted(case: Case, notes: tuple[str, ...]) -> Case:
    from dataclasses import replace

    return replace(case, warnings=(*notes, *case.warnings)) if notes else case
