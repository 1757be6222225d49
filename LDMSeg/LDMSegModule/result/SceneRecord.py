"""What of a run's record goes into the scene, which is saved, sent and published: nothing that says whose images they were or where
they lay.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

DROPPED = {"case", "case_id", "path", "paths", "folder", "folders", "directory", "file", "files", "filename", "source", "sources", "output"}
"""Names of values that hold a path or a name a person gave: in an archive, often the patient's."""

PLACE = "…"
"""Stands for a path or the name of an image's file in a sentence."""

_UID = re.compile(r"(?<![\w.])[0-2](?:\.(?:0|[1-9]\d*)){5,}(?![\w.]*\w)")
# From the root, a drive, a server or the home folder to the end of the word, or to the closing quote where there is one.
_START = r"(?:file:/+|[A-Za-z]:[\\/]|\\\\|~[\\/]|/)"
_QUOTED = re.compile(rf"(?P<quote>['\"])(?:{_START}).*?(?P=quote)(?!\w)")
_PATH = re.compile(rf"(?<![\w/\\.:<])(?:{_START})(?=\S*[\w])[^\s'\"<>|]*[^\s'\"<>|,;:.)\]]")


_IMAGE = r"\.(?:nii(?:\.gz)?|nrrd|nhdr|mha|mhd|mgz|mgh|img|hdr|dcm|ima|zip|tar(?:\.gz)?)"
_QUOTED_FILE = re.compile(rf"(?P<quote>['\"])[^'\"]*{_IMAGE}(?P=quote)", re.IGNORECASE)
_FILE = re.compile(rf"[^\s'\"(),;:]+{_IMAGE}\b", re.IGNORECASE)
_NOTHING_BUT_A_FILE = re.compile(rf".*{_IMAGE}", re.IGNORECASE)


def for_scene(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without the values named in `DROPPED`, without paths and names of image files in sentences, and with a hash for
    each DICOM UID.

    Two runs on one series have the same hash, so results can still be matched. Numbers and all other text stay.
    """
    return {name: _without(value) for name, value in record.items() if not _dropped(name, value)}


def sentence_for_scene(text: str) -> str:
    """One sentence, likewise."""
    text = _UID.sub(lambda found: _hashed(found.group()), text)
    text = _QUOTED.sub(lambda found: f"{found['quote']}{PLACE}{found['quote']}", text)
    text = _QUOTED_FILE.sub(lambda found: f"{found['quote']}{PLACE}{found['quote']}", _PATH.sub(PLACE, text))
    return PLACE if _NOTHING_BUT_A_FILE.fullmatch(text) else _FILE.sub(PLACE, text)


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return for_scene(value)
    if isinstance(value, (list, tuple)):
        return [_without(item) for item in value]
    return sentence_for_scene(value) if isinstance(value, str) else value


def _dropped(name: str, value: Any) -> bool:
    """The hashes of a result's own files have such a name too, and stay: their keys are names that the program gave."""
    return name.lower() in DROPPED and not (name == "files" and isinstance(value, Mapping))


def _hashed(uid: str) -> str:
    return f"uid-sha256:{hashlib.sha256(uid.encode()).hexdigest()[:16]}"
