"""A label map as a DICOM Segmentation that refers to the series it was drawn on.

highdicom (optional extra "dicom") writes it: binary segments, one for each label, on the source series' own frames, with the
patient's and study's identity taken from there. Archives and viewers then show it over the right images.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib import __version__
from LDMSegLib.errors import InputError, OutputError
from LDMSegLib.results.file import check_file
from LDMSegLib.results.source import DicomSource
from LDMSegLib.specification import Label

# How far a voxel of the map may lie from the source's: more is another grid.
SAME_GRID_MM = 0.1
DISCLAIMER = "Research use only, not a medical device"
SERIES_NUMBER = 9900


def write_dicom_seg(
    path: str | Path,
    label_map: np.ndarray,
    affine: np.ndarray,
    labels: tuple[Label, ...],
    source_files: Sequence[str | Path],
    bundle: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a label map as one DICOM SEG file, whole or not at all; see `dicom_seg`.

    Args:
        path: of the file, usually ending in .dcm.
        label_map, affine, labels, source_files, bundle: see `dicom_seg`.
        overwrite: replace a file that is there.

    Returns:
        The file.

    Raises:
        InputError: see `dicom_seg`.
        OutputError: it cannot be written, or is there already.
    """
    target = check_file(path, overwrite)
    _save(dicom_seg(label_map, affine, labels, source_files, bundle), target)
    return target


def check_dicom_seg(source: DicomSource | None, sequence: str, target: Any) -> None:
    """Find out before a long computation whether its result can be written as DICOM SEG.

    Args:
        source: the series of the sequence, None where it came from no DICOM.
        sequence: whose grid the result will have.
        target: with that grid's `shape` and `affine` (voxel→world RAS mm).

    Raises:
        InputError: the image is not from DICOM, highdicom is not installed, or its series cannot be referred to.
    """
    if source is None:
        raise InputError(
            f"--dicom-seg was given, but {sequence} is not from DICOM, expected a DICOM folder as input; give it, or leave --dicom-seg out"
        )
    _, pydicom = _packages()
    _on_frames(np.zeros(target.shape, np.uint8), np.asarray(target.affine, float), _headers(pydicom, source.files))


def dicom_seg(
    label_map: np.ndarray,
    affine: np.ndarray,
    labels: tuple[Label, ...],
    source_files: Sequence[str | Path],
    bundle: str = "",
) -> bytes:
    """A label map as the content of one DICOM SEG file.

    Args:
        label_map: (X, Y, Z) uint8 in the labels' own values, on the grid of the source series; axes may be stored in any order
            and direction.
        affine: (4, 4) voxel→world RAS mm of the label map.
        labels: of the bundle's specification.
        source_files: every file of the series that the map was drawn on, classic (one image each) or one enhanced file.
        bundle: name of the model, for the record.

    Raises:
        InputError: highdicom is not installed, the source is no readable DICOM series, or the map is not on its grid.
    """
    highdicom, pydicom = _packages()
    headers = _headers(pydicom, source_files)
    stored = _on_frames(label_map, np.asarray(affine, float), headers)
    numbered = np.zeros_like(stored)
    for number, label in enumerate(labels, start=1):  # segments count from 1, whatever values the labels have
        numbered[stored == label.value] = number
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="LDMSeg", family=pydicom.sr.codedict.codes.cid7162.ArtificialIntelligence, version=__version__, parameters={"bundle": bundle}
    )
    segmentation = highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=numbered,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(highdicom, pydicom, n, label, algorithm) for n, label in enumerate(labels, start=1)],
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="LDMSeg",
        manufacturer_model_name=bundle[:64] or "LDMSeg",
        software_versions=__version__,
        device_serial_number="0",
        content_label="LDMSEG",
        content_description=DISCLAIMER,
        omit_empty_frames=bool(numbered.any()),
        series_description=f"LDMSeg tumour sub-regions. {DISCLAIMER}"[:64],
    )
    content = io.BytesIO()
    segmentation.save_as(content)
    return content.getvalue()


def _packages() -> tuple[Any, Any]:
    try:
        import highdicom  # optional extra, and slow to import
        import pydicom
        import pydicom.sr.codedict
    except ImportError:
        raise InputError(
            'writing DICOM SEG needs the package highdicom, which is not installed; install it by pip install "ldmseg[dicom]"'
        ) from None
    return highdicom, pydicom


