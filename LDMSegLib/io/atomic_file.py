"""One file that is either the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from LDMSegLib.errors import OutputError

ADVICE = "choose another place with -o or free some space"


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
        raise _refused(target, error, ADVICE) from None
    return target


@contextlib.contextmanager
def atomic_file(path: str | Path, advice: str = ADVICE) -> Iterator[Path]:
    """Yield a hidden sibling to write into; it takes the file's name, replacing what was there, when the block ends well.

    The sibling's name ends as the file's does, for writers that go by the ending.

    Args:
        path: where the file is to be; its folder exists.
        advice: what to do where the disk refuses, the end of the sentence.

    Raises:
        OutputError: it cannot be written; what was there is still there, and nothing else.
    """
    target = Path(path).expanduser().resolve()
    unfinished = _sibling(target)
    try:
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


def _sibling(target: Path) -> Path:
    return target.parent / f".{secrets.token_hex(4)}.{target.name}"


def _refused(target: Path, error: OSError, advice: str) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"'{target}' cannot be written ({reason}); {advice}")
