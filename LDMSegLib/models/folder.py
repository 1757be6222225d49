"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from LDMSegLib.errors import OutputError


@contextmanager
def written_at_once(folder: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary sibling to write into; it takes the folder's name only when the block ends without an error.

    Args:
        folder: where the result is to be. Its parent is made where it is missing.
        overwrite: replace what is there. For the instant between two renames there is then nothing of that name.

    Raises:
        OutputError: something is already there, or the disk refuses.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  (links are not followed)
    partial = None
    try:
        # The first check saves the work; the second, below, holds when two runs write to the same place.
        if folder.exists() and not overwrite:
            raise _taken(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        partial.chmod(0o755)  # mkdtemp's 0o700 would hide a shared bundle from everyone else
        yield partial
        if not folder.exists():
            partial.rename(folder)
        elif overwrite:
            _replace(folder, partial)
        else:
            raise _taken(folder)
    except OSError as error:
        raise OutputError(
            f"'{folder}' cannot be written ({error.strerror or error}); choose a writable folder with enough space"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(folder: Path, partial: Path) -> None:
    old = partial.with_suffix(".old")
    folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def _taken(folder: Path) -> OutputError:
    return OutputError(f"'{folder}' already exists, expected a new folder; choose another or delete it first")
