"""Running `ldmseg` from a test: in this process where only the outcome matters, in one of its own where the process does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from LDMSegLib.cli.entry_point import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """Exit code, standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the standard error, which must be all there is: no traceback, nothing of the libraries."""
        lines = self.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and "Traceback" not in self.err, self.err
        return lines[0].removeprefix("error: ")


def run_here(capsys, *arguments: object) -> Ran:
    """In this process."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    return Ran(code, *capsys.readouterr())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "LDMSegLib", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """This process's, with the repository to import from and one thread; nothing of a user's own bundles."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LDMSEG_BUNDLES", "LDMSEG_DEBUG")}
    return {**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def run_process(*arguments: object, **more: str) -> Ran:
    """In a process of its own."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment(**more), timeout=300)
    return Ran(done.returncode, done.stdout, done.stderr)


def start_process(*arguments: object) -> subprocess.Popen:
    """In a process of its own that goes on while the test does; read its standard output line by line."""
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
