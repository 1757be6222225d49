"""From what a user points at to a case: NIfTI files or a DICOM folder, told apart, read, and prepared where they call for it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.cases.assemble import Images, assemble, common_name, known_files, look_at, missing_from, read_images, reference_of
from LDMSegLib.cases.loaded import LoadedCase
from LDMSegLib.errors import InputError
from LDMSegLib.events import Reporter
from LDMSegLib.io.dicom_source import DicomSource, describe_source
from LDMSegLib.io.endings import IMAGES
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.io.input_record import describe_input
from LDMSegLib.preprocessing.coregistered import CoregisteredSeries
from LDMSegLib.preprocessing.coverage import short_stacks, unseen_stripped_brains
from LDMSegLib.preprocessing.mirrored import reject_mirrored_in_place
from LDMSegLib.preprocessing.pipeline import preprocess_case
from LDMSegLib.preprocessing.plan import AUTOMATIC, NEVER, Plan, PreparationOptions, plan
from LDMSegLib.preprocessing.quality import image_warnings
from LDMSegLib.sequences.identified import AN_IMAGE, CERTAIN, Identified, Use, order
from LDMSegLib.sequences.names import sequences_in
from LDMSegLib.sequences.naming import NOT_AN_IMAGE, Assignment, find_case, find_cohort, find_files, tell_apart, tokens
from LDMSegLib.sequences.site_rules import SiteRules
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.specification import Specification


@dataclass(frozen=True, eq=False)
class FoundImages:
    """Images that were read, what to call them, what to tell of how they were told apart, and their DICOM series, if any.

    `names`: whether what the files are called may be kept with the result. `inputs`: what provenance.json says of images that came from
    memory, which hold no path.
    """

    id: str
    images: Images
    notes: tuple[str, ...] = ()
    sources: Mapping[str, DicomSource] = field(default_factory=dict)
    identified: Identified = Identified()
    names: bool = True
    inputs: tuple[Mapping[str, Any], ...] = ()


NO_RULES = SiteRules()


def read_files(files: Mapping[str, Path], specification: Specification, id: str | None = None) -> FoundImages:
    """Read one NIfTI file a sequence, as the user named them; raises InputError as `load_case`."""
    known = known_files(files, specification)
    named = Identified(tuple(Use(name, file.name, CERTAIN, "it was named by the user") for name, file in known.items()))
    return FoundImages(id or _name(list(known.values())), read_images(known), identified=named, names=id is None)


def read_named(files: list[Path], specification: Specification, rules: SiteRules = NO_RULES, id: str | None = None) -> FoundImages:
    """Read NIfTI files that are told apart by their names; raises InputError as `tell_apart` and `load_case`."""
    return _read_assigned(tell_apart(files, specification.sequences, rules), specification, id)


def _read_assigned(assigned: Assignment, specification: Specification, id: str | None, cohort_id: str = "") -> FoundImages:
    known = known_files(assigned.files, specification)
    name = id or cohort_id or _name(list(known.values()))
    return FoundImages(name, read_images(known), assigned.notes, identified=assigned.identified, names=id is None)


def _name(files: list[Path]) -> str:
    """What to call a case that nobody named: as its files are called, else by what they hold. Folders bear names of patients."""
    return common_name(files) or f"case-{file_sha256(files[0])[:8]}"


def read_folder(
    folder: Path,
    specification: Specification,
    id: str | None = None,
    numbers: Mapping[str, int] | None = None,
    cohort_id: str = "",
    rules: SiteRules = NO_RULES,
) -> FoundImages:
    """Read a folder of NIfTI files, told apart by their names, or of DICOM series, told apart by what they say of themselves.

    Args:
        folder: of one case.
        specification: the bundle's.
        id: what to call the case; by default what the files' names have in common, else a name made of what they hold.
        cohort_id: what its cohort calls the case, by its folders; not for DICOM, whose folders bear names of patients.
        numbers: sequence name → number of the DICOM series that it is, where the user says so.
        rules: the site's own, which come before what names and descriptions say.

    Raises:
        InputError: it holds no case, a series is damaged, or which image is which cannot be told.
    """
    files = _images_below(folder)
    if _is_study(folder, specification, wanted=bool(numbers)):
        found = _read_study(folder, specification, id, numbers or {}, rules)
        if not files:
            return found
        note = (
            f"{len(files)} image file(s) beside the DICOM series were not read, such as {files[0].name}; give the files themselves to "
            "use them"
        )
        return replace(found, notes=(*found.notes, note))
    if files or not _is_dicom(folder):
        if numbers:
            raise InputError(
                f"a series number was given for {next(iter(numbers))}, but {folder} holds no DICOM series; give one file for each sequence"
            )
        found = _read_assigned(find_files(folder, specification.sequences, rules), specification, id, cohort_id)
        note = "the DICOM files in the folder were not read, because the image files there are a case by themselves"
        return replace(found, notes=(*found.notes, note)) if _depth_of_mr(folder) else found
    return _read_study(folder, specification, id, numbers or {}, rules)


def find_cases(folder: Path, specification: Specification) -> list[tuple[str, Path]]:
    """The cases below a cohort's folder: NIfTI or, one folder for each patient directly below it, DICOM.

    Returns:
        (case id, folder for `read_folder`), in natural order.

    Raises:
        InputError: no such folder, images lie in it itself, or there is no case.
    """
    folder = folder.expanduser()
    cases = find_cohort(folder, specification.sequences, _is_dicom)
    # A folder directly below is one patient's: where it is a study, what else lies in it is no case of its own.
    above = {case: next((parent for parent in (case, *case.parents) if parent.parent == folder), case) for _, case in cases}
    studies = {patient for patient in set(above.values()) if _is_study(patient, specification)}
    kept: dict[Path, tuple[str, Path]] = {}
    for name, case in cases:
        patient = above[case]
        if patient in studies:
            kept.setdefault(patient, (patient.name, patient))
        else:
            kept[case] = (name, case)
    return list(kept.values())


def _images_below(folder: Path) -> list[Path]:
    """Files below a folder that are images by their names, masks and results apart."""
    try:
        found = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(IMAGES) and path.is_file())
    except OSError:
        return []  # told where it is read
    return [path for path in found if not path.name.startswith(".") and not set(tokens(path)) & NOT_AN_IMAGE]


def _is_study(folder: Path, specification: Specification, wanted: bool = False) -> bool:
    """Whether a folder is read as a DICOM study although there may be image files in it.

    Unless these are a whole case by themselves and lie no deeper than the DICOM files. `wanted`: the user named a series.
    """
    images = _images_below(folder)
    if not images:
        return _is_dicom(folder)
    depth = _depth_of_mr(folder)
    if depth is None or wanted:
        return depth is not None
    try:
        whole = set(find_case(folder, specification.sequences)) >= set(specification.sequence_names)
    except InputError:
        return True
    return not whole or depth < min(len(path.relative_to(folder).parts) for path in images)


def _is_dicom(folder: Path) -> bool:
    from LDMSegLib.io.dicom_series import is_dicom_folder  # with the rest of DICOM: other input needs none of it

    return is_dicom_folder(folder)


def _depth_of_mr(folder: Path) -> int | None:
    from LDMSegLib.io.dicom_series import depth_of_mr_images  # as in `_is_dicom`

    return depth_of_mr_images(folder)


def _read_study(folder: Path, specification: Specification, id: str, numbers: Mapping[str, int], rules: SiteRules) -> FoundImages:
    from LDMSegLib.io.dicom_identity import date_warnings, frame_warnings, reject_different_patients
    from LDMSegLib.io.dicom_passed_over import in_words
    from LDMSegLib.io.dicom_series import read_series, read_study
    from LDMSegLib.sequences.identify import candidates_of_series
    from LDMSegLib.sequences.study_choice import Unreadable, choose_series, lost_series, readable

    study = read_study(folder)
    series = list(study.series)
    names_of_patient = reject_different_patients([one for one in series if not one.problem])
    named = {name: _numbered(series, folder, name, number) for name, number in numbers.items()}
    said = {name: candidates_of_series([one])[0] for name, one in named.items()}
    while True:
        others = readable(candidates_of_series((one for one in series if one not in named.values()), rules))
        try:
            choice = choose_series(others, specification.sequences, said)
            break
        except Unreadable as problem:
            series = [replace(one, problem=str(problem), damaged=True) if one is problem.source else one for one in series]
    told = choice.told
    unusable = [one for one in series if one.problem and one.modality == "MR"]
    problems = [one.problem for one in unusable]
    would_be = {one.problem: candidates_of_series([replace(one, problem="")], rules)[0] for one in unusable}
    lost = lost_series(others, list(would_be.values()), told, specification.sequences, said)
    if lost is not None:
        problem = next(problem for problem, one in would_be.items() if one.source is lost[0])
        absent = ", ".join(f"{s.title} ({s.name})" for s in specification.sequences if s.name in lost[1])
        raise InputError(f"{problem}; without it nothing is left for {absent}")
    if told.questions:
        # What could not be used may be just what is missed.
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        also = f"; not usable: {'; '.join(problems[:3])}{more}" if problems else ""
        hint = f"--{specification.reference} NUMBER"
        raise InputError(f"{told.questions[0]} (beside the folder, by the number of its series: {hint}){also}")
    found = told.settled()
    chosen = {name: found[name].source for name in specification.sequence_names if name in found}
    volumes = {name: read_series(one) for name, one in chosen.items()}
    sources = {name: DicomSource(one.name, one.uid, one.files) for name, one in chosen.items()}
    notes = [*date_warnings(chosen), *names_of_patient, *(doubt for one in chosen.values() for doubt in one.doubts), *told.guesses]
    notes += [*choice.set_aside, *(problem for problem, one in would_be.items() if not _of_another_kind(one.words, specification))]
    foreign = tuple((one.name, why) for one in would_be.values() if (why := _of_another_kind(one.words, specification)))
    others_there = in_words(study, folder)
    images = look_at(volumes)
    if not any(finding.skull for finding in images.findings.values()):
        notes = [*frame_warnings(chosen), *notes]  # what has a skull is registered anyway
    identified = told.identified()
    identified = Identified(order(identified.used, specification.sequence_names), (*identified.unused, *foreign))
    first = next(iter(chosen.values()))
    kept = tuple(_without_identifiers(note, folder, series) for note in (*notes, *others_there))
    return FoundImages(id or f"study-{_short(first.study or first.uid)}", images, kept, sources, identified)


def _of_another_kind(words: tuple[str, ...], specification: Specification) -> str:
    """Why a series is none of the sequences by its own words, or "": that a localizer is no whole head is nothing to warn of."""
    other = sequences_in(words[0], specification.sequences).other if words else ""
    return f'"{words[0]}": {other}' if other else ""


def _without_identifiers(note: str, folder: Path, series: list) -> str:
    """A note as it is kept with the result: without the folder, which may bear the patient's name, and with UIDs as hashes."""
    for written in (f" in {folder}", f" below {folder}"):
        note = note.replace(written, " in the study")
    for one in series:
        note = note.replace(one.uid, _short(one.uid))
    return note