def _headers(pydicom: Any, files: Sequence[str | Path]) -> list[Any]:
    if not files:
        raise InputError("no source series was given for the DICOM SEG, expected the files of the series; give the folder it lies in")
    headers = []
    for file in files:
        try:
            headers.append(pydicom.dcmread(file, stop_before_pixels=True))
        except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split())[:100]
            raise InputError(f"{file} is no readable DICOM ({reason}), expected a file of the source series; check it") from None
    if len({header.get("SeriesInstanceUID") for header in headers}) != 1:
        raise InputError(f"the source files ({files[0]} and others) belong to several series, expected one; give one series' files")
    return headers


def _on_frames(label_map: np.ndarray, affine: np.ndarray, headers: list[Any]) -> np.ndarray:
    """The map frame by frame, (frames, rows, columns), in the order of the source's frames."""
    affines = [found for header in headers for found in _frames(header)]
    rows, columns = int(headers[0].Rows), int(headers[0].Columns)
    inverse = np.linalg.inv(affine)
    frames = np.zeros((len(affines), rows, columns), np.uint8)
    u, v = np.meshgrid(np.arange(columns), np.arange(rows))
    ends = np.array([[0, 0, 0, 1], [columns - 1, 0, 0, 1], [0, rows - 1, 0, 1], [columns - 1, rows - 1, 0, 1]], float).T
    for k, frame in enumerate(affines):
        index = (inverse @ frame @ ends)[:3]
        whole = np.rint(index)
        off = np.linalg.norm(affine[:3, :3] @ (index - whole), axis=0).max()
        if off > SAME_GRID_MM or (whole < 0).any() or (whole >= np.array(label_map.shape)[:, None]).any():
            raise InputError(
                f"the label map of {'×'.join(map(str, label_map.shape))} voxels does not lie on the grid of the source series "
                f"({len(affines)} frames of {columns}×{rows}), expected a map on that grid; give the series it was drawn on"
            )
        step = inverse @ frame
        at = np.rint(step[:3, 0, None, None] * u + step[:3, 1, None, None] * v + step[:3, 3, None, None]).astype(int)
        frames[k] = label_map[tuple(at)]
    if len(affines) != label_map.size // (rows * columns):
        raise InputError(
            f"the source series has {len(affines)} frames, but the label map {label_map.size // (rows * columns)} slices, expected one for "
            "each; give every file of the series"
        )
    return frames


def _frames(header: Any) -> list[np.ndarray]:
    """(column, row, 0) → world RAS mm of each frame of a file."""
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if not groups:
        return [_affine(header.ImagePositionPatient, header.ImageOrientationPatient, header.PixelSpacing)]
    shared = header.SharedFunctionalGroupsSequence[0]

    def of(own: Any, group: str, name: str) -> Any:
        return getattr((own if group in own else shared)[group][0], name)

    return [
        _affine(
            of(own, "PlanePositionSequence", "ImagePositionPatient"),
            of(own, "PlaneOrientationSequence", "ImageOrientationPatient"),
            of(own, "PixelMeasuresSequence", "PixelSpacing"),
        )
        for own in groups
    ]


def _affine(position: Any, orientation: Any, spacing: Any) -> np.ndarray:
    affine = np.eye(4)
    turn = np.array(orientation, float)
    affine[:3, 0], affine[:3, 1] = turn[:3] * float(spacing[1]), turn[3:] * float(spacing[0])
    affine[:3, 2], affine[:3, 3] = np.cross(turn[:3], turn[3:]), np.array(position, float)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's LPS to RAS


def _segment(highdicom: Any, pydicom: Any, number: int, label: Label, algorithm: Any) -> Any:
    coded = label.terminology
    kind = (
        highdicom.sr.CodedConcept(coded["code"], coded["scheme"], coded["meaning"])
        if coded
        else highdicom.sr.CodedConcept(label.name, "99LDMSEG", label.title)
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name,
        segmented_property_category=highdicom.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        segmented_property_type=kind,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        display_color=highdicom.color.CIELabColor.from_rgb(*label.color),
    )


def _save(content: bytes, target: Path) -> None:
    unfinished = target.parent / f".{target.name}.{os.getpid()}"
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, target)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"'{target}' cannot be written ({reason}); choose another place or free some space") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
