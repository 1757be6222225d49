"""Which DICOM series an image came from, for the provenance and for what refers to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DicomSource:
    """`name` is for a person, `uid` the SeriesInstanceUID, `files` are all its files in slice order."""

    name: str
    uid: str
    files: tuple[Path, ...]


def describe_source(sequence: str, source: DicomSource) -> dict[str, Any]:
    """What provenance.json says of one series; its SHA-256 is that of all its files' bytes, one after the other."""
    digest, size = hashlib.sha256(), 0
    for file in source.files:
        content = file.read_bytes()  # one slice, or one enhanced file
        digest.update(content)
        size += len(content)
    return {
        "sequence": sequence,
        "series": source.name,
        "series_instance_uid": source.uid,
        "path": str(source.files[0].parent),
        "files": [file.name for file in source.files],
        "bytes": size,
        "sha256": digest.hexdigest(),
    }