def _short(uid: str) -> str:
    """Tells one UID from another, and leads to neither."""
    return hashlib.sha256(uid.encode()).hexdigest()[:8]


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


def to_case(found: FoundImages, specification: Specification, options: PreparationOptions, reporter: Reporter) -> LoadedCase:
    """Prepare what calls for it; else put the images on one grid as their headers say.

    Raises:
        InputError: the result is wanted on a sequence that is not there; see also `preprocess_case` and `assemble`.
    """
    images = found.images
    if found.identified.used:
        reporter.inputs(found.identified.lines(), **found.identified.record())
    if options.result_on and options.result_on not in images.volumes:
        # Before minutes of registration, and whether or not there is anything to prepare.
        raise InputError(
            f"the result of '{found.id}' is wanted on {options.result_on}, which is not there; choose one of "
            f"{', '.join(images.volumes)} with --result-on"
        )
    reference, notes = reference_of(tuple(images.volumes), specification)
    space = find_space(specification.grid.space)
    todo = plan(images.volumes, images.findings, reference, options) if space else Plan()
    said = (*short_stacks(images.volumes), *unseen_stripped_brains(images.volumes, images.findings), *found.notes)
    if todo.register and not todo.strip and options.choice == AUTOMATIC and importlib.util.find_spec("SimpleITK") is None:
        # Nobody asked for registration, and without it the headers are as good a word as they ever were.
        said += (
            f"{', '.join(todo.register)} would be brought onto {reference} if SimpleITK were installed (pip install SimpleITK), "
            "now only the headers say where they lie; check that the images are aligned",
        )
        todo = Plan()
    if not space and options.choice != NEVER and any(finding.skull for finding in images.findings.values()):
        raise InputError(
            f"the images are raw, and how to prepare them for the space '{specification.grid.space}' of this bundle is not known; prepare "
            "them as the bundle's description says and add --prepare never"
        )
    if not todo.anything:
        reject_mirrored_in_place(images.volumes, images.findings, reference)
        case = assemble(images, specification, found.id)
        if options.result_on:
            lying = CoregisteredSeries(images.volumes, reference)
            case = replace(case, native_space=lying.native_space(options.result_on, case.foreground(), np.eye(4)))
        loaded = LoadedCase(replace(case, warnings=(*said, *case.warnings)), None, found.sources)
    else:
        stripped = {name: finding for name, finding in images.findings.items() if not finding.skull}
        notes += image_warnings(stripped, reference)
        missing = missing_from(images.volumes, specification)
        said = (*said, *notes)
        prepared = preprocess_case(found.id, images.volumes, images.findings, reference, space, todo, options, missing, said, reporter)
        loaded = LoadedCase(prepared.case, prepared, found.sources)
    warnings = tuple(_as_kept(said, found) for said in loaded.case.warnings)
    for warning in warnings:
        reporter.warning(warning)
    identified = found.identified if found.names or found.sources else found.identified.without_names()
    case = replace(loaded.case, warnings=warnings, identified=identified)
    return replace(loaded, case=case, inputs=found.inputs or _described(found))


