"""One file that is either the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from LDMSegLib.errors import OutputError

ADVICE = "free some space or choose another place"
STALE_SECONDS = 3600
"""Nothing is written for an hour; what is left unfinished for so long was left by a killed run."""


def check_file(path: str | Path, overwrite: bool = False) -> Path:
    """Say early, before any work, whether a file could be put at `path`.

    Returns:
        The absolute path, links resolved.

    Raises:
        OutputError: something is there that may not be replaced, or there is no folder that takes a file.
    """
    target = Path(path).expanduser().resolve()
    if target.is_dir():
        raise OutputError(f"the output '{target}' is a folder, expected a file; give a file's name with -o")
    if target.exists() and not overwrite:
        raise OutputError(f"the output '{target}' already exists; add --overwrite to replace it or choose another one with -o")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = _sibling(target)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _refused(target, error, "choose another place with -o or free some space") from None
    return target


@contextlib.contextmanager
def atomic_file(path: str | Path, advice: str = ADVICE, ending: str = ".part") -> Iterator[Path]:
    """Yield a hidden sibling to write into; it takes the file's name, replacing what was there, when the block ends well.

    Args:
        path: where the file is to be; its folder exists.
        advice: what to do where the disk refuses, the end of the sentence.
        ending: of the sibling's name, for writers that go by it.

    Raises:
        OutputError: it cannot be written; what was there is still there, and nothing else.
    """
    target = Path(path).expanduser().resolve()
    unfinished = _sibling(target, ending)
    try:
        for other in target.parent.glob(f".{target.name}.????????{ending}"):
            if time.time() - other.stat().st_mtime > STALE_SECONDS:
                other.unlink(missing_ok=True)
        yield unfinished
        flush_to_disk(unfinished)
        os.replace(unfinished, target)
    except OSError as error:
        raise _refused(target, error, advice) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_file(path: str | Path, content: str | bytes, advice: str = ADVICE) -> Path:
    """Write bytes, or a text as UTF-8, as `atomic_file` does; returns the absolute path."""
    with atomic_file(path, advice) as unfinished:
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace"))
    return Path(path).expanduser().resolve()


def flush_to_disk(path: Path) -> None:
    """Have a file's content, or a folder's list of names, on the disk before going on; Windows cannot flush a folder."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sibling(target: Path, ending: str = ".part") -> Path:
    return target.parent / f".{target.name}.{secrets.token_hex(4)}{ending}"


def _refused(target: Path, error: OSError, advice: str) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"'{target}' cannot be written ({reason}); {advice}")
