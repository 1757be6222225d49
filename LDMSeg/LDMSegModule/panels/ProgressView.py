"""Progress of a background run: bar, stage, time left, log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from LDMSegLib.remaining_time import duration
from LDMSegModule.process.RunEvent import PROGRESS, STAGE, WARNING, RunEvent
from LDMSegModule.process.RunOutcome import RunOutcome

_SHARES = {
    "prepare-raw": (0.03, 0.3),  # only of raw scans; the stages after it then begin where it ended
    **{"read": (0.02, 0.05), "load": (0.05, 0.1), "prepare": (0.1, 0.12), "condition": (0.12, 0.16)},
    **{"sample": (0.16, 0.88), "restore": (0.88, 0.92), "write": (0.92, 0.99)},
}
"""Where a stage lies on the bar. Sampling takes nearly all the time; an unknown stage leaves the bar where it is."""


class ProgressView:
    """Listens to a `BackgroundRun` and shows what it tells; `ended` hears of its end.

    Args:
        bar: QProgressBar from 0 to 1000.
        stage: QLabel.
        log: QPlainTextEdit, or None.
        ended: told once, with the outcome.
    """

    def __init__(self, bar: Any, stage: Any, log: Any, ended: Callable[[RunOutcome], None]) -> None:
        self._bar, self._label, self._log, self._ended = bar, stage, log, ended
        self._stage = self._title = ""
        self.members_finished = 0

    def begin(self, title: str) -> None:
        """Start from nothing."""
        self._stage, self._title, self.members_finished = "", title, 0
        self._bar.value = 0
        self._label.text = title
        if self._log is not None:
            self._log.setPlainText("")

    def on_event(self, event: RunEvent) -> None:
        if event.text and self._log is not None:
            self._log.appendPlainText(event.text)
        if event.kind == STAGE:
            self._stage, self._title = event.stage, event.title
            self._at(0.0)
            self._label.text = self._title
        elif event.kind == PROGRESS:
            self._at(event.fraction)
            if event.member is not None and event.member > 1:
                self.members_finished = max(self.members_finished, event.member - 1)
            self._label.text = " · ".join(filter(None, (self._what(event), _left(event.seconds_left))))
        elif event.kind == WARNING:
            self._label.text = event.message

    def on_end(self, outcome: RunOutcome) -> None:
        if outcome.sentence and self._log is not None:
            self._log.appendPlainText(outcome.sentence)
        self._ended(outcome)

    def _what(self, event: RunEvent) -> str:
        if event.member is not None and event.members is not None:
            return _("Member {member} of {members}").format(member=event.member, members=event.members)
        return self._title

    def _at(self, fraction: float) -> None:
        low, high = _SHARES.get(self._stage, (0.0, 0.0))
        self._bar.value = max(self._bar.value, round(1000 * (low + (high - low) * fraction)))


def _left(seconds: float | None) -> str:
    return "" if seconds is None else _("about {time} left").format(time=duration(seconds))