def _described(found: FoundImages) -> tuple[Mapping[str, Any], ...]:
    """What provenance.json says of the images that were read."""
    return tuple(
        describe_source(name, found.sources[name]) if name in found.sources else describe_input(name, volume.path, found.names)
        for name, volume in found.images.volumes.items()
        if name in found.sources or volume.path is not None
    )


def requested_preparation(
    options: PreparationOptions, specification: Specification, site_rules: Path | None = None, case_sha256: str = ""
) -> dict[str, Any]:
    """What was asked for raw scans, as provenance.json keeps it.

    Args:
        options: the user's.
        specification: the bundle's.
        site_rules: the file of the site's own rules.
        case_sha256: of all images of a cohort's case, by which it is known again.
    """
    # A mask that isn't there is told where it is read.
    mask = file_sha256(options.mask) if options.mask and options.mask.is_file() else None
    return {
        "preparation": options.choice,
        "brain_extraction": options.extraction,
        "brain_mask_sha256": mask,
        "result_grid": options.result_on or specification.reference,
        **({"site_rules_sha256": file_sha256(site_rules)} if site_rules else {}),
        **({"case_sha256": case_sha256} if case_sha256 else {}),
    }


def _as_kept(text: str, found: FoundImages) -> str:
    """A sentence that is kept with the result: files are called by their names alone, or not at all where the user named the case."""
    paths = [volume.path for volume in found.images.volumes.values() if volume.path is not None]
    paths += [file for source in found.sources.values() for file in source.files[:1]]
    folders = {str(parent) for path in paths for parent in (path.parent, path.resolve().parent)}
    for folder in sorted(folders, key=len, reverse=True):
        text = text.replace(f"{folder}{os.sep}", "")
    if not found.names and not found.sources:
        called = [use.name for use in found.identified.used] + [name for name, _ in found.identified.unused]
        called += [path.name for path in paths] + [path.name.split(".")[0] for path in paths]
        for name in sorted(called, key=len, reverse=True):
            text = text.replace(name, AN_IMAGE)
    return text
