"""The images of a DICOM series as another object refers to them: their identity, their patient and study, and where they lie.

Only that is taken over, into new data sets, each value as the standard wants it (see `dicom_text`). The files themselves are
never changed, and an identifier never is.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_text import Text, Unwritable
from LDMSegLib.spatial.affine import plane_affine

_TRIAL = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialSubjectID")
_TRIAL_NAMES = ("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName")
_LARGEST_THICKNESS_MM = 100.0


@dataclass(frozen=True, eq=False)
class ReferredSeries:
    """A series to refer to.

    Attributes:
        headers: one new pydicom data set a file. Their SOP Class is a standard one of the same build (one image a file, or many),
            so that highdicom takes them; `classes` has the true one.
        affines: (4, 4) of each frame, (column, row, 0) → world RAS mm, file by file.
        classes: SOP Instance UID → SOP Class UID.
        study, series: their UIDs.
        notes: what had to be mended, without any value.
    """

    headers: tuple[Any, ...]
    affines: tuple[np.ndarray, ...]
    classes: dict[str, str]
    study: str
    series: str
    notes: tuple[str, ...]


def refer_to_series(pydicom: Any, files: Sequence[str | Path]) -> ReferredSeries:
    """Read the headers of a series, mended for referring to them.

    Args:
        pydicom: the module.
        files: of one series, in any order: classic ones of one image each, or one enhanced file.

    Raises:
        InputError: no file, a file that is no DICOM, or files of several series.
        Unwritable: an identifier is missing or not legal DICOM, or the geometry is absent.
    """
    originals = _read(pydicom, files)
    first = Text(pydicom, originals[0])
    identity = _identity(pydicom, first)
    series, study = first.uid("SeriesInstanceUID"), identity.StudyInstanceUID
    notes = list(first.notes)
    frame_of_reference = _frame_of_reference(pydicom, originals, study, series, notes)
    affines = [frame for original in originals for frame in _frames(original)]
    thickness = _thickness(originals[0], affines, notes)
    headers, classes = [], {}
    for original in originals:
        text = Text(pydicom, original)
        instance = text.uid("SOPInstanceUID")
        if instance in classes:
            raise Unwritable("two of its files have one SOPInstanceUID")
        classes[instance] = text.uid("SOPClassUID")
        header = pydicom.dataset.Dataset()
        header.update(identity)
        header.SOPInstanceUID, header.SeriesInstanceUID = instance, series
        header.FrameOfReferenceUID, header.PositionReferenceIndicator = frame_of_reference, ""
        header.Modality = "MR"
        header.Rows, header.Columns = int(original.Rows), int(original.Columns)
        _place(pydicom, header, original, thickness)
        headers.append(header)
    return ReferredSeries(tuple(headers), tuple(affines), classes, study, series, tuple(dict.fromkeys(notes)))


def derived_uid(*parts: object) -> str:
    """A UID that the same parts always give, below 2.25 (UUIDs as UIDs: PS3.5, B.2; the UUID is of version 5, RFC 9562)."""
    name = hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'LDMSeg {name}').int}"


def _read(pydicom: Any, files: Sequence[str | Path]) -> list[Any]:
    if not files:
        raise InputError("no source series was given for the DICOM SEG, expected the files of the series; give the folder it lies in")
    headers = []
    for file in files:
        try:
            # by force as the images themselves were read: old archives keep files without a preamble
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            series = header.get("SeriesInstanceUID")
        except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError, TypeError, KeyError, struct.error) as error:
            raise _unreadable(file, " ".join(str(error).split())[:100]) from None
        if not series or "Rows" not in header:
            raise _unreadable(file, "it is no image of a series")
        headers.append(header)
    if len({str(header.SeriesInstanceUID) for header in headers}) != 1:
        raise InputError(f"the source files ({files[0]} and others) belong to several series, expected one; give one series' files")
    return headers


def _unreadable(file: str | Path, reason: str) -> InputError:
    return InputError(f"{file} is no readable DICOM ({reason}), expected a file of the source series; check it")


def _identity(pydicom: Any, text: Text) -> Any:
    """Patient and study, with everything that a data set must have there, be it empty."""
    out = pydicom.dataset.Dataset()
    out.SpecificCharacterSet = "ISO_IR 192"
    for name in ("PatientID", "PatientName", "AccessionNumber", "StudyID"):
        setattr(out, name, text.identifier(name))
    out.StudyInstanceUID = text.uid("StudyInstanceUID")
    out.PatientBirthDate, out.PatientSex = text.date("PatientBirthDate"), text.sex("PatientSex")
    out.StudyDate, out.StudyTime = text.date("StudyDate"), text.time("StudyTime")
    out.ReferringPhysicianName = text.optional("ReferringPhysicianName")
    optional = ["IssuerOfPatientID", "StudyDescription", "PatientAge", "Manufacturer", "ManufacturerModelName"]
    if all(name in text and text.optional(name) for name in _TRIAL):
        optional += _TRIAL
        for name in _TRIAL_NAMES:
            setattr(out, name, text.optional(name))
    for name in optional:
        if value := text.optional(name):
            setattr(out, name, value)
    if text.optional("PatientIdentityRemoved") == "YES":
        out.PatientIdentityRemoved = "YES"
        out.DeidentificationMethod = text.optional("DeidentificationMethod") or "as in the source images"
    return out


def _frame_of_reference(pydicom: Any, headers: list[Any], study: str, series: str, notes: list[str]) -> str:
    found = {Text(pydicom, header).identifier("FrameOfReferenceUID") for header in headers}
    if len(found) > 1:
        raise Unwritable("its files have different FrameOfReferenceUIDs")
    own = found.pop()
    if own:
        return own
    # The slices were taken for one stack, so they have one; nothing else is said to lie in it.
    notes.append("FrameOfReferenceUID derived from the series' UID")
    return derived_uid("frame of reference", study, series)


def _frames(header: Any) -> list[np.ndarray]:
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        return [plane_affine(*(_geometry(header, None, name) for name in ("position", "orientation", "spacing")))]
    return [plane_affine(*(_geometry(header, own, name) for name in ("position", "orientation", "spacing"))) for own in groups]


_WHERE = {
    "position": ("PlanePositionSequence", "ImagePositionPatient", 3),
    "orientation": ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
    "spacing": ("PixelMeasuresSequence", "PixelSpacing", 2),
}


def _geometry(header: Any, own: Any, what: str) -> list[float]:
    """Numbers of a frame's own group, else of the shared one, else of the header itself."""
    group, name, count = _WHERE[what]
    shared = header.get("SharedFunctionalGroupsSequence")
    for item in (own, shared[0] if shared else None):
        inner = item.get(group) if item is not None else None
        if inner and inner[0].get(name):
            return [float(value) for value in inner[0].get(name)]
    value = header.get(name)
    if not value or len(value) != count:
        raise Unwritable(f"{name} is missing")
    return [float(number) for number in value]


