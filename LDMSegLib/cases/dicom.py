"""A folder of DICOM files: which series it holds, which of them are volumes, and their voxels.

A folder from a scanner holds localizers, reports and perfusion beside the sequences that are wanted. So nothing here fails
because of one series: each says for itself whether it can be used (`Series.problem`), and only reading it raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.cases.dicom_slices import Acquisition, Slice, dicom_files, looks_like_dicom, read_slices
from LDMSegLib.cases.dicom_stack import NotAStack, RepeatedPlaces, Stack, stack
from LDMSegLib.cases.volume import Volume
from LDMSegLib.errors import InputError


@dataclass(frozen=True, eq=False)
class Series:
    """One series of a study, or one echo or reconstruction of it where a series holds several.

    `problem` is "" where it is a volume, else one sentence that names the series, what was found and what to do. `grid` is
    its slices in order and their geometry, None where there is a problem. `patient` is for comparing, never for showing.
    """

    uid: str
    number: int | None
    description: str
    folder: Path
    slices: tuple[Slice, ...]
    acquisition: Acquisition
    study: str = ""
    frame_of_reference: str = ""
    patient: str = field(default="", repr=False)
    grid: Stack | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """How the series is named to a person, e.g. 'series 5 "AX T1 POST"'."""
        number = "" if self.number is None else f" {self.number}"
        return f'series{number} "{self.description}"' if self.description else f"series{number or ' ' + self.uid}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files, each once, in slice order where it has one."""
        return tuple(dict.fromkeys(s.file for s in (self.grid.slices if self.grid else self.slices)))


