"""Model, mode and device of a run, and its estimated time and memory."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from LDMSegLib.models.layout import Bundle
from LDMSegLib.specification import Specification
from LDMSegModule.checks.RunEstimate import estimate
from LDMSegModule.install.ModelManager import Model
from LDMSegModule.panels.LastRun import last_run
from LDMSegModule.parameters.SegmentParameters import AUTOMATIC
from LDMSegModule.process.Sentences import sentence


@dataclass(frozen=True, eq=False)
class SettingsWidgets:
    bundle: Any
    mode: Any
    device: Any
    estimate: Any


class SettingsPanel:
    """Fills the combo boxes whose choices depend on the bundles, and keeps them and the parameters the same.

    `changed` is told when a choice has changed.
    """

    def __init__(self, widgets: SettingsWidgets, catch_errors: Callable[..., Any], changed: Callable[[], None]) -> None:
        self._w, self._changed = widgets, changed
        self._parameters: Any = None
        self._models: tuple[Model, ...] = ()
        self._filling = False
        self._seen: tuple[Any, ...] = ()
        for value, title in _devices():
            widgets.device.addItem(title, value)
        widgets.bundle.connect("currentIndexChanged(int)", catch_errors(self._bundle_chosen))
        widgets.mode.connect("currentIndexChanged(int)", catch_errors(self._mode_chosen))
        widgets.device.connect("currentIndexChanged(int)", catch_errors(self._device_chosen))

    def bind(self, parameters: Any) -> None:
        """Show these parameters from now on; None while a scene closes."""
        self._parameters = parameters
        self.show()

    @property
    def parameters(self) -> Any:
        """Those that are shown."""
        return self._parameters

    def follow(self) -> None:
        """A parameter has changed, perhaps one of these."""
        p = self._parameters
        seen = (p.bundle, p.mode, p.device, p.members, p.steps, p.batchSize, p.prepare) if p is not None else ()
        if seen != self._seen:
            self._seen = seen
            self.show()
            self._changed()

    def use(self, models: Sequence[Model]) -> None:
        """Offer these bundles."""
        self._models = tuple(models)
        self._filling = True
        self._w.bundle.clear()
        for entry in self._models:
            title = entry.title if entry.bundle is not None else _("{name} (damaged)").format(name=entry.name)
            self._w.bundle.addItem(title, str(entry.folder))
        self._filling = False
        self.show()

    def show(self) -> None:
        """Bring the combo boxes to what the parameters say."""
        self._filling = True
        try:
            entry = self.entry
            self._w.bundle.currentIndex = self._models.index(entry) if entry is not None else -1
            self._w.bundle.toolTip = _tip(entry)
            self._fill_modes()
            self._w.device.currentIndex = max(0, self._w.device.findData(self.device))
        finally:
            self._filling = False

    @property
    def entry(self) -> Model | None:
        """The bundle chosen, the default where none or an unknown one is."""
        wanted = self._parameters.bundle if self._parameters is not None else ""
        for entry in self._models:
            if wanted in (entry.name, str(entry.folder), _key(entry)):
                return entry
        usable = [entry for entry in self._models if entry.bundle is not None]
        return next((entry for entry in usable if entry.default), next(iter(usable or self._models), None))

    @property
    def folder(self) -> str:
        """Of the bundle chosen; empty without one."""
        return str(self.entry.folder) if self.entry is not None else ""

    @property
    def prepare(self) -> str:
        """Whether raw scans are prepared first, in the command line's word."""
        return self._parameters.prepare.value if self._parameters is not None else AUTOMATIC

    @property
    def device(self) -> str:
        return self._parameters.device if self._parameters is not None else "auto"

    @property
    def bundle(self) -> Bundle | None:
        entry = self.entry
        return entry.bundle if entry is not None else None

    @property
    def specification(self) -> Specification | None:
        return self.bundle.specification if self.bundle is not None else None

    @property
    def mode(self) -> str:
        """The mode chosen, the bundle's default where it has no such mode; empty without a bundle."""
        spec = self.specification
        if spec is None:
            return ""
        wanted = self._parameters.mode if self._parameters is not None else ""
        return wanted if wanted in self._modes else spec.default_mode

    @property
    def _modes(self) -> tuple[str, ...]:
        return self.entry.modes if self.entry is not None else ()

    @property
    def problems(self) -> list[str]:
        """Why nothing can be run with this choice."""
        entry = self.entry
        if entry is None:
            return [_("There is no model; add one under Models and help.")]
        return [sentence(entry.problem)] if entry.bundle is None else []

    def show_estimate(self, image_voxels: int) -> None:
        """Write into the panel what a run with these settings takes, for a reference volume of so many voxels."""
        p, bundle = self._parameters, self.bundle
        self._w.estimate.text = (
            estimate(bundle, self.mode, p.members, p.steps, p.device, p.batchSize, last_run(), image_voxels)
            if p is not None and bundle is not None
            else ""
        )

    def _fill_modes(self) -> None:
        spec = self.specification
        modes = {name: spec.modes[name] for name in self._modes} if spec is not None else {}
        self._w.mode.clear()
        for name, mode in modes.items():
            self._w.mode.addItem(f"{name}: {mode.title or mode.sampler}, {mode.steps} steps × {mode.members} members", name)
        self._w.mode.currentIndex = list(modes).index(self.mode) if self.mode in modes else -1

    def _bundle_chosen(self, index: int) -> None:
        if self._filling or self._parameters is None or not 0 <= index < len(self._models):
            return
        entry = self._models[index]
        # by its name, so that a scene means the same on another computer; with a mark of its folder where another has the name, too
        same = [e for e in self._models if e.name == entry.name]
        self._parameters.bundle = entry.name if same[0] is entry else _key(entry)
        if entry.bundle is not None:
            self._parameters.threshold = min(max(entry.bundle.specification.threshold, 0.05), 0.95)
        self.show()
        self._changed()

    def _mode_chosen(self, index: int) -> None:
        if not self._filling and self._parameters is not None and index >= 0:
            self._parameters.mode = self._w.mode.itemData(index)
            self._changed()

    def _device_chosen(self, index: int) -> None:
        if not self._filling and self._parameters is not None and index >= 0:
            self._parameters.device = self._w.device.itemData(index)
            self._changed()


def _devices() -> list[tuple[str, str]]:
    gpu = ("mps", _("GPU (Apple)")) if sys.platform == "darwin" else ("cuda", _("GPU (NVIDIA)"))
    return [("auto", _("automatic: the fastest there is")), ("cpu", _("CPU")), gpu]


def _tip(entry: Model | None) -> str:
    if entry is None:
        return _("There is no model; add one under Models and help.")
    if entry.bundle is None:
        return entry.problem
    return entry.text


def _key(entry: Model) -> str:
    """Tells models of one name apart without saying where on this computer they lie, as a saved scene would."""
    return f"{entry.name}#{hashlib.sha256(str(entry.folder).encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
