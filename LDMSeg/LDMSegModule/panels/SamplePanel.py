"""The button that loads the synthetic patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from LDMSegModule.panels.Notice import Notice
from LDMSegModule.scene.PatientSample import PatientSample


class SamplePanel:
    """Loads the synthetic patient on a click.

    Args:
        button: that loads it.
        notice: says what is going on.
        sample: told whom to complain to → the patient.
        catch_errors: wraps slots.
    """

    def __init__(
        self, button: Any, notice: Notice, sample: Callable[[Callable[[str], None]], PatientSample], catch_errors: Callable[..., Any]
    ) -> None:
        self._button, self._notice, self._sample = button, notice, sample
        self._tip = button.toolTip
        button.connect("clicked(bool)", catch_errors(self._load))

    def _load(self) -> None:
        self._button.enabled = False
        self._button.toolTip = _("The synthetic patient is being made.")
        self._notice.show(_("Making a synthetic patient; the first time this takes a moment."))
        try:
            if self._sample(self._notice.problem).download():
                self._notice.clear()
        finally:
            self._button.enabled = True
            self._button.toolTip = self._tip
