"""What the headers of DICOM files say, one entry for each image in them: where it lies and how it was acquired.

Classic files hold one image each, enhanced ones many; from here on both are a list of `Slice`. pydicom is optional and
imported only when a DICOM folder is really read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError

_NO_IMAGES = ("SEG", "PR", "SR", "KO", "DOC", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE", "REG", "FID", "PLAN", "ANN", "RWV", "RTRECORD")
_CLASSES = "1.2.840.10008.5.1.4.1.1."
# MR Image, Enhanced MR Image and Legacy Converted Enhanced MR Image Storage. Whole identifiers: others begin with the same digits.
MR_IMAGES = tuple(_CLASSES + end for end in ("4", "4.1", "4.4"))
# MR Spectroscopy and Raw Data have rows and columns, and no picture.
_NO_PICTURES = tuple(_CLASSES + end for end in ("4.2", "66", "66.1", "66.2", "66.3", "66.4", "66.5"))
_DIRECTORY = "1.2.840.10008.1.3.10"
# What files of a series are called where an archive or a scanner wrote them.
_DICOM_NAMES = re.compile(r"(\.(dcm|dicom|ima|mr)|^(im|mr|img|i)?[-_.0-9]+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Acquisition:
    """How a series was acquired; times in ms, angle in degrees, None or () where the header doesn't say.

    `agent` is the entry for the contrast agent as it stands, `agent_coded` whether one is named by its code. `clock` is when acquisition
    began, in seconds of the day; `day` counts days from a fixed one, so that two clocks compare over midnight, None where no date belongs
    to the clock.
    """

    repetition_time: float | None = None
    echo_time: float | None = None
    inversion_time: float | None = None
    flip_angle: float | None = None
    b_value: float | None = None
    agent_coded: bool = False
    agent: str = ""
    scanning_sequence: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    clock: float | None = None
    day: int | None = None


@dataclass(frozen=True)
class Identity:
    """Who was examined, for comparing and never for showing: "" where the header does not say."""

    id: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)


@dataclass(frozen=True)
class Counts:
    """What the header says of how many images there are and how they follow each other; None where it does not say.

    `number` is this image's InstanceNumber; `of_series` NumberOfSeriesRelatedInstances and `of_acquisition` ImagesInAcquisition;
    `between` SpacingBetweenSlices and `thickness` SliceThickness in mm.
    """

    number: int | None = None
    of_series: int | None = None
    of_acquisition: int | None = None
    between: float | None = None
    thickness: float | None = None


@dataclass(frozen=True)
class Slice:
    """One image of a series. `position` and `orientation` are DICOM's own (LPS mm), None where the header has none.

    `spacing` is mm between rows and between columns; `frame` counts within a file of many images, None in a classic one.
    `study_date` and `date` (of the acquisition, or else of the series) are DICOM's YYYYMMDD, "" where the header has none.
    """

    file: Path
    frame: int | None
    instance: str
    series: str
    study: str
    patient: str = field(repr=False)
    frame_of_reference: str
    number: int | None
    description: str
    modality: str
    rows: int
    columns: int
    grey: bool
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    acquisition: Acquisition
    storage: str = ""
    study_date: str = ""
    date: str = ""
    identity: Identity = field(default=Identity(), repr=False)
    counts: Counts = Counts()


@dataclass(frozen=True)
class PassedOver:
    """A file that is no image, or none that can be read. `what` says what it is instead; `series` its UID where that is known."""

    file: Path
    what: str
    series: str = ""
    damaged: bool = False


def dicom_files(folder: Path) -> tuple[list[Path], list[PassedOver]]:
    """The files below a folder that are DICOM by their content, whatever they are called, in the order of their paths.

    Returns:
        These files; and what cannot be read, is empty, or is called like DICOM and is none.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        there = sorted(path for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read ({error.strerror}), expected a readable folder; check its permissions"
        ) from None
    files, others = [], []
    for path in there:
        try:
            if looks_like_dicom(path):
                files.append(path)
            elif _DICOM_NAMES.search(path.name):
                empty = path.stat().st_size == 0
                others.append(PassedOver(path, "empty file" if empty else "file that is no DICOM in spite of its name", damaged=True))
        except OSError:
            others.append(PassedOver(path, "file that cannot be read", damaged=True))
    return files, others


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does: with the magic word after the preamble, or without one with group 0008."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:132] == b"DICM" or start[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x00\x00")


