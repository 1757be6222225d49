"""NIfTI files read and written without a package that Slicer doesn't have before the first installation.

Slicer's own reader and writer go through ITK, which refuses or straightens sheared grids, turns axes into LPS and back, and
reads one file at a time. A result folder holds seven maps; here they are decompressed side by side.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.atomic_file import atomic_file
from LDMSegLib.spatial.affine import spacing_of

_TYPES = {
    **{2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"},
}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}
_SCANNER = 1
_MILLIMETRES = 2


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """One image as in its file.

    Attributes:
        array: (Z, Y, X), as Slicer orders voxels: the file's own order, nothing is moved.
        affine: (4, 4), voxel (i, j, k) to world RAS in mm: the sform, else the qform, as nibabel chooses.
    """

    array: np.ndarray
    affine: np.ndarray

    @classmethod
    def read(cls, path: str | Path) -> NiftiFile:
        """Read a .nii or .nii.gz file with one image of three axes.

        Raises:
            InputError: Not there, cut off, or not such an image.
        """
        path = Path(path)
        try:
            raw = path.read_bytes()
            data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or "the file is damaged"
            raise InputError(f"{path} cannot be read ({reason}), expected a NIfTI file; check it or make it again") from None
        try:
            return cls(*_parse(data))
        except (struct.error, ValueError, KeyError) as error:
            raise InputError(f"{path} is not a NIfTI image of three axes ({error}); check it or make it again") from None

    def write(self, path: str | Path) -> None:
        """Write the image uncompressed (or compressed where the name ends in .gz); the file appears whole or not at all.

        Raises:
            OutputError: No space or no permission.
        """
        opener = gzip.open if str(path).endswith(".gz") else open
        advice = "free some space or choose another folder for temporary files in Slicer's settings"
        with atomic_file(path, advice) as unfinished, opener(unfinished, "wb") as file:
            file.write(_header(self.array, self.affine))
            file.write(memoryview(np.ascontiguousarray(self.array)).cast("B"))


def _parse(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    order = "<" if struct.unpack_from("<i", data)[0] in (348, 540) else ">"
    size = struct.unpack_from(order + "i", data)[0]
    if size == 348:
        dim = struct.unpack_from(order + "8h", data, 40)
        code = struct.unpack_from(order + "h", data, 70)[0]
        pixdim = struct.unpack_from(order + "8f", data, 76)
        offset, slope, intercept = struct.unpack_from(order + "3f", data, 108)
        qform, sform = struct.unpack_from(order + "2h", data, 252)
        quaternion = struct.unpack_from(order + "6f", data, 256)
        rows = struct.unpack_from(order + "12f", data, 280)
    elif size == 540:
        code = struct.unpack_from(order + "h", data, 12)[0]
        dim = struct.unpack_from(order + "8q", data, 16)
        pixdim = struct.unpack_from(order + "8d", data, 104)
        offset, slope, intercept = struct.unpack_from(order + "q2d", data, 168)
        qform, sform = struct.unpack_from(order + "2i", data, 344)
        quaternion = struct.unpack_from(order + "6d", data, 352)
        rows = struct.unpack_from(order + "12d", data, 400)
    else:
        raise ValueError(f"its header starts with {size}, expected 348 or 540")
    if any(n > 1 for n in dim[4 : dim[0] + 1]) or dim[0] < 3:
        raise ValueError(f"it has {dim[0]} axes")
    shape = tuple(int(n) for n in dim[1:4])
    array = np.frombuffer(data, np.dtype(_TYPES[code]).newbyteorder(order), int(np.prod(shape)), int(offset)).reshape(shape[::-1])
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if (slope not in (0.0, 1.0) or (slope and intercept)) and np.isfinite(slope):
        array = (array * slope + intercept).astype(np.float32)
    if sform > 0:
        affine = np.vstack([np.reshape(rows, (3, 4)), (0, 0, 0, 1)]).astype(np.float64)
    elif qform > 0:
        affine = _from_quaternion(quaternion, pixdim)
    else:
        affine = np.diag([*pixdim[1:4], 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
        affine[0] *= -1  # as nibabel does for a header that says nothing: the first axis runs to the left
    return array, affine


def _from_quaternion(values: tuple[float, ...], pixdim: tuple[float, ...]) -> np.ndarray:
    b, c, d = (float(v) for v in values[:3])
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn * (pixdim[1], pixdim[2], pixdim[3] * (-1.0 if pixdim[0] < 0 else 1.0))
    affine[:3, 3] = values[3:]
    return affine


def _header(array: np.ndarray, affine: np.ndarray) -> bytes:
    """352 bytes: a NIfTI-1 header whose sform holds the affine, and four zeros that say no extension follows."""
    header = bytearray(352)
    shape = array.shape[::-1]
    spacing = spacing_of(affine)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, _CODES[array.dtype], 8 * array.dtype.itemsize)
    struct.pack_into("<8f", header, 76, 1, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352, 1, 0)
    struct.pack_into("<B", header, 123, _MILLIMETRES)
    struct.pack_into("<2h", header, 252, 0, _SCANNER)
    struct.pack_into("<12f", header, 280, *affine[:3].ravel())
    struct.pack_into("<4s", header, 344, b"n+1\0")
    return bytes(header)
