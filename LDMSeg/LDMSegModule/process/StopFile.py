"""The file by which a background process is asked to stop (see `LDMSegLib.cli.stop_file`), on all systems alike."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from LDMSegLib.cli.stop_file import VARIABLE


class StopFile:
    """A file that is not there yet, in a folder of its own, so that nobody else can make it.

    It reaches whoever inherits the environment, also behind a launcher such as PythonSlicer.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="LDMSeg-stop-"))
        self._file = self._folder / "stop"

    def known_in(self, environment: Mapping[str, str]) -> dict[str, str]:
        """That environment, with the file's path in it."""
        return {**environment, VARIABLE: str(self._file)}

    def make(self) -> None:
        """Ask."""
        with contextlib.suppress(OSError):  # no room for even an empty file: then the process is not long for this world either
            os.close(os.open(self._file, os.O_CREAT | os.O_WRONLY))

    def remove(self) -> None:
        """After the end of the process; may be called again."""
        shutil.rmtree(self._folder, ignore_errors=True)
