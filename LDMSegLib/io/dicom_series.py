"""A folder of DICOM files: which series it holds, which of them are volumes, and their voxels.

A folder from a scanner holds localizers, reports and perfusion beside the sequences that are wanted. So nothing here fails
because of one series: each says for itself whether it can be used (`Series.problem`), and only reading it raises.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.dicom_completeness import reject_lost_images, signs_of_loss
from LDMSegLib.io.dicom_slices import (
    MR_IMAGES,
    Acquisition,
    Identity,
    PassedOver,
    Slice,
    dicom_files,
    is_mr_image,
    looks_like_dicom,
    read_slices,
)
from LDMSegLib.io.dicom_stack import Damaged, NotAStack, RepeatedPlaces, SeveralDirections, Stack, stack
from LDMSegLib.io.dicom_uids import clash_of_instances, clash_of_series, one_series_per_image
from LDMSegLib.spatial.volume import Volume


@dataclass(frozen=True, eq=False)
class Series:
    """One series of a study, or one echo or reconstruction of it where a series holds several.

    `problem` is "" where it is a volume, else one sentence that names the series, what was found and what to do. `grid` is
    its slices in order and their geometry, None where there is a problem. `damaged` marks a problem that is no property of the
    acquisition: images were lost, or their identifiers. `doubts` are sentences about what may be missing from a volume. `patient`
    and `identity` are for comparing, never for showing; dates are DICOM's YYYYMMDD, "" where the header has none.
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
    damaged: bool = False
    doubts: tuple[str, ...] = ()
    modality: str = "MR"
    study_date: str = ""
    date: str = ""
    identity: Identity = field(default=Identity(), repr=False)

    @property
    def name(self) -> str:
        """How the series is named to a person, e.g. 'series 5 "AX T1 POST"'."""
        number = "" if self.number is None else f" {self.number}"
        return f'series{number} "{self.description}"' if self.description else f"series{number or ' ' + self.uid}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files, each once, in slice order where it has one."""
        return tuple(dict.fromkeys(s.file for s in (self.grid.slices if self.grid else self.slices)))


@dataclass(frozen=True, eq=False)
class Study:
    """What a folder holds: its series of images, by series number, and the files that are none of them."""

    series: tuple[Series, ...]
    passed_over: tuple[PassedOver, ...] = ()


def is_dicom_folder(folder: str | Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file; looks no further than the first. False for what is no folder."""
    return next(_files(folder, looks_like_dicom), None) is not None


def depth_of_mr_images(folder: str | Path) -> int | None:
    """How many folders deep the first DICOM MR image lies, 1 for the folder itself; None where there is none."""
    folder = Path(folder).expanduser()
    first = next(_files(folder, is_mr_image), None)
    return None if first is None else len(first.relative_to(folder).parts)


def _files(folder: str | Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """Files below a folder that are wanted, from the top down; what cannot be read is told by whoever reads it."""
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        return
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            try:
                if wanted(Path(place, name)):
                    yield Path(place, name)
            except OSError:
                continue


def read_dicom_folder(path: str | Path) -> list[Series]:
    """The series in a folder and the folders below it, as `read_study` finds them."""
    return list(read_study(path).series)


def read_study(path: str | Path) -> Study:
    """The series in a folder and the folders below it, from their headers alone.

    Files count by their content, not by their names; copies of an image count once. A file that is damaged, or no image, stops
    nothing: it is listed.

    Args:
        path: the folder.

    Returns:
        Every series of images with its geometry or its problem, and what was passed over.

    Raises:
        InputError: no such folder, no readable DICOM image in it, or pydicom is not installed.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}, expected a folder of DICOM files; check the path")
    files, others = dicom_files(folder)
    slices, without = read_slices(files)
    others += without
    if not slices:
        damaged = [one for one in others if one.damaged]
        if damaged:
            raise InputError(
                f"{damaged[0].file} is a {damaged[0].what} ({len(damaged)} such file(s) in {folder}, and no image), expected the complete "
                "files of an MR examination; copy or export them again"
            )
        raise InputError(f"the folder {folder} holds no DICOM image, expected the series of an MR examination; check the path")
    groups: dict[str, list[Slice]] = {}
    for found in slices:
        groups.setdefault(found.series, []).append(found)
    series = [_scattered(folder, parts) for parts in one_series_per_image(groups)]
    for group in groups.values():
        kept = _images_among(group)
        others += [PassedOver(one.file, "picture that is no MR image among a series", one.series) for one in group if one not in kept]
        lost = [one for one in others if one.damaged and one.series == group[0].series]
        series += _series(folder, kept, lost)
    ordered = sorted(series, key=lambda s: (s.number is None, s.number or 0, s.description, s.uid))
    return Study(tuple(ordered), tuple(others))


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


