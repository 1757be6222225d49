"""Real DICOM files for tests, written by pydicom from synthetic arrays into temporary folders."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

STUDY, FRAME = generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["frame"])


def head(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A synthetic uint16 volume (columns, rows, slices): a lopsided ball with noise, so that every flip shows."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    ball = (x**2 + y**2 + z**2 < 0.8) * (300 + 100 * x + 60 * y + 30 * z)
    return np.rint(ball + np.random.default_rng(seed).uniform(0, 20, shape)).astype(np.uint16)


def write_series(
    folder: Path,
    array: np.ndarray,
    affine: np.ndarray,
    description: str = "AX T1",
    number: int = 1,
    patient: str = "P1",
    **tags: Any,
) -> list[Path]:
    """Write a volume as one classic MR series.

    Args:
        folder: made if it isn't there.
        array: (columns, rows, slices) uint16.
        affine: voxel→world RAS mm.
        description, number, patient: of the series.
        tags: further DICOM keywords, e.g. EchoTime=90.

    Returns:
        The files, in slice order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    uid = generate_uid(entropy_srcs=[description, str(number), patient])
    files = []
    for k in range(array.shape[2]):
        item = _image(uid, k, description, number, patient)
        item.Rows, item.Columns = array.shape[1], array.shape[0]
        item.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        item.SliceThickness = float(spacing[2])
        item.ImageOrientationPatient = [round(float(v), 9) for v in (*lps[:3, 0] / spacing[0], *lps[:3, 1] / spacing[1])]
        item.ImagePositionPatient = [round(float(v), 6) for v in lps[:3, 3] + k * lps[:3, 2]]
        for name, value in tags.items():
            setattr(item, name, value)
        item.PixelData = np.ascontiguousarray(array[:, :, k].T).tobytes()
        files.append(folder / f"{number}_{k:03d}")  # as many archives do: without an ending
        item.save_as(files[-1], enforce_file_format=True)
    return files


def write_enhanced(file: Path, array: np.ndarray, affine: np.ndarray, slope: float = 1.0, **tags: Any) -> Path:
    """Write a volume (columns, rows, slices) as one Enhanced MR file, its frames in reverse order of place."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    item = _image(generate_uid(entropy_srcs=[str(file)]), 0, "ENHANCED", 1, "P1")
    item.SOPClassUID = item.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    item.Rows, item.Columns, item.NumberOfFrames = array.shape[1], array.shape[0], array.shape[2]
    shared, orientation, measures, values, echo = (Dataset() for _ in range(5))
    orientation.ImageOrientationPatient = [round(float(v), 9) for v in (*lps[:3, 0] / spacing[0], *lps[:3, 1] / spacing[1])]
    measures.PixelSpacing, measures.SliceThickness = [float(spacing[1]), float(spacing[0])], float(spacing[2])
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 0.0, "US"
    echo.EffectiveEchoTime = tags.pop("EchoTime", 10.0)
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    shared.PixelValueTransformationSequence, shared.MREchoSequence = [values], [echo]
    item.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in reversed(range(array.shape[2])):
        own, place = Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(v), 6) for v in lps[:3, 3] + k * lps[:3, 2]]
        own.PlanePositionSequence = [place]
        frames.append(own)
    item.PerFrameFunctionalGroupsSequence = frames
    for name, value in tags.items():
        setattr(item, name, value)
    item.PixelData = np.ascontiguousarray(array[:, :, ::-1].T).tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    item.save_as(file, enforce_file_format=True)
    return file


def change(file: Path, **tags: Any) -> None:
    """Set tags of one written file; None removes one."""
    item = pydicom.dcmread(file)
    for name, value in tags.items():
        if value is None:
            delattr(item, name)
        else:
            setattr(item, name, value)
    item.save_as(file, enforce_file_format=True)


def change_anyhow(file: Path, **tags: Any) -> None:
    """Set tags of one written file, be the values legal or not; bytes are written as they are, whatever the character set."""
    item = pydicom.dcmread(file)
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        for name, value in tags.items():
            tag = tag_for_keyword(name)
            if isinstance(value, bytes):
                value = RawDataElement(tag, dictionary_VR(tag), len(value), value + b" " * (len(value) % 2), 0, False, True)
                item[tag] = value
            else:
                setattr(item, name, value)
        item.save_as(file, enforce_file_format=True)


def _image(series: str, k: int, description: str, number: int, patient: str) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(k)])
    item = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    item.SOPClassUID, item.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    item.StudyInstanceUID, item.SeriesInstanceUID, item.FrameOfReferenceUID = STUDY, series, FRAME
    item.PatientID, item.PatientName, item.PatientBirthDate, item.PatientSex = patient, "SYNTHETIC", "", ""
    item.StudyDate = item.StudyTime = item.AccessionNumber = item.StudyID = item.ReferringPhysicianName = ""
    item.PositionReferenceIndicator, item.Manufacturer, item.Laterality = "", "", ""
    item.Modality, item.SeriesNumber, item.SeriesDescription, item.InstanceNumber = "MR", number, description, k + 1
    item.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
    item.BitsAllocated, item.BitsStored, item.HighBit, item.PixelRepresentation = 16, 16, 15, 0
    return item
