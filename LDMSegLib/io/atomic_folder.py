"""A folder, of a result or a bundle, that is either complete or not there.

Everything is written into a hidden sibling, flushed to the disk and renamed into place, so a killed process leaves the
old one or none. A result only ever replaces a folder that is empty, or that holds nothing but an earlier result of ours:
a user's other files are never removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from LDMSegLib import GENERATOR
from LDMSegLib.errors import OutputError
from LDMSegLib.io.atomic_file import flush_to_disk

PROVENANCE = "provenance.json"
STALE_SECONDS = 3600
"""A temporary folder lives for the seconds that writing takes; one untouched for an hour was left by a killed run."""

_NOT_OURS_TO_MIND = {".DS_Store", "Thumbs.db", "desktop.ini"}


def check_output(folder: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """Say early, before any work, whether a result could be put at `folder`.

    Args:
        folder: Where the result is to be; it need not exist, nor its parents.
        overwrite: Whether an earlier result of ours there may be replaced.

    Returns:
        The absolute path, links resolved.

    Raises:
        OutputError: It may not be replaced, or it cannot be written.
    """
    target = Path(folder).expanduser().resolve()
    _recover(target)
    _refuse_to_replace(target, overwrite)
    ancestor = target.parent
    while not ancestor.exists() and ancestor != ancestor.parent:
        ancestor = ancestor.parent
    if not ancestor.is_dir():
        raise OutputError(f"the output folder '{target}' cannot be made because '{ancestor}' is not a folder; choose another one with -o")
    try:
        # a real attempt: permission bits do not tell about network shares, quotas and read-only file systems
        probe = ancestor / _sibling(target, "new").name
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"the output folder '{target}' cannot be written ({_reason(error)}); choose another one with -o or free the way"
        ) from None
    return target


@contextlib.contextmanager
def result_folder(folder: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder to write into, put in place as `folder` when the block ends well and removed when it does not.

    The block must write a provenance.json that names us as generator and lists the other files under "files": by that
    the folder is known as ours later.

    Args:
        folder: Where the result is to be.
        overwrite: Whether an earlier result of ours there may be replaced.

    Yields:
        The folder to write into, on the same file system.

    Raises:
        OutputError: It may not be replaced or cannot be written (disk full, no permission); nothing is left behind.
    """
    target = check_output(folder, overwrite)
    with _put_in_place(target, lambda: _refuse_to_replace(target, overwrite), "choose another folder with -o") as temporary:
        yield temporary


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """As `result_folder`, for a folder of any content: with `overwrite` it replaces whatever is there.

    Raises:
        OutputError: something is already there, or it cannot be written; nothing is left behind.
    """
    target = Path(os.path.abspath(folder))  # noqa: PTH100 -- resolve() would follow a link that is to be replaced

    def refuse() -> None:
        if os.path.lexists(target) and not overwrite:
            raise OutputError(f"'{target}' already exists, expected a new folder; choose another or delete it first")

    refuse()
    with _put_in_place(target, refuse, "choose another folder") as temporary:
        yield temporary


def is_result(folder: Path) -> bool:
    """Whether the folder carries a provenance.json of ours."""
    return _listed_files(folder) is not None


def _refuse_to_replace(target: Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise OutputError(f"the output '{target}' is a file, expected a folder; choose another one with -o")
    try:
        present = {entry.name for entry in target.iterdir()} - _NOT_OURS_TO_MIND
    except OSError as error:
        raise OutputError(f"the output folder '{target}' cannot be read ({_reason(error)}); choose another one with -o") from None
    if Path.cwd().is_relative_to(target):
        raise OutputError(
            f"the output folder '{target}' is the one you are working in, which cannot be replaced under you; "
            f"give a folder inside it, e.g. '{target / 'result'}'"
        )
    if os.path.ismount(target):
        raise OutputError(
            f"the output folder '{target}' is a mount point, which cannot be put in place in one step; "
            f"give a folder inside it, e.g. '{target / 'result'}'"
        )
    if not present:
        return
    listed = _listed_files(target)
    if listed is None:
        raise OutputError(
            f"the output folder '{target}' holds other files (e.g. '{min(present)}') and not a result of LDMSeg, so it is never replaced; "
            "choose an empty or new folder with -o"
        )
    foreign = sorted(present - listed - {PROVENANCE})
    if foreign:
        raise OutputError(
            f"the output folder '{target}' holds '{foreign[0]}' besides an earlier result, so it is not replaced; "
            "move that away or choose another folder with -o"
        )
    if not overwrite:
        raise OutputError(
            f"the output folder '{target}' already holds a result; add --overwrite to replace it or choose another one with -o"
        )


def _listed_files(folder: Path) -> set[str] | None:
    try:
        record = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("generator") != GENERATOR:
        return None
    files = record.get("files", [])
    return {str(name) for name in files} if isinstance(files, (list, dict)) else set()


def _prefix(target: Path, kind: str) -> str:
    return f".{target.name}.ldmseg-{kind}-"


def _sibling(target: Path, kind: str) -> Path:
    # not tempfile.mkdtemp: that makes a private folder, and a result should follow the user's own permissions
    return target.parent / f"{_prefix(target, kind)}{secrets.token_hex(4)}"


def _recover(target: Path) -> None:
    """Clean up after a run that was killed while writing here."""
    if not target.parent.is_dir():
        return
    old_prefix, new_prefix = _prefix(target, "old"), _prefix(target, "new")
    with contextlib.suppress(OSError):
        for entry in sorted(target.parent.iterdir()):
            if entry.name.startswith(old_prefix) and not os.path.lexists(target):
                entry.rename(target)  # killed between the two renames: the old result is still the result
            elif entry.name.startswith((old_prefix, new_prefix)) and time.time() - entry.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)


def _make_parents(target: Path, advice: str) -> list[Path]:
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{target}' cannot be written, as its folder cannot be made ({_reason(error)}); {advice}") from None
    return missing


@contextlib.contextmanager
def _put_in_place(target: Path, refuse: Callable[[], None], advice: str) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well; `refuse` raises where that may not be replaced."""
    made = _make_parents(target, advice)
    temporary = _sibling(target, "new")
    try:
        temporary.mkdir()
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            flush_to_disk(path)
        # looked at again: the work took minutes, and something may have been put there meanwhile
        refuse()
        _exchange(temporary, target)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise OutputError(
                f"'{target}' cannot be written ({_reason(error)}) and nothing was left there; free some space or {advice}"
            ) from error
        raise


def _exchange(temporary: Path, target: Path) -> None:
    if not os.path.lexists(target):
        temporary.rename(target)
    else:
        aside = _sibling(target, "old")
        target.rename(aside)
        try:
            temporary.rename(target)
        except OSError:
            aside.rename(target)
            raise
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.unlink()
    flush_to_disk(target.parent)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
