"""Which of the required packages are installed, and in which version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from LDMSegModule.install.Requirement import TORCH, Requirement


@dataclass(frozen=True)
class Installed:
    """`versions` of what works, what is `missing`, what is `outdated`, and what is `broken` with the reason."""

    versions: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[Requirement, ...] = ()
    outdated: tuple[Requirement, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, requirements: Sequence[Requirement], packages: Mapping[str, Mapping[str, Any]], crashed: str = "") -> Installed:
        """From what TrialImport told, and the package at which it crashed if it did."""
        versions, missing, outdated, broken = {}, [], [], {}
        for requirement in requirements:
            told = packages.get(requirement.package, {})
            if requirement.package == crashed:
                broken[requirement.package] = "importing it crashed Python"
            elif "broken" in told:
                broken[requirement.package] = str(told["broken"])
            elif "missing" in told:
                missing.append(requirement)
            elif "version" in told:
                versions[requirement.package] = str(told["version"])
                if not requirement.accepts(str(told["version"])):
                    outdated.append(requirement)
        return cls(versions, tuple(missing), tuple(outdated), broken)

    @property
    def ready(self) -> bool:
        """Whether nothing is missing, outdated or broken."""
        return not (self.missing or self.outdated or self.broken)

    @property
    def torch_wanted(self) -> bool:
        """Whether PyTorch has to be installed."""
        return TORCH in self.missing or TORCH in self.outdated

    @property
    def sentence(self) -> str:
        """What is the matter and what to do, for the panel."""
        if self.ready:
            return "All packages are installed and work."
        parts = []
        if self.broken:
            parts += [f"{name} is broken ({reason})" for name, reason in self.broken.items()]
        if self.missing:
            parts.append(f"{_names(self.missing)} {'is' if len(self.missing) == 1 else 'are'} missing")
        if self.outdated:
            parts.append(", ".join(f"{r.package} is {self.versions[r.package]}, expected {r.least} or newer" for r in self.outdated))
        return f"Python packages: {'; '.join(parts)}: {self._remedy()}."

    def _remedy(self) -> str:
        if TORCH.package in self.broken:
            return "uninstall torch in the module PyTorch Utils, restart Slicer, then press Install"
        return "press Install"


def _names(requirements: Sequence[Requirement]) -> str:
    names = [requirement.package for requirement in requirements]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
