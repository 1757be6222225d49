"""The files that a case is made of, known again by their content: whether a result still is that of what lies there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError
from LDMSegLib.io.endings import IMAGES
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.sequences.naming import NOT_AN_IMAGE, find_case, tokens
from LDMSegLib.specification import Sequence


def content_sha256(case: Path) -> str:
    """One SHA-256 for all images of a case, whatever they are called: of the hashes of its files' bytes, in order of the hashes.

    Args:
        case: its folder; or what the names of its files begin with, where cases lie side by side in one folder.
    """
    digest = hashlib.sha256()
    for one in sorted(file_sha256(file) for file in _images(case)):
        digest.update(one.encode())
    return digest.hexdigest()


def same_inputs(record: Mapping[str, Any], case: Path, sequences: tuple[Sequence, ...]) -> bool:
    """Whether a result was made of what a case holds now.

    Args:
        record: the result's provenance.json. `preparing.case_sha256` is what `content_sha256` was then. Where the case holds another
            image more, or the result does not say it, the NIfTI files that would be read now decide.
        case: as `content_sha256` takes it.
        sequences: of the bundle's specification.
    """
    preparing = record.get("preparing")
    before = preparing.get("case_sha256") if isinstance(preparing, Mapping) else None
    if before and before == content_sha256(case):
        return True
    was = {one.get("sequence"): one.get("sha256") for one in record.get("inputs", ()) if isinstance(one, Mapping)}
    try:
        return was == {name: file_sha256(file) for name, file in find_case(case, sequences).items()}
    except InputError:
        return False  # DICOM; or files that nobody can tell apart any more, which is said where they are read


def _images(case: Path) -> list[Path]:
    """Images by their names, masks and results apart, and DICOM files by their content."""
    from LDMSegLib.io.dicom_slices import looks_like_dicom  # with the rest of DICOM: not before it is needed

    among = case.rglob("*") if case.is_dir() else case.parent.glob("*")
    files = [file for file in among if not file.name.startswith(".") and file.is_file()]
    if not case.is_dir():
        files = [file for file in files if file.name.startswith(case.name)]

    def image(file: Path) -> bool:
        if file.name.lower().endswith(IMAGES):
            return not set(tokens(file)) & NOT_AN_IMAGE
        return looks_like_dicom(file)

    return [file for file in files if image(file)]
