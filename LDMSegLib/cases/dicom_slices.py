"""What the headers of DICOM files say, one entry for each image in them: where it lies and how it was acquired.

Classic files hold one image each, enhanced ones many; from here on both are a list of `Slice`. pydicom is optional and
imported only when a DICOM folder is really read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError
from LDMSegLib.sequences.t1 import tag_of

_NO_IMAGES = ("SEG", "PR", "SR", "KO", "RTSTRUCT")
_MR_STORAGE = "1.2.840.10008.5.1.4.1.1.4"


@dataclass(frozen=True)
class Acquisition:
    """How a series was acquired; times in ms, angle in degrees, None or () where the header doesn't say.

    `contrast` True: an agent is named; False: the header says there was none; None: nothing is said, which after many a
    scanner means nothing at all. `clock` is when acquisition began, in seconds of the day;
    `day` counts days from a fixed one, so that two clocks compare over midnight, None where no date belongs to the clock.
    """

    repetition_time: float | None = None
    echo_time: float | None = None
    inversion_time: float | None = None
    flip_angle: float | None = None
    b_value: float | None = None
    contrast: bool | None = None
    agent: str = ""
    scanning_sequence: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    clock: float | None = None
    day: int | None = None


@dataclass(frozen=True)
class Slice:
    """One image of a series. `position` and `orientation` are DICOM's own (LPS mm), None where the header has none.

    `spacing` is mm between rows and between columns; `frame` counts within a file of many images, None in a classic one.
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


def dicom_files(folder: Path) -> list[Path]:
    """Every file below a folder that is DICOM by its content, whatever it is called, in the order of their paths."""
    try:
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        return [path for path in found if looks_like_dicom(path)]
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read ({error.strerror}), expected a readable folder; check its permissions"
        ) from None


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does: with the magic word after the preamble, or without one with group 0008."""
    with open(path, "rb") as file:
        start = file.read(132)
    return start[128:132] == b"DICM" or start[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x00\x00")


def read_slices(files: Iterable[Path]) -> tuple[list[Slice], list[Path]]:
    """Read the headers of DICOM files.

    Args:
        files: as `dicom_files` gives them.

    Returns:
        The images in them, and the files whose header is damaged. What holds no image on purpose (a DICOMDIR, a report, a
        presentation state, a segmentation) is passed over.

    Raises:
        InputError: pydicom is not installed.
    """
    pydicom = _pydicom()
    slices, damaged = [], []
    for file in files:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            found = list(_slices(file, header))
        except (pydicom.errors.InvalidDicomError, ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError, OSError):
            damaged.append(file)
            continue
        slices += found
    return slices, damaged


def _pydicom() -> Any:
    try:
        import pydicom  # optional: NIfTI input needs none of it
    except ImportError:
        raise InputError(
            'reading DICOM needs the package pydicom, which is not installed; install it by pip install "ldmseg[dicom]", '
            "or convert the series to NIfTI"
        ) from None
    return pydicom


def _slices(file: Path, header: Any) -> Iterator[Slice]:
    kind = str(header.get("SOPClassUID", ""))
    modality = str(header.get("Modality", ""))
    if "Rows" not in header and kind.startswith(_MR_STORAGE):
        raise ValueError("an MR image without a size")
    if "Rows" not in header or modality in _NO_IMAGES:
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
        series=str(header.SeriesInstanceUID),
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
    )


def _acquisition(header: Any, places: list[Any]) -> Acquisition:
    agent = " ".join(str(header.get("ContrastBolusAgent", "")).split())
    named = _first(header, "ContrastBolusAgentSequence")
    contrast = None
    if named is not None:
        contrast, agent = True, agent or str(named.get("CodeMeaning", ""))
    elif "ContrastBolusAgent" in header and header.ContrastBolusAgent:
        contrast = tag_of(agent)
    timing, modifier = "MRTimingAndRelatedParametersSequence", "MRModifierSequence"
    return Acquisition(
        repetition_time=_number(_find(places, "RepetitionTime", timing)),
        echo_time=_number(_find(places, "EchoTime", "MREchoSequence") or _find(places, "EffectiveEchoTime", "MREchoSequence")),
        inversion_time=_number(_find(places, "InversionTime", modifier) or _find(places, "InversionTimes", modifier)),
        flip_angle=_number(_find(places, "FlipAngle", timing)),
        b_value=_number(_find(places, "DiffusionBValue", "MRDiffusionSequence")),
        contrast=contrast,
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


def _number(value: Any) -> float | None:
    if value is None or value == "":
        return None
    if not isinstance(value, (str, bytes, int, float)) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    return None if value is None else float(value)


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or value == "" or len(value) != count:
        return None
    return tuple(float(v) for v in value)


def _whole(value: Any) -> int | None:
    return None if value is None or value == "" else int(value)


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
    """Seconds of the day from DICOM's HHMMSS.ffffff."""
    if len(time) < 6 or not time[:6].isdigit():
        return None
    return int(time[:2]) * 3600.0 + int(time[2:4]) * 60.0 + int(time[4:6]) + (float("0" + time[6:]) if time[6:7] == "." else 0.0)
