"""The synthetic patient in Slicer's Sample Data, made on this computer."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from LDMSegModule.install.Installation import InstallationError
from LDMSegModule.install.Requirement import SAMPLE, Requirement
from LDMSegModule.process.BackgroundRun import BackgroundRun
from LDMSegModule.process.PythonCommand import PythonCommand
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunOutcome import RunOutcome

CATEGORY = "LDMSeg"
NAME = "LDMSegSyntheticPatient"
SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
_RECORD = "files.json"
_POLL_SECONDS = 0.05


class SampleError(Exception):
    """The patient could not be made; the message is one sentence."""


class PatientSample:
    """Makes the files by `ldmseg demo-patient` the first time, and loads them.

    The same seed gives the same patient, but not the same bytes on every system, so there is no checksum to publish; the
    files' own SHA-256 are kept beside them, and files that no longer fit are made again.
    """

    def __init__(
        self,
        python: PythonCommand,
        folder: Path,
        load: Callable[[Path, str], Any],
        wait: Callable[[], None],
        complain: Callable[[str], None],
        install: Callable[[Requirement], bool] | None = None,
    ) -> None:
        """Args:
        python: runs the command line.
        folder: where the files are kept; Slicer's cache.
        load: reads a NIfTI file into the scene under a name and returns the node (`slicer.util.loadVolume`).
        wait: called every moment while the files are made, so that Slicer stays alive (`slicer.app.processEvents`).
        complain: shows a sentence to the user (`slicer.util.errorDisplay`).
        install: asks for consent and installs a package that turns out to be missing (`Installation.install_one`);
            says whether it did, and may raise InstallationError.
        """
        self._python, self._folder, self._load = python, Path(folder), load
        self._wait, self._complain, self._install = wait, complain, install

    def register(self, sample_data: Any, thumbnail: Path | None = None) -> None:
        """Put it into the Sample Data module: `sample_data` is its `SampleDataLogic`.

        Each file is named relative to Slicer's cache and by an address of the place where it will lie: a script that asks Sample
        Data for the patient goes past the downloader, and finds the files once they have been made. How the files are to be loaded
        is not said: the name of that argument differs between versions of Slicer, and volumes are what is supposed without it.
        """
        files = [f"synthetic_patient_{name}.nii.gz" for name in SEQUENCES]
        sample_data.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=NAME,
            uris=[(self._folder.absolute() / file).as_uri() for file in files],
            fileNames=[f"{self._folder.name}/{file}" for file in files],
            nodeNames=[node_name(name) for name in SEQUENCES],
            thumbnailFileName=str(thumbnail) if thumbnail else None,
            customDownloader=self.download,
        )

    def download(self, source: Any = None) -> list[Any]:
        """What Sample Data calls: the four volume nodes, none where it failed (the user has then been told why)."""
        try:
            files = self.files()
        except SampleError as error:
            self._complain(str(error))
            return []
        return [self._load(files[name], node_name(name)) for name in SEQUENCES]

    def files(self) -> dict[str, Path]:
        """The four files by sequence; made where they are not there or not whole.

        Raises:
            SampleError: they could not be made.
        """
        kept = self._kept()
        if kept:
            return kept
        outcome = self._make()
        if outcome.missing_package == SAMPLE.package and self._obtained():
            outcome = self._make()
        if not outcome.has_result:
            raise SampleError(f"The synthetic patient could not be made. {outcome.sentence}")
        made = {name: Path(path) for name, path in outcome.result.get("files", {}).items()}
        if not set(SEQUENCES) <= made.keys():
            raise SampleError(f"The synthetic patient lacks a sequence; delete {self._folder} and try again.")
        self._record(made)
        return {name: made[name] for name in SEQUENCES}

    def _make(self) -> RunOutcome:
        run = BackgroundRun(self._python.ldmseg("demo-patient", "-o", str(self._folder)), self._python.environment, _Silent())
        run.start()
        while run.outcome is None:
            run.poll()
            self._wait()
            time.sleep(_POLL_SECONDS)
        return run.outcome

    def _obtained(self) -> bool:
        try:
            return self._install is not None and self._install(SAMPLE)
        except InstallationError as error:
            raise SampleError(str(error)) from error

    def _kept(self) -> dict[str, Path] | None:
        try:
            record = json.loads((self._folder / _RECORD).read_text(encoding="utf-8"))
            files = {name: self._folder / record[name]["file"] for name in SEQUENCES}
            whole = all(_sha256(files[name]) == record[name]["sha256"] for name in SEQUENCES)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return files if whole else None

    def _record(self, files: dict[str, Path]) -> None:
        record = {name: {"file": path.name, "sha256": _sha256(path)} for name, path in files.items() if path.parent == self._folder}
        (self._folder / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def node_name(sequence: str) -> str:
    """A name that says what it is, and by which the sequence is guessed."""
    return f"synthetic_patient_{sequence}"


class _Silent:
    def on_event(self, event: RunEvent) -> None: ...
    def on_end(self, outcome: RunOutcome) -> None: ...


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
