"""Which Python runs `-m LDMSegLib`, and in which environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import LDMSegLib

JSON_EVENTS = "--json-events"


@dataclass(frozen=True)
class PythonCommand:
    """A Python executable and the whole environment it is to run in; LDMSegLib is importable there.

    In Slicer this is PythonSlicer, started as Slicer itself was: Slicer's own settings of the library path would otherwise
    reach a process that sets them again. Elsewhere it is the interpreter that runs us.
    """

    executable: str
    environment: Mapping[str, str] = field(repr=False)  # may hold a user's secrets; never logged

    @classmethod
    def find(cls, startup_environment: Callable[[], Mapping[str, str]] | None = None) -> PythonCommand:
        """PythonSlicer where it is on the path, with the environment that `startup_environment` gives (in Slicer
        `slicer.util.startupEnvironment`), else this interpreter with this process's environment.
        """
        slicers = shutil.which("PythonSlicer")
        if slicers is None:
            return cls.of(sys.executable, os.environ)
        return cls.of(slicers, startup_environment() if startup_environment else os.environ)

    @classmethod
    def of(cls, executable: str, environment: Mapping[str, str]) -> PythonCommand:
        """That executable, in that environment and with what we need of it added."""
        paths = [str(library_folder()), *filter(None, [environment.get("PYTHONPATH")])]
        added = {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONIOENCODING": "utf-8:replace",  # Windows would write the log in the console's old code page
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",  # or a file of the folder that Slicer was started in would pass for a module
        }
        return cls(executable, {**environment, **added})

    def ldmseg(self, *arguments: str) -> list[str]:
        """The command line of `ldmseg ARGUMENTS --json-events`."""
        return [self.executable, "-m", "LDMSegLib", *arguments, JSON_EVENTS]

    def script(self, path: str | Path, *arguments: str) -> list[str]:
        """The command line that runs a file."""
        return [self.executable, str(path), *arguments]


def library_folder() -> Path:
    """The folder that holds the package LDMSegLib: the module's own when installed, the repository's root in a clone."""
    return Path(LDMSegLib.__file__).resolve().parents[1]
