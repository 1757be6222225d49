"""The group that says how raw scans are prepared: whether at all, and how the brain is told from the head."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from slicer.i18n import tr as _

from LDMSegModule.BrainChoice import BrainChoice
from LDMSegModule.Dialogs import Dialogs
from LDMSegModule.Finding import Finding
from LDMSegModule.Notice import GOOD, INFO, Notice
from LDMSegModule.Requirement import HD_BET as HD_BET_PACKAGE
from LDMSegModule.Requirement import Requirement
from LDMSegModule.SegmentParameters import HD_BET, NEVER


@dataclass(frozen=True, eq=False)
class BrainWidgets:
    group: Any
    extraction: Any
    install: Any
    mask: Any
    extract: Any


class Packages(Protocol):
    def has(self, requirement: Requirement) -> bool: ...

    def obtain(self, requirement: Requirement, ask: Callable[[str], bool]) -> bool: ...


class BrainFinder(Protocol):
    """The other extension that can find a brain, see `InstalledBrainExtraction`."""

    @property
    def problem(self) -> str: ...

    def extract(self, volume: Any) -> Any: ...


class BrainPanel:
    """The parameters keep what is chosen; this says what it means and what can be done with it.

    Args:
        widgets, notice: of this group.
        finder: finds a brain inside Slicer; None where its extension is not installed, and its button is then not shown.
        packages: knows whether the stronger network is installed, and installs it.
        dialogs: asks before something is installed or computed.
        reference: gives the volume whose brain is wanted, None where none is chosen.
        changed: told when the choice means something else than before.
        guard: wraps slots.
    """

    def __init__(
        self,
        widgets: BrainWidgets,
        notice: Notice,
        finder: BrainFinder | None,
        packages: Packages,
        dialogs: Dialogs,
        reference: Callable[[], Any],
        changed: Callable[[], None],
        guard: Callable[..., Any],
    ) -> None:
        self._w, self._notice, self._finder, self._packages = widgets, notice, finder, packages
        self._dialogs, self._reference, self._changed = dialogs, reference, changed
        self._parameters: Any = None
        self._called_for = False
        self._extracted: Any = None  # the brain that the notice speaks of
        widgets.extract.visible = finder is not None
        widgets.install.visible = False
        widgets.extract.connect("clicked(bool)", guard(self._extract))
        widgets.install.connect("clicked(bool)", guard(self._install))

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
            "The network that finds the brain where the volumes show a skull. deepbet comes with the installation; hd-bet is stronger "
            "and slower and is installed when you ask for it."
        )
        self._w.install.visible = not choice.installed and self._w.extraction.enabled
        if self._extracted is not None and choice.mask is not self._extracted:
            self._extracted = None
            self._notice.clear()
        reference = self._reference()
        self._w.extract.enabled = reference is not None
        self._w.extract.toolTip = _(
            "Lets the extension HDBrainExtraction find the brain in {name} and chooses it as the brain mask. Asks first: Slicer does not "
            "answer meanwhile."
        ).format(name=f"'{reference.GetName()}'" if reference is not None else _("the T1 contrast, once it is chosen"))

    def _install(self) -> None:
        if self._packages.obtain(HD_BET_PACKAGE, self._dialogs.ask):
            self._notice.show(_("hd-bet is installed."), GOOD)
            self._changed()

    def _extract(self) -> None:
        volume = self._reference()
        if volume is None or self._parameters is None:
            return
        self._extracted = None
        self._notice.clear()
        if problem := self._finder.problem:
            self._notice.problem(problem)
            return
        if not self._dialogs.ask(_ASK.format(name=volume.GetName())):
            return
        self._w.extract.enabled = False  # a second click must not wait behind the first
        self._notice.show(_("HDBrainExtraction is computing; Slicer does not answer meanwhile."), INFO)
        try:
            with self._dialogs.busy():
                segmentation = self._finder.extract(volume)
        finally:
            self._w.extract.enabled = True
        self._parameters.brainMask = segmentation
        said = _("The brain is in the scene as '{name}' and chosen as the brain mask: look at it, and correct it in the Segment Editor.")
        self._notice.show(said.format(name=segmentation.GetName()), GOOD)
        self._extracted = segmentation


def _why_off(choice: BrainChoice, never: bool) -> str:
    if never:
        return _("Raw scans are never to be prepared, so no brain is looked for.")
    return _("The brain mask is used instead.") if choice.mask is not None else ""


_ASK = _(
    "HDBrainExtraction will find the brain in '{name}'. It computes inside Slicer, which does not answer meanwhile: 5 to 10 minutes "
    "without a GPU. Save what you would not like to lose first.\n\nThe brain becomes a segmentation in the scene, which you can look at "
    "and correct, and is then used as the brain mask. Your volumes are not changed. Start now?"
)
