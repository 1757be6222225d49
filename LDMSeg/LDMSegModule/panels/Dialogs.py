"""Dialogs and desktop actions of the module."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer

TITLE = "LDMSeg"


class Dialogs:
    """The only place that opens windows."""

    def ask(self, text: str) -> bool:
        """Whether the user agrees."""
        return bool(slicer.util.confirmOkCancelDisplay(text, windowTitle=TITLE))

    def choose_folder(self, title: str) -> str:
        """A folder's path, "" where none was chosen."""
        return qt.QFileDialog.getExistingDirectory(None, title)

    def show(self, path: Path) -> None:
        """A file or a folder in the system's own viewer."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))