def _thickness(header: Any, affines: list[np.ndarray], notes: list[str]) -> float:
    """mm; the header's, else the distance between slices."""
    shared, groups = header.get("SharedFunctionalGroupsSequence"), header.get("PerFrameFunctionalGroupsSequence")
    for item in (groups[0] if groups else None, shared[0] if shared else None):
        inner = item.get("PixelMeasuresSequence") if item is not None else None
        if inner and (found := _millimetres(inner[0])):
            return found
    if found := _millimetres(header):
        return found
    depths = np.sort([affine[:3, 3] @ affines[0][:3, 2] for affine in affines])
    steps = np.diff(depths)
    steps = steps[steps > 1e-3]
    if not steps.size:
        raise Unwritable("SliceThickness is missing, and one slice alone does not tell it")
    notes.append("SliceThickness taken from the distance between slices")
    return float(np.median(steps))


def _millimetres(item: Any) -> float | None:
    try:
        value = float(item.get("SliceThickness"))
    except (TypeError, ValueError):
        return None
    return value if 0.0 < value < _LARGEST_THICKNESS_MM else None


def _place(pydicom: Any, header: Any, original: Any, thickness: float) -> None:
    """Geometry, and the standard class that has it in that form."""
    numbers = pydicom.valuerep.format_number_as_ds
    groups = original.get("PerFrameFunctionalGroupsSequence")

    def measures(own: Any) -> tuple[list[str], ...]:
        return tuple([numbers(value) for value in _geometry(original, own, what)] for what in _WHERE)

    if not groups:
        header.SOPClassUID = pydicom.uid.MRImageStorage
        header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing = measures(None)
        header.SliceThickness = numbers(thickness)
        return
    header.SOPClassUID, header.NumberOfFrames = pydicom.uid.EnhancedMRImageStorage, len(groups)
    header.SharedFunctionalGroupsSequence = [pydicom.dataset.Dataset()]
    frames = []
    for own in groups:
        frame, position, orientation, spacing = (pydicom.dataset.Dataset() for _ in range(4))
        position.ImagePositionPatient, orientation.ImageOrientationPatient, spacing.PixelSpacing = measures(own)
        spacing.SliceThickness = numbers(thickness)
        frame.PlanePositionSequence = [position]
        if not frames:
            # highdicom looks for these among what all frames share; frames that differ in them are no stack
            shared = header.SharedFunctionalGroupsSequence[0]
            shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [spacing]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