def read_slices(files: Iterable[Path]) -> tuple[list[Slice], list[PassedOver]]:
    """Read the headers of DICOM files.

    Args:
        files: as `dicom_files` gives them.

    Returns:
        The images in them, and the files without one: those whose header is damaged, and those that hold no image on purpose (a
        report, a plan, a presentation state, a segmentation). A DICOMDIR is neither.

    Raises:
        InputError: pydicom is not installed.
    """
    pydicom = _pydicom()
    slices: list[Slice] = []
    others: list[PassedOver] = []
    for file in files:
        header = None
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            found = list(_slices(file, header))
        except Exception:  # whatever a foreign or broken file does to a parser: it must not stop the study around it
            others.append(PassedOver(file, "damaged DICOM file", _series_of(header), damaged=True))
            continue
        slices += found
        if not found and _class_of(header) != _DIRECTORY:
            others.append(PassedOver(file, _what(header), _series_of(header)))
    return slices, others


def is_mr_image(path: Path) -> bool:
    """Whether a file is a DICOM MR image, as far as its header can be read. False where pydicom is not installed."""
    try:
        if not looks_like_dicom(path):
            return False
        import pydicom  # optional, see `_pydicom`

        header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID", "Modality", "Rows"])
        return "Rows" in header and str(header.get("Modality", "")) == "MR" and _class_of(header) not in _NO_PICTURES
    except Exception:  # as in `read_slices`
        return False


def _pydicom() -> Any:
    try:
        import pydicom  # NIfTI input needs none of it
    except ImportError:
        raise InputError(
            "reading DICOM needs the package pydicom, which is not installed; install it by pip install pydicom, "
            "or convert the series to NIfTI"
        ) from None
    return pydicom