def is_dicom_folder(folder: str | Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file; looks no further than the first. False for what is no folder."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        return False
    try:
        return any(looks_like_dicom(path) for path in folder.rglob("*") if path.is_file())
    except OSError:
        return False  # what cannot be read is told by whoever reads it


def read_dicom_folder(path: str | Path) -> list[Series]:
    """The series in a folder and the folders below it, from their headers alone.

    Files count by their content, not by their names; copies of an image count once; files of other kinds are passed over.

    Args:
        path: the folder.

    Returns:
        Every series of images, by series number, with its geometry or its problem.

    Raises:
        InputError: no such folder, no DICOM image in it, damaged files, or pydicom is not installed.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}, expected a folder of DICOM files; check the path")
    slices, damaged = read_slices(dicom_files(folder))
    if damaged:
        raise InputError(
            f"{damaged[0]} is damaged DICOM ({len(damaged)} such file(s) in {folder}), expected complete files; copy or export them again, "
            "or remove them if they are not needed"
        )
    if not slices:
        raise InputError(f"the folder {folder} holds no DICOM image, expected the series of an MR examination; check the path")
    groups: dict[str, dict[str, Slice]] = {}
    for found in slices:
        groups.setdefault(found.series, {}).setdefault(found.instance, found)
    series = [one for group in groups.values() for one in _series(folder, list(group.values()))]
    return sorted(series, key=lambda s: (s.number is None, s.number or 0, s.description, s.uid))


def read_series(series: Series) -> Volume:
    """The voxels of one series.

    Args:
        series: as `read_dicom_folder` gives it.

    Returns:
        float32 (columns, rows, slices) with each slice's own rescaling applied; `affine` voxel→world RAS mm; without path and
        header, because no single file holds it.

    Raises:
        InputError: the series has a problem, its pixels are damaged or in a compression that nothing installed can read, or
            the image is constant or not finite.
    """
    if series.grid is None:
        raise InputError(series.problem)
    array = np.empty(series.grid.shape, np.float32)
    read: dict[Path, np.ndarray] = {}
    for k, one in enumerate(series.grid.slices):
        if one.file not in read:
            read = {one.file: _pixels(series, one.file)}  # the last file is enough: frames of one file follow each other
        frames = read[one.file]
        if (one.frame or 0) >= len(frames) or frames.shape[1:] != (one.rows, one.columns):
            raise InputError(f"{series.name} has damaged pixels in {one.file}, expected whole images; copy or export the series again")
        array[:, :, k] = frames[one.frame or 0].T
    if not np.isfinite(array).all() or array.min() == array.max():
        raise InputError(f"{series.name} in {series.folder} is empty, constant or not finite, expected an MR image; choose another series")
    return Volume(array=array, affine=series.grid.affine.copy())


def reject_different_patients(series: Sequence[Series]) -> None:
    """Raise InputError where series name different patients, without showing the names."""
    named = [s for s in series if s.patient]
    if len({s.patient for s in named}) > 1:
        other = next(s for s in named if s.patient != named[0].patient)
        raise InputError(
            f"{named[0].name} and {other.name} belong to different patients (their patient IDs differ), expected one patient's sequences; "
            "give each patient's folder alone"
        )


def _series(folder: Path, slices: list[Slice]) -> list[Series]:
    try:
        return [_one(folder, slices, stack(slices))]
    except RepeatedPlaces as problem:
        for parts in (_apart(slices, _echo), _apart(slices, _kind)):
            if len(parts) > 1 and all(_is_stack(part) for part in parts.values()):
                return [_one(folder, part, stack(part), what) for what, part in parts.items()]
        return [_one(folder, slices, None, problem=str(problem))]
    except NotAStack as problem:
        return [_one(folder, slices, None, problem=str(problem))]


def _one(folder: Path, slices: list[Slice], grid: Stack | None, what: str = "", problem: str = "") -> Series:
    first = grid.slices[0] if grid else slices[0]
    series = Series(
        uid=first.series,
        number=first.number,
        description=f"{first.description} {what}".strip(),
        folder=folder,
        slices=tuple(slices),
        acquisition=first.acquisition,
        study=first.study,
        frame_of_reference=first.frame_of_reference,
        patient=first.patient,
        grid=grid,
    )
    if not problem:
        return series
    return replace(series, problem=f"{series.name} in {folder} {problem}")


def _apart(slices: list[Slice], key: Any) -> dict[str, list[Slice]]:
    parts: dict[str, list[Slice]] = {}
    for one in slices:
        parts.setdefault(key(one), []).append(one)
    return parts


def _echo(one: Slice) -> str:
    return f"TE {one.acquisition.echo_time or 0:g} ms"


def _kind(one: Slice) -> str:
    return " ".join(one.acquisition.image_type)


def _is_stack(slices: list[Slice]) -> bool:
    try:
        stack(slices)
    except NotAStack:
        return False
    return True


def _pixels(series: Series, file: Path) -> np.ndarray:
    """All frames of a file, (frames, rows, columns) float32, rescaled."""
    import pydicom  # optional; `read_dicom_folder` has said so where it is absent

    try:
        header = pydicom.dcmread(file, force=True)
        if "TransferSyntaxUID" not in header.file_meta:  # files without a preamble: DICOM's default
            header.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        if header.file_meta.TransferSyntaxUID.is_compressed:
            frames = _decompressed(series, file, header)
        else:
            frames = header.pixel_array
    except (ValueError, AttributeError, KeyError, TypeError, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{series.name} has damaged or unreadable pixels in {file} ({reason}), expected whole images; copy or export the series again"
        ) from None
    frames = np.asarray(frames, np.float32).reshape((-1, *frames.shape[-2:]))
    return frames * _rescaling(header, "RescaleSlope", 1.0, len(frames)) + _rescaling(header, "RescaleIntercept", 0.0, len(frames))


def _decompressed(series: Series, file: Path, header: Any) -> np.ndarray:
    """Stored values of a compressed file, by whichever of pydicom's decoders or SimpleITK can."""
    try:
        return header.pixel_array
    except (RuntimeError, NotImplementedError, ImportError):
        pass  # pydicom has no decoder for it
    try:
        import SimpleITK  # optional, and large
    except ImportError:
        raise InputError(
            f"{series.name} is compressed ({header.file_meta.TransferSyntaxUID.name}) and nothing installed can read that; "
            'install SimpleITK by pip install "ldmseg[prepare]"'
        ) from None
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file))).astype(np.float32)
    # SimpleITK has rescaled already; the caller will again, and must get what was stored.
    slope, intercept = (_rescaling(header, n, d, len(values)) for n, d in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)))
    return (values - intercept) / slope


def _rescaling(header: Any, name: str, default: float, frames: int) -> np.ndarray:
    """One number a frame, (frames, 1, 1) float32."""

    def of(item: Any) -> float | None:
        found = None if item is None else item.get("PixelValueTransformationSequence")
        return None if not found else float(found[0].get(name, default))

    shared, own = header.get("SharedFunctionalGroupsSequence"), header.get("PerFrameFunctionalGroupsSequence")
    top = header.get(name)
    usual = of(shared[0]) if shared else None
    if usual is None:
        usual = default if top is None or top == "" else float(top)
    each = [of(own[k]) for k in range(frames)] if own else [None] * frames
    return np.array([usual if value is None else value for value in each], np.float32).reshape(-1, 1, 1)
