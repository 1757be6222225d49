"""From what a user points at to a case: NIfTI files or a DICOM folder, told apart, read, and prepared where they call for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from LDMSegLib.cases.case import Case, Images, assemble, case_id, known_files, look_at, missing_from, read_images, reference_of
from LDMSegLib.cases.checks import image_warnings
from LDMSegLib.cases.naming import find_case, find_cohort
from LDMSegLib.cases.plan import AUTOMATIC, NEVER, Plan, Wishes, plan
from LDMSegLib.cases.preparation import prepare_case
from LDMSegLib.cases.prepared import Prepared
from LDMSegLib.cases.space import find_space
from LDMSegLib.cases.together import Together
from LDMSegLib.errors import InputError
from LDMSegLib.events import Reporter
from LDMSegLib.results.source import DicomSource
from LDMSegLib.specification import Specification


@dataclass(frozen=True, eq=False)
class Read:
    """A case that the networks can take, what was done to it if it was raw, and the DICOM series it came from, if any."""

    case: Case
    prepared: Prepared | None = None
    sources: Mapping[str, DicomSource] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Found:
    """Images that were read, what to call them, what to tell of how they were told apart, and their DICOM series, if any."""

    id: str
    images: Images
    notes: tuple[str, ...] = ()
    sources: Mapping[str, DicomSource] = field(default_factory=dict)


def read_files(files: Mapping[str, Path], specification: Specification, id: str | None = None) -> Found:
    """Read one NIfTI file a sequence; raises InputError as `load_case`."""
    known = known_files(files, specification)
    return Found(id or case_id(list(known.values())), read_images(known))


def read_folder(folder: Path, specification: Specification, id: str | None = None, numbers: Mapping[str, int] | None = None) -> Found:
    """Read a folder of NIfTI files, told apart by their names, or of DICOM series, told apart by what they say of themselves.

    Args:
        folder: of one case.
        specification: the bundle's.
        id: what to call the case; by default as `read_files`, or the folder's name.
        numbers: sequence name → number of the DICOM series that it is, where the user says so.

    Raises:
        InputError: it holds no case, a series is damaged, or which image is which cannot be told.
    """
    from LDMSegLib.cases.dicom import is_dicom_folder  # with the rest of DICOM: NIfTI input needs none of it

    if any(folder.rglob("*.nii*")) or not is_dicom_folder(folder):
        if numbers:
            raise InputError(
                f"a series number was given for {next(iter(numbers))}, but {folder} holds no DICOM series; give one file for each sequence"
            )
        return read_files(find_case(folder, specification.sequences), specification, id)
    return _read_study(folder, specification, id or folder.resolve().name, numbers or {})


def find_cases(folder: Path, specification: Specification) -> list[tuple[str, Path]]:
    """The cases below a cohort's folder: NIfTI or, one folder for each patient directly below it, DICOM.

    Returns:
        (case id, folder for `read_folder`), in natural order.

    Raises:
        InputError: no such folder, images lie in it itself, or there is no case.
    """
    from LDMSegLib.cases.dicom import is_dicom_folder  # see `read_folder`

    return find_cohort(folder, specification.sequences, is_dicom_folder)


def _read_study(folder: Path, specification: Specification, id: str, numbers: Mapping[str, int]) -> Found:
    from LDMSegLib.cases.dicom import read_dicom_folder, read_series, reject_different_patients
    from LDMSegLib.cases.identify import candidates_of_series, identify

    series = read_dicom_folder(folder)
    unusable = [one.problem for one in series if one.problem]
    named = {name: _numbered(series, folder, name, number) for name, number in numbers.items()}
    others = candidates_of_series(one for one in series if one not in named.values())
    said = {name: candidates_of_series([one])[0] for name, one in named.items()}
    told = identify(others, specification.sequences, said)
    if told.questions:
        # What could not be used may be just what is missed.
        also = f"; not usable: {'; '.join(unusable)}" if unusable else ""
        hint = f"--{specification.reference} {series[0].number or 5}"
        raise InputError(f"{told.questions[0]} (beside the folder, by the number of its series, e.g. {hint}){also}")
    found = told.settled()
    chosen = {name: found[name].source for name in specification.sequence_names if name in found}
    reject_different_patients(list(chosen.values()))
    volumes = {name: read_series(one) for name, one in chosen.items()}
    sources = {name: DicomSource(one.name, one.uid, one.files) for name, one in chosen.items()}
    return Found(id, look_at(volumes), (*told.guesses, *unusable), sources)


def _numbered(series: list, folder: Path, name: str, number: int):
    """The series that the user named by its number."""
    fits = [one for one in series if one.number == number]
    if not fits:
        there = ", ".join(str(one.number) for one in series if one.number is not None)
        raise InputError(f"no series in {folder} has the number {number} that was given for {name}, there are {there}; give one of these")
    if len(fits) > 1:
        raise InputError(
            f"{len(fits)} series in {folder} have the number {number} that was given for {name} ({', '.join(one.name for one in fits)}), "
            "expected one; put the right one into a folder with the others that are needed"
        )
    if fits[0].problem:
        raise InputError(fits[0].problem)
    return fits[0]


def to_case(found: Found, specification: Specification, wishes: Wishes, reporter: Reporter) -> Read:
    """Prepare what calls for it; else put the images on one grid as their headers say.

    Raises:
        InputError: the result is wanted on a sequence that is not there; see also `prepare_case` and `assemble`.
    """
    images = found.images
    if wishes.result_on and wishes.result_on not in images.volumes:
        # Before minutes of registration, and whether or not there is anything to prepare.
        raise InputError(
            f"the result of '{found.id}' is wanted on {wishes.result_on}, which is not there; choose one of "
            f"{', '.join(images.volumes)} with --result-on"
        )
    reference, notes = reference_of(tuple(images.volumes), specification)
    space = find_space(specification.grid.space)
    todo = plan(images.volumes, images.findings, reference, wishes) if space else Plan()
    said = found.notes
    if todo.register and not todo.strip and wishes.choice == AUTOMATIC and importlib.util.find_spec("SimpleITK") is None:
        # Nobody asked for registration, and without it the headers are as good a word as they ever were.
        said += (
            f'{", ".join(todo.register)} would be brought onto {reference} if SimpleITK were installed (pip install "ldmseg[prepare]"), '
            "now only the headers say where they lie; check that the images are aligned",
        )
        todo = Plan()
    if not space and wishes.choice != NEVER and any(finding.skull for finding in images.findings.values()):
        raise InputError(
            f"the images are raw, and how to prepare them for the space '{specification.grid.space}' of this bundle is not known; prepare "
            "them as the bundle's description says and add --prepare never"
        )
    if not todo.anything:
        case = assemble(images, specification, found.id)
        if wishes.result_on:
            lying = Together(images.volumes, reference)
            case = replace(case, home=lying.home(wishes.result_on, case.foreground(), np.eye(4)))
        read = Read(replace(case, warnings=(*said, *case.warnings)), None, found.sources)
    else:
        stripped = {name: finding for name, finding in images.findings.items() if not finding.skull}
        notes += image_warnings(stripped, reference)
        missing = missing_from(images.volumes, specification)
        said = (*said, *notes)
        prepared = prepare_case(found.id, images.volumes, images.findings, reference, space, todo, wishes, missing, said, reporter)
        read = Read(prepared.case, prepared, found.sources)
    for warning in read.case.warnings:
        reporter.warning(warning)
    return read
