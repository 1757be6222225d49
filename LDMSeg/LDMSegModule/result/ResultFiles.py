"""The folders that the results of this session were read from, while they exist."""

from __future__ import annotations

import shutil
from pathlib import Path

from LDMSegLib.errors import OutputError
from LDMSegModule.process.RunFolders import free_folder
from LDMSegModule.result.Result import Result

REPORT, PREPARATION = "report.png", "preparation.png"


class ResultFiles:
    """Knows the folder of each result that was loaded, and gives out what a scene doesn't hold."""

    def __init__(self) -> None:
        self._folders: list[tuple[Result, Path]] = []

    def remember(self, result: Result, folder: Path) -> None:
        """This result was read from that folder."""
        self._folders.append((result, Path(folder)))

    def folder(self, result: Result | None) -> Path | None:
        """Where a result's files lie; None where they are gone or it came with a saved scene."""
        for known, folder in self._folders:
            if result is not None and known.segmentation is result.segmentation and folder.is_dir():
                return folder
        return None

    def picture(self, result: Result | None, name: str) -> Path | None:
        """One of a result's pages, `REPORT` or `PREPARATION`; None where there is none."""
        folder = self.folder(result)
        return folder / name if folder is not None and (folder / name).is_file() else None

    def save(self, result: Result, parent: Path) -> Path:
        """Copy all files of a result into a new folder under `parent`; returns it. Nothing is overwritten.

        Raises:
            OutputError: The files are gone, or cannot be written there.
        """
        folder = self.folder(result)
        if folder is None:
            raise OutputError(
                f"the files of '{result.name}' are gone with the session that made them, expected them in Slicer's folder for temporary "
                "files; run the segmentation again, or save the scene, which holds all maps"
            )
        target = free_folder(Path(parent) / _file_name(result.name))
        try:
            shutil.copytree(folder, target)
        except OSError as error:  # of which shutil.Error, for several files at once, is one
            shutil.rmtree(target, ignore_errors=True)
            raise OutputError(
                f"the files of '{result.name}' cannot be saved in {parent} ({_reason(error)}), expected a folder of yours with some room; "
                "choose another"
            ) from None
        return target


def _file_name(name: str) -> str:
    """A name that every system takes for a folder."""
    return "".join("_" if c in '<>:"/\\|?*' or ord(c) < 32 else c for c in name).strip(" .") or "LDMSeg result"


def _reason(error: OSError) -> str:
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return str(error.args[0][0][-1])
    return (error.strerror or str(error)).lower()
