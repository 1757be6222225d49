"""Find out which packages are missing or broken, ask for consent, and install them."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from LDMSegModule.install import TrialImport
from LDMSegModule.install.Installed import Installed
from LDMSegModule.install.Obstacle import obstacle
from LDMSegModule.install.Requirement import BASE, OPTIONAL, TORCH, Requirement
from LDMSegModule.process.BackgroundRun import BackgroundRun
from LDMSegModule.process.PythonCommand import PythonCommand
from LDMSegModule.process.RunEvent import RESULT, STAGE, RunEvent
from LDMSegModule.process.RunOutcome import FAILED, RunOutcome

ARCHIVES = ("*.whl", "*.tar.gz", "*.zip")


class InstallationError(Exception):
    """An installation cannot be begun, or failed; the message is one sentence."""


class Installer(Protocol):
    """Who really installs: Slicer's own functions, see `SlicerInstaller`."""

    def install_torch(self, specifier: str) -> None:
        """Through the PyTorch extension. Raises InstallationError."""

    def install(self, arguments: Sequence[str]) -> None:
        """`pip install ARGUMENTS`. Raises InstallationError."""


class Installation:
    """What the background process needs, and how it gets there.

    `absent()` looks without importing (a millisecond, for opening the panel); `start_check` and `check` import everything in
    a process of its own, which finds what is broken too.
    """

    def __init__(
        self,
        python: PythonCommand,
        installer: Installer,
        requirements: Sequence[Requirement] = BASE,
        obstacle: Callable[[Installed], str] = obstacle,
    ) -> None:
        self._python, self._installer, self._requirements = python, installer, tuple(requirements)
        self.obstacle = obstacle
        """What is installed → why the rest cannot be installed in this Slicer at all; "" where it can."""

    def want(self, package: str) -> bool:
        """Count an optional package in from now on, because a run said that it is missing (`RunOutcome.missing_package`).

        Returns:
            Whether it is one that can be installed here.
        """
        known = {name: optional for optional in OPTIONAL for name in (optional.package, optional.module)}
        if package in known and known[package] not in self._requirements:
            self._requirements = (*self._requirements, known[package])
        return any(package in (requirement.package, requirement.module) for requirement in self._requirements)

    def absent(self) -> tuple[Requirement, ...]:
        """What cannot even be found by this process, which shares its packages with the background process."""
        importlib.invalidate_caches()
        return tuple(requirement for requirement in self._requirements if not self.has(requirement))

    def has(self, requirement: Requirement) -> bool:
        """Whether a package can be found by this process; nothing is imported."""
        return importlib.util.find_spec(requirement.module) is not None

    def start_check(self, done: Callable[[Installed], None]) -> BackgroundRun:
        """Begin the trial import; `poll()` what is returned until `done` is called."""
        run = BackgroundRun(self._trial(), self._python.environment, _Check(self._requirements, done))
        run.start()
        return run

    def check(self, seconds: float = 300.0) -> Installed:
        """The same, waited for.

        Raises:
            InstallationError: it took longer than `seconds`, or Python cannot be started.
        """
        check = _Check(self._requirements, lambda installed: None)
        try:
            done = subprocess.run(
                self._trial(), env=dict(self._python.environment), capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise InstallationError(f"Importing the packages took longer than {seconds:g} s; restart Slicer and try again.") from None
        except OSError as error:
            raise InstallationError(f"Slicer's Python cannot be started ({error.strerror}); reinstall Slicer.") from None
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            check.on_event(RunEvent.parse(line))
        check.on_end(RunOutcome.judge([], done.returncode, False, ""))
        return check.installed

    def consent(self, installed: Installed, folder: Path | None = None) -> str:
        """What a person is asked before anything is installed: each package, why, and how much has to be fetched."""
        wanted = self._wanted(installed)
        lines = [f"• {r.package} (about {r.megabytes:g} MB): {r.purpose}" for r in wanted]
        total = sum(r.megabytes for r in wanted)
        source = f"from the folder {folder}, without the internet" if folder else "from the internet"
        torch = "\n\nPyTorch is chosen for this computer by the PyTorch extension." if TORCH in wanted and folder is None else ""
        return (
            f"LDMSeg needs these Python packages in Slicer. They will be installed {source}, about {total:.0f} MB, with the packages "
            f"that they need themselves:\n\n" + "\n".join(lines) + torch + "\n\nYour images are not sent anywhere. Install now?"
        )

    def install(self, installed: Installed) -> None:
        """Install what is wanted: torch first, through the PyTorch extension, so that pip never chooses one by itself.

        Raises:
            InstallationError: with what to do.
        """
        self._refuse(installed)
        if installed.torch_wanted:
            self._installer.install_torch(f">={TORCH.least}")
        self._install(installed, [])

    def install_from_folder(self, installed: Installed, folder: Path) -> None:
        """Install from wheels in a folder, without the internet; torch too, because the PyTorch extension would go online.

        Raises:
            InstallationError: the folder holds no packages, or one that is needed is not among them.
        """
        self._refuse(installed)
        folder = Path(folder)
        if not any(next(folder.glob(pattern), None) for pattern in ARCHIVES):
            raise InstallationError(f"The folder {folder} holds no Python packages (.whl), expected those that `pip download` puts there.")
        source = ["--no-index", "--find-links", str(folder)]
        if installed.torch_wanted:
            self._installer.install([*source, TORCH.specifier])
        self._install(installed, source)

    def install_one(self, requirement: Requirement) -> None:
        """Install one package, with what it needs itself unless only files of it are read (see `Requirement.alone`).

        Raises:
            InstallationError: with what to do; so if it needs others and torch is missing, which pip is not to choose by itself.
        """
        if not requirement.alone and not self.has(TORCH):
            raise InstallationError(f"{requirement.package} needs PyTorch, which is missing; install what Set-up lists first.")
        self._installer.install([*["--no-deps"] * requirement.alone, requirement.specifier])
        importlib.invalidate_caches()

    def obtain(self, requirement: Requirement, ask: Callable[[str], bool]) -> bool:
        """`install_one` after asking; returns whether the user agreed.

        Raises:
            InstallationError: with what to do.
        """
        agreed = ask(
            f"LDMSeg needs the Python package {requirement.package} ({requirement.megabytes} MB), which {requirement.purpose}. "
            "Download and install it?"
        )
        if agreed:
            self.install_one(requirement)
        return agreed

    def _install(self, installed: Installed, source: list[str]) -> None:
        broken = [r.specifier for r in self._requirements if r.package in installed.broken]
        if broken:  # what they need themselves is tried on its own
            self._installer.install([*source, "--force-reinstall", "--no-deps", *broken])
        rest = [r for r in (*installed.missing, *installed.outdated) if r != TORCH]
        for alone in (False, True):
            specifiers = [r.specifier for r in rest if r.alone is alone]
            if specifiers:
                self._installer.install([*source, *["--no-deps"] * alone, *specifiers])

    def _refuse(self, installed: Installed) -> None:
        if reason := self.obstacle(installed):
            raise InstallationError(reason)
        if TORCH.package in installed.broken:
            raise InstallationError(installed.sentence)

    def _wanted(self, installed: Installed) -> list[Requirement]:
        wanted = {r.package for r in (*installed.missing, *installed.outdated)} | set(installed.broken)
        return [r for r in self._requirements if r.package in wanted]

    def _trial(self) -> list[str]:
        return self._python.script(TrialImport.__file__, *(f"{r.package}:{'' if r.alone else r.module}" for r in self._requirements))


class _Check:
    """Listens to a trial import."""

    def __init__(self, requirements: Sequence[Requirement], done: Callable[[Installed], None]) -> None:
        self._requirements, self._done = requirements, done
        self._packages: dict[str, Any] = {}
        self._trying = ""
        self.installed = Installed()

    def on_event(self, event: RunEvent) -> None:
        if event.kind == STAGE:
            self._trying = event.stage
        elif event.kind == RESULT:
            self._packages, self._trying = dict(event.values.get("packages", {})), ""

    def on_end(self, outcome: RunOutcome) -> None:
        crashed = self._trying if outcome.status == FAILED else ""
        self.installed = Installed.read(self._requirements, self._packages, crashed)
        self._done(self.installed)
