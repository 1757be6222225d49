"""One map to one NIfTI file on the reference's own grid.

The geometry (sform and qform fields and codes, voxel sizes, spatial unit) is taken from the reference's header field by
field, bytes unchanged; everything else in the header is our own. Nothing in the file depends on the time or the
machine, so the same map gives the same bytes.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

COMPRESSION = 1
"""zlib level: on these maps, mostly zero, higher ones cost 2 to 10 times the time for a few per cent of the size."""

LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL: viewers then show integers, not a grey ramp."""

_GEOMETRY = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z"),
)
_BLOCK = 8 << 20


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
    with Path(path).open("wb") as file:
        if str(path).endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=file, mtime=0) as stream:
                _write(stream, header, data)
        else:
            _write(file, header, data)


def _header(data: np.ndarray, reference: nib.Nifti1Header | np.ndarray) -> nib.Nifti1Header:
    if isinstance(reference, np.ndarray):
        header = nib.Nifti1Header()
        _fill(header, data)
        header.set_qform(reference, code="scanner")
        header.set_sform(reference, code="scanner")
        header.set_xyzt_units("mm")
        return header
    if tuple(reference.get_data_shape()[:3]) != data.shape:
        raise ValueError(f"a map of shape {data.shape} is not on the reference's grid of shape {tuple(reference.get_data_shape()[:3])}")
    kind = nib.Nifti2Header if int(reference["sizeof_hdr"]) == 540 else nib.Nifti1Header
    header = kind(endianness=reference.endianness)
    _fill(header, data)
    for name in _GEOMETRY:
        header[name] = reference[name]
    header["pixdim"][:4] = reference["pixdim"][:4]
    header["xyzt_units"] = int(reference["xyzt_units"]) & 0x07
    return header


def _fill(header: nib.Nifti1Header, data: np.ndarray) -> None:
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header["scl_slope"], header["scl_inter"] = 1, 0
    header["vox_offset"] = header.single_vox_offset


def _write(stream, header: nib.Nifti1Header, data: np.ndarray) -> None:
    stream.write(header.binaryblock)
    stream.write(b"\0\0\0\0")  # no header extensions
    # x fastest: a block of z planes at a time keeps the transposed copy small
    planes = max(1, _BLOCK // max(1, data[..., 0].nbytes))
    for z in range(0, data.shape[2], planes):
        block = np.ascontiguousarray(data[..., z : z + planes].T, dtype=header.get_data_dtype())
        stream.write(memoryview(block).cast("B"))
