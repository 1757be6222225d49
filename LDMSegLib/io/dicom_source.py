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
    """What provenance.json says of one series: by what it can be known again, and nothing that leads to the patient.

    Its SHA-256 is that of all its files' bytes, one after the other; `files` has each file's own, `series_uid_sha256` that of its UID.
    """
    digest, size, files = hashlib.sha256(), 0, []
    for file in source.files:
        content = file.read_bytes()  # one slice, or one enhanced file
        digest.update(content)
        files.append(hashlib.sha256(content).hexdigest())
        size += len(content)
    return {
        "sequence": sequence,
        "series": source.name.replace(source.uid, "without a number"),
        "series_uid_sha256": hashlib.sha256(source.uid.encode()).hexdigest(),
        "files": files,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }
