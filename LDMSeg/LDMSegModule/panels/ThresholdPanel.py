"""The slider of the probability threshold; edits are never overwritten without asking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from LDMSegLib.errors import InputError
from LDMSegModule.result.LiveThreshold import LiveThreshold, ThresholdUpdate
from LDMSegModule.result.Result import Result

FOLLOW_MS, SETTLE_MS = 15, 400


class ThresholdPanel:
    """Applies the slider's value to the result under review.

    Args:
        slider: ctkSliderWidget.
        follow, settle: single-shot QTimers: so long after a move the segmentation follows, so long after the last one the surfaces.
        catch_errors: wraps slots.
        updated: told what became of every move.
    """

    def __init__(
        self, slider: Any, follow: Any, settle: Any, catch_errors: Callable[..., Any], updated: Callable[[ThresholdUpdate], None]
    ) -> None:
        self._slider, self._follow, self._settle, self._updated = slider, follow, settle, updated
        self._result: Result | None = None
        self._live: LiveThreshold | None = None
        self._showing = False
        for timer, wait, slot in ((follow, FOLLOW_MS, self._apply), (settle, SETTLE_MS, self._settled)):
            timer.setSingleShot(True)
            timer.setInterval(wait)
            timer.connect("timeout()", catch_errors(slot))
        slider.connect("valueChanged(double)", catch_errors(self._moved))

    def show(self, result: Result | None) -> None:
        """Take another result."""
        self.stop()
        self._result, self._live = result, None
        self._slide_to(result.threshold if result is not None else 0.5)
        if result is not None:
            self._settle.start()  # gets the volumes ready while the user still looks, so that the first move is as quick as the next

    def stop(self) -> None:
        """Do nothing more of what is under way."""
        self._follow.stop()
        self._settle.stop()

    def discard_edits(self) -> None:
        """Bring back the computed segmentation at the slider's value."""
        live = self._ready()
        if live is not None:
            self._updated(live.set(self._slider.value, discard_edits=True))
            self._settle.start()

    def _ready(self) -> LiveThreshold | None:
        """What applies a threshold to the result as it is now; None where there is no result.

        Raises:
            InputError: a probability volume no longer lies on the result's grid.
        """
        if self._result is None or not self._result.exists:
            return None
        if self._live is None or self._live.outdated:
            self._live = LiveThreshold(self._result)
        return self._live

    def _moved(self, value: float) -> None:
        if not self._showing and self._result is not None:
            self._follow.start()

    def _apply(self) -> None:
        try:
            live = self._ready()
        except InputError:
            self._slide_to(self._result.threshold if self._result is not None else 0.5)
            raise
        if live is None:
            return
        update = live.set(self._slider.value)
        if not update.applied:
            self._slide_to(update.threshold)
        self._updated(update)
        self._settle.start()

    def _settled(self) -> None:
        live = self._ready()
        if live is not None:
            live.settle()

    def _slide_to(self, value: float) -> None:
        self._showing = True
        try:
            self._slider.value = value
        finally:
            self._showing = False
