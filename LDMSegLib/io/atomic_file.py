"""One file that is either the old one or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from LDMSegLib.errors import OutputError


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
        raise _refused(target, error) from None
    return target


def write_file(path: str | Path, text: str) -> Path:
    """Write a text as UTF-8, beside its place first and then into it; what was there is replaced.

    Raises:
        OutputError: it cannot be written; what was there is still there.
    """
    target = Path(path).expanduser().resolve()
    unfinished = _sibling(target)
    try:
        with unfinished.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        raise _refused(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return target


def _sibling(target: Path) -> Path:
    return target.parent / f".{target.name}.{secrets.token_hex(4)}"


def _refused(target: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"'{target}' cannot be written ({reason}); choose another place with -o or free some space")
