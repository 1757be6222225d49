"""Choose the map that is shown over the images, its opacity and its lower threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from LDMSegModule.result.Overlay import Overlay
from LDMSegModule.result.Result import Result


@dataclass(frozen=True, eq=False)
class OverlayWidgets:
    """The sliders and `kind` are bound to parameters; only the choice of region depends on the result."""

    kind: Any
    region: Any
    opacity: Any
    hide: Any


class OverlayPanel:
    """Shows the overlay that the parameters ask for."""

    def __init__(self, widgets: OverlayWidgets, catch_errors: Callable[..., Any]) -> None:
        self._w = widgets
        self._parameters: Any = None
        self._result: Result | None = None
        self._overlay: Overlay | None = None
        self._shown: tuple[Any, ...] = ()
        self._filling = False
        widgets.region.connect("currentIndexChanged(int)", catch_errors(self._region_chosen))

    def bind(self, parameters: Any) -> None:
        """Take these parameters; None while a scene closes."""
        self._parameters = parameters
        self.apply()

    def show(self, result: Result | None) -> None:
        """Take the maps of another result; the one shown before disappears."""
        if self._overlay is not None and self._result is not None and self._result.exists and result is not self._result:
            self._overlay.show("none")
        self._result = result
        self._overlay = Overlay(result) if result is not None else None
        self._shown = ()
        self._filling = True
        try:
            self._w.region.clear()
            for region in result.regions if result is not None else ():
                self._w.region.addItem(f"{region.name}  {region.title}", region.name)
        finally:
            self._filling = False
        self.apply()

    def choose_region(self, name: str) -> None:
        """Show the map of this region."""
        if self._parameters is not None and self._w.region.findData(name) >= 0:
            self._parameters.mapRegion = name
            self.apply()

    def apply(self) -> None:
        """Bring the slice views to what the parameters say; does nothing where they already are."""
        p = self._parameters
        if p is None or self._overlay is None or self._result is None or not self._result.exists:
            return
        names = [region.name for region in self._result.regions]
        region = p.mapRegion if p.mapRegion in names else names[-1]
        wanted = (p.map.value, region, p.mapOpacity, p.mapThreshold)
        off = p.map.value == "none"
        for widget, tip in (
            (self._w.region, _("Whose map is shown.")),
            (self._w.opacity, _("How much of the images the overlay covers.")),
            (self._w.hide, _("Values below this share of the overlay's range are not shown.")),
        ):
            widget.enabled = not off
            widget.toolTip = _("No overlay is chosen.") if off else tip
        if wanted == self._shown:
            return
        self._filling = True
        try:
            self._w.region.currentIndex = self._w.region.findData(region)
        finally:
            self._filling = False
        if wanted[:2] != self._shown[:2]:
            self._overlay.show(p.map.value, region)
        self._overlay.opacity = p.mapOpacity
        self._overlay.threshold = p.mapThreshold * self._overlay.highest
        self._shown = wanted

    def _region_chosen(self, index: int) -> None:
        if not self._filling and self._parameters is not None and index >= 0:
            self._parameters.mapRegion = self._w.region.itemData(index)
            self.apply()
