"""How fast runs were on this computer, kept in the application's settings from one session to the next."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import qt

from LDMSegLib.models.layout import Bundle
from LDMSegModule.checks.Pace import Pace

KEY = "LDMSeg/Pace"


class PaceMemory:
    """Remembers the last run that told how fast it was."""

    @property
    def pace(self) -> Pace | None:
        """None before the first run."""
        return Pace.from_text(str(qt.QSettings().value(KEY, "")))

    def learn(self, provenance: Mapping[str, Any], bundle: Bundle | None, seconds: float) -> None:
        """From a finished run: its record, its bundle, and how long it took in all."""
        pace = Pace.measured(provenance, bundle, seconds, os.cpu_count() or 1) if bundle is not None else None
        if pace is not None:
            qt.QSettings().setValue(KEY, pace.to_text())
