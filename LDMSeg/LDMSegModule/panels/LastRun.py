"""How fast the last run was on this computer, kept in the application's settings from one session to the next."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import qt

from LDMSegLib.models.demands import recorded_work
from LDMSegLib.models.layout import Bundle
from LDMSegLib.remaining_time import RemainingTime

KEY = "LDMSeg/Pace"


def last_run() -> RemainingTime | None:
    """Return the pace of the last run that told how fast it was; None before the first one."""
    return RemainingTime.from_text(str(qt.QSettings().value(KEY, "")))


def remember_run(record: Mapping[str, Any], bundle: Bundle | None, seconds: float) -> None:
    """Keep the pace of a finished run: its record, its bundle, and the seconds that it took in all."""
    work = recorded_work(record, bundle) if bundle is not None else None
    pace = RemainingTime.measured(record, work, seconds, os.cpu_count() or 1)
    if pace is not None:
        qt.QSettings().setValue(KEY, pace.to_text())