def _images_among(group: list[Slice]) -> list[Slice]:
    """The MR images of a series into which other pictures were put (a screenshot, a colour map); all of it where there are none."""
    images = [one for one in group if one.storage in MR_IMAGES and one.position is not None]
    others = [one for one in group if one.storage not in MR_IMAGES]
    return images if images and others else group


def _series(folder: Path, found: list[Slice], lost: list[PassedOver]) -> list[Series]:
    """A series, or the echoes or reconstructions of one, from all images that bear its UID."""
    slices = _without_copies(found)
    try:
        for problem in (clash_of_series(slices), clash_of_instances(slices)):
            if problem:
                raise Damaged(problem)
        if lost and found[0].modality == "MR":
            raise Damaged(
                f"has a file that cannot be read, {lost[0].file} ({lost[0].what}, {len(lost)} in all), expected every image; copy or "
                "export the whole series again"
            )
        try:
            grids = {"": stack(slices)}
        except (RepeatedPlaces, SeveralDirections):
            grids = _volumes_among(slices)
            if not grids:
                raise
        reject_lost_images(slices, grids)
        doubts = {what: signs_of_loss(slices, grid) for what, grid in grids.items()}
        return [_one(folder, list(grid.slices), grid, what, doubts=doubts[what]) for what, grid in grids.items()]
    except NotAStack as problem:
        return [_one(folder, slices, None, problem=str(problem), damaged=isinstance(problem, Damaged))]


def _scattered(folder: Path, slices: list[Slice]) -> Series:
    problem = f"has {len(slices)} images that bear a SeriesInstanceUID each, expected one for all of them; export the series again"
    return _one(folder, slices, None, problem=problem, damaged=True)


def _without_copies(slices: list[Slice]) -> list[Slice]:
    """Each image once: of one UID and one place is what was copied, of one UID and several places what lost its own."""
    kept: dict[tuple, Slice] = {}
    for one in slices:
        kept.setdefault((one.instance, one.position, one.orientation, one.number if one.position else one.counts.number), one)
    return list(kept.values())


def _volumes_among(slices: list[Slice]) -> dict[str, Stack]:
    """The volumes of a series that holds several, by echo, kind of reconstruction or plane; {} where that does not tell them apart."""
    for parts in (_apart(slices, _echo), _apart(slices, _kind), _apart(slices, _plane)):
        if len(parts) > 1 and all(_is_stack(part) for part in parts.values()):
            return {what: stack(part) for what, part in parts.items()}
    return {}


def _one(
    folder: Path,
    slices: list[Slice],
    grid: Stack | None,
    what: str = "",
    problem: str = "",
    damaged: bool = False,
    doubts: tuple[str, ...] = (),
) -> Series:
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
        damaged=damaged,
        modality=first.modality,
        study_date=first.study_date,
        date=first.date,
        identity=first.identity,
    )
    if problem:
        return replace(series, problem=f"{series.name} in {folder} {problem}")
    return replace(series, doubts=tuple(f"{series.name} {doubt}" for doubt in doubts))


def _apart(slices: list[Slice], key: Any) -> dict[str, list[Slice]]:
    parts: dict[str, list[Slice]] = {}
    for one in slices:
        parts.setdefault(key(one), []).append(one)
    return parts


def _echo(one: Slice) -> str:
    return f"TE {one.acquisition.echo_time or 0:g} ms"


def _kind(one: Slice) -> str:
    return " ".join(one.acquisition.image_type)


def _plane(one: Slice) -> str:
    """The plane that a slice is nearest to: GE puts several stacks into one series."""
    across = np.abs(np.cross(one.orientation[:3], one.orientation[3:])) if one.orientation else np.zeros(3)
    return ("sagittal", "coronal", "axial")[int(across.argmax())]


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
        frames = _decompressed(series, file, header) if header.file_meta.TransferSyntaxUID.is_compressed else header.pixel_array
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
            "install SimpleITK by pip install SimpleITK"
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
