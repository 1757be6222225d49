"""Temporary folders for the inputs and results of runs."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from LDMSegLib.errors import OutputError


def free_folder(folder: Path) -> Path:
    """Return this folder, or the first "… 2", "… 3" that does not exist yet."""
    number, candidate = 1, folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name} {number}")
    return candidate


class RunFolders:
    """Makes a folder for each run and removes them all again: they hold a patient's images."""

    def __init__(self, parent: str | Path) -> None:
        """`parent` is the application's folder for temporary files; it is made where it is missing."""
        self._parent = Path(parent)
        self._made: list[Path] = []

    def new(self) -> Path:
        """An empty folder.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="LDMSeg-", dir=self._parent))
        except OSError as error:
            raise OutputError(
                f"the folder for temporary files, {self._parent}, cannot be written ({(error.strerror or str(error)).lower()}), expected "
                "room for a few hundred MB; free some space or choose another one in Slicer's settings"
            ) from None
        self._made.append(folder)
        return folder

    def remove(self, folder: Path | None) -> None:
        """Remove one; nothing happens when it is gone."""
        if folder in self._made:
            self._made.remove(folder)
            shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove all that are left."""
        for folder in list(self._made):
            with contextlib.suppress(OSError):
                self.remove(folder)