def _class_of(header: Any) -> str:
    return str(header.get("SOPClassUID", "") or getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID", ""))


def _series_of(header: Any) -> str:
    try:
        return str(header.get("SeriesInstanceUID", ""))
    except Exception:  # of a damaged header
        return ""


def _what(header: Any) -> str:
    """What a file without an image is, in the words of its header."""
    modality = str(header.get("Modality", ""))
    if _class_of(header) == _CLASSES + "104.1":
        return "PDF document"
    return f"{modality} object" if modality else "DICOM object without an image"


def _slices(file: Path, header: Any) -> Iterator[Slice]:
    kind = _class_of(header)
    modality = str(header.get("Modality", ""))
    if "Rows" not in header and (kind in MR_IMAGES or not (kind or modality)):
        raise ValueError("an image without a size, or nothing at all")
    if "Rows" not in header or modality in _NO_IMAGES or kind in _NO_PICTURES:
        return
    frames = int(header.get("NumberOfFrames", 1) or 1)
    shared = _first(header, "SharedFunctionalGroupsSequence")
    groups = header.get("PerFrameFunctionalGroupsSequence")
    for frame in range(frames):
        own = groups[frame] if groups else None
        yield _slice(file, None if groups is None and frames == 1 else frame, header, own, shared)


def _slice(file: Path, frame: int | None, header: Any, own: Any, shared: Any) -> Slice:
    places = [header] if own is None and shared is None else [own, shared, header]
    position = _find(places, "ImagePositionPatient", "PlanePositionSequence")
    orientation = _find(places, "ImageOrientationPatient", "PlaneOrientationSequence")
    spacing = _find(places, "PixelSpacing", "PixelMeasuresSequence")
    return Slice(
        file=file,
        frame=frame,
        instance=f"{header.get('SOPInstanceUID', file)}#{frame}",
        series=str(header.get("SeriesInstanceUID", "")) or _unnamed(file, header),
        study=str(header.get("StudyInstanceUID", "")),
        patient=str(header.get("PatientID", "") or header.get("PatientName", "")),
        frame_of_reference=str(header.get("FrameOfReferenceUID", "")),
        number=_whole(header.get("SeriesNumber")),
        description=" ".join(str(header.get("SeriesDescription", "") or header.get("ProtocolName", "")).split()),
        modality=str(header.get("Modality", "")),
        rows=int(header.Rows),
        columns=int(header.Columns),
        grey=int(header.get("SamplesPerPixel", 1)) == 1 and str(header.get("PhotometricInterpretation", "MONOCHROME2")) == "MONOCHROME2",
        position=_numbers(position, 3),
        orientation=_numbers(orientation, 6),
        spacing=_numbers(spacing, 2),
        acquisition=_acquisition(header, places),
        storage=_class_of(header),
        study_date=_date(header.get("StudyDate")),
        date=_date(header.get("AcquisitionDate")) or _date(header.get("AcquisitionDateTime")) or _date(header.get("SeriesDate")),
        identity=Identity(_text(header, "PatientID"), _text(header, "PatientName"), _date(header.get("PatientBirthDate"))),
        counts=Counts(
            number=_whole(header.get("InstanceNumber")),
            of_series=_whole(header.get("NumberOfSeriesRelatedInstances")),
            of_acquisition=_whole(header.get("ImagesInAcquisition")),
            between=_number(_find(places, "SpacingBetweenSlices", "PixelMeasuresSequence")),
            thickness=_number(_find(places, "SliceThickness", "PixelMeasuresSequence")),
        ),
    )


def _unnamed(file: Path, header: Any) -> str:
    """What stands for the UID of a series that has none: the folder and the series number."""
    return f"without UID in {file.parent}, number {header.get('SeriesNumber', '')}"


def _acquisition(header: Any, places: list[Any]) -> Acquisition:
    agent = " ".join(str(header.get("ContrastBolusAgent", "")).split())
    named = _first(header, "ContrastBolusAgentSequence")
    if named is not None:
        agent = agent or str(named.get("CodeMeaning", ""))
    timing, modifier = "MRTimingAndRelatedParametersSequence", "MRModifierSequence"
    return Acquisition(
        repetition_time=_number(_find(places, "RepetitionTime", timing)),
        echo_time=_number(_find(places, "EchoTime", "MREchoSequence") or _find(places, "EffectiveEchoTime", "MREchoSequence")),
        inversion_time=_number(_find(places, "InversionTime", modifier) or _find(places, "InversionTimes", modifier)),
        flip_angle=_number(_find(places, "FlipAngle", timing)),
        b_value=_number(_find(places, "DiffusionBValue", "MRDiffusionSequence")),
        agent_coded=named is not None,
        agent=agent,
        scanning_sequence=_words(header.get("ScanningSequence")),
        image_type=_words(header.get("ImageType")),
        words=tuple(
            str(header.get(name)) for name in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName") if header.get(name)
        ),
        **dict(zip(("day", "clock"), _when(header), strict=True)),
    )


def _find(places: list[Any], name: str, *groups: str) -> Any:
    """A value from the frame's own groups, then the shared ones, then the top of the header."""
    for place in places:
        if place is None:
            continue
        inner = [found for group in groups if (found := _first(place, group)) is not None]
        for item in (*inner, place):
            value = item.get(name)
            if value is not None and value != "":
                return value
    return None


def _first(item: Any, name: str) -> Any:
    found = item.get(name)
    return found[0] if found else None


def _text(header: Any, name: str) -> str:
    return " ".join(str(header.get(name, "") or "").split())


def _date(value: Any) -> str:
    """The YYYYMMDD that a date or a date and time begins with; "" for none or one that is no date."""
    text = str(value or "").replace(".", "").replace("-", "")[:8]
    return text if re.fullmatch(r"(19|20)[0-9]{6}", text) else ""


def _number(value: Any) -> float | None:
    """A finite number, None for what is none: one malformed value must not cost a series an image."""
    if not isinstance(value, (str, bytes, int, float)) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        number = None if value is None or value == "" else float(value)
    except (ValueError, TypeError):
        return None
    return number if number is not None and math.isfinite(number) else None


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or len(value) != count:
        return None
    numbers = [_number(v) for v in value]
    return None if None in numbers else tuple(numbers)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _words(value: Any) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)


def _when(header: Any) -> tuple[int | None, float | None]:
    """Day and seconds of the day of the acquisition: the first date and time that belong together, else the first time."""
    acquired = str(header.get("AcquisitionDateTime", "") or "")
    pairs = [
        (str(header.get("AcquisitionDate", "") or ""), str(header.get("AcquisitionTime", "") or "")),
        (acquired[:8], acquired[8:].split("+")[0].split("-")[0]),
        (str(header.get("SeriesDate", "") or ""), str(header.get("SeriesTime", "") or "")),
    ]
    whole = [(_day(date), _clock(time)) for date, time in pairs]
    both = next((pair for pair in whole if None not in pair), None)
    return both or (None, next((clock for _, clock in whole if clock is not None), None))


def _day(date: str) -> int | None:
    """A DICOM date as a count of days; None where it is none."""
    try:
        return datetime.strptime(date.replace(".", ""), "%Y%m%d").toordinal()
    except ValueError:
        return None


def _clock(time: str) -> float | None:
    """Seconds of the day from DICOM's HHMMSS.ffffff; None for midnight itself, which is what de-identification leaves."""
    if len(time) < 6 or not time[:6].isdigit():
        return None
    seconds = int(time[:2]) * 3600.0 + int(time[2:4]) * 60.0 + int(time[4:6]) + (float("0" + time[6:]) if time[6:7] == "." else 0.0)
    return seconds or None
