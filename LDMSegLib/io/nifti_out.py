"""One map to one NIfTI file on the reference's own grid.

The geometry (sform and qform fields and codes, voxel sizes, spatial unit) is taken from the reference's header field by
field, bytes unchanged; everything else in the header is our own. Neither the time nor the file's name is in the gzip
stream, so the same map gives the same bytes.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

COMPRESSION = 1
"""The level of gzip: nibabel's own; higher ones cost seconds and save little."""

LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL: viewers then show integers, not a grey ramp."""

_GEOMETRY = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)


def write_nifti(
    path: str | Path, data: np.ndarray, reference: nib.Nifti1Header | np.ndarray, intent: str, description: str, upper: float
) -> None:
    """Write one map as a single-file NIfTI (.nii or .nii.gz).

    Args:
        path: Ends in .nii or .nii.gz.
        data: (X, Y, Z), written in its own type; uint8 is taken for a label map.
        reference: Header of the image on whose grid the map lies (NIfTI-1 or -2, any byte order), or a (4, 4) affine,
            voxel to world RAS in mm.
        intent: What the map is, at most 15 letters (`intent_name`).
        description: One line, at most 79 letters (`descrip`).
        upper: The value a viewer should show as brightest (`cal_max`).

    Raises:
        ValueError: The map is not on the reference's grid.
        OSError: It cannot be written.
    """
    header = _header(data, reference)
    header["intent_code"] = LABEL_INTENT if data.dtype == np.uint8 else 0
    header["intent_name"] = intent.encode("ascii", "replace")[:15]
    header["descrip"] = description.encode("ascii", "replace")[:79]
    header["cal_max"] = upper
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    image = kind(data, None, header)
    # Our own streams: nibabel's stay open where writing fails, and then a full disk cannot be unmounted, nor its file removed on Windows.
    with Path(path).open("wb") as file:
        if str(path).endswith(".gz"):
            with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(file)


def _header(data: np.ndarray, reference: nib.Nifti1Header | np.ndarray) -> nib.Nifti1Header:
    if not isinstance(reference, np.ndarray):
        return _geometry_of(reference, data)
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_qform(reference, code="scanner")
    header.set_sform(reference, code="scanner")
    header.set_xyzt_units("mm")
    return header


def _geometry_of(reference: nib.Nifti1Header, data: np.ndarray) -> nib.Nifti1Header:
    if tuple(reference.get_data_shape()[:3]) != data.shape:
        raise ValueError(f"a map of shape {data.shape} is not on the reference's grid of shape {tuple(reference.get_data_shape()[:3])}")
    kind = nib.Nifti2Header if int(reference["sizeof_hdr"]) == 540 else nib.Nifti1Header
    header = kind(endianness=reference.endianness)
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    for name in _GEOMETRY:
        header[name] = reference[name]
    header["pixdim"][:4] = reference["pixdim"][:4]
    header["xyzt_units"] = int(reference["xyzt_units"]) & 0x07
    return header
