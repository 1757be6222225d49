"""What provenance.json says of one image that was read: by what it can be known again, and no folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.spatial.volume import Volume


def describe_input(sequence: str, path: str | Path, named: bool = True) -> dict[str, Any]:
    """Describe a file: which sequence, its name without the folders above it, size in bytes and SHA-256; the name only if `named`."""
    path = Path(path)
    name = {"file": path.name} if named else {}
    return {"sequence": sequence, **name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def describe_array(sequence: str, volume: Volume) -> dict[str, Any]:
    """Describe an image that came from memory; its SHA-256 is that of its voxels (float32, C order) and its affine (float64)."""
    array = np.ascontiguousarray(volume.array, dtype=np.float32)
    digest = hashlib.sha256(array.data)
    digest.update(np.ascontiguousarray(volume.affine, dtype=np.float64).data)
    return {"sequence": sequence, "from_memory": True, "bytes": array.nbytes, "sha256": digest.hexdigest()}
