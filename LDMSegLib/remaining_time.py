"""How long a job still takes: estimated from the pace of an earlier run before it starts, from the share that is done while it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SOONEST_S = 0.2
"""Nothing is said of a stage that has run for less than this."""

HELPFUL_CORES = 8
"""More cores than these are not believed to make a run faster."""


@dataclass(frozen=True)
class RemainingTime:
    """The pace of one kind of device, and what follows from it. Needs no packages.

    Attributes:
        device: "cpu", "cuda" or "mps".
        cores: CPU cores of the computer that it was measured on.
        seconds_per_unit: of sampling, see `LDMSegLib.models.demands.run_work` for the unit.
        seconds_around: of a run beside sampling: start-up, reading, writing.
        measured_here: whether this computer has reached this pace itself.
    """

    device: str
    cores: int
    seconds_per_unit: float
    seconds_around: float
    measured_here: bool

    @classmethod
    def measured(cls, record: Mapping[str, Any], work: float | None, seconds: float, cores: int) -> RemainingTime | None:
        """Return the pace of a finished run; None where its record does not tell.

        Args:
            record: the content of its provenance.json.
            work: that it did, see `run_work`; None where that is not known.
            seconds: that it took in all.
            cores: of this computer.
        """
        try:
            sample = float(record["timings_s"]["sample"])
            # raw scans are announced for themselves; the next run may have none
            seconds -= sum(float(value) for value in (record.get("preparation") or {}).get("seconds", {}).values())
            if work is None or not work > 0.0 or not 0.0 < sample <= seconds:
                return None
            return cls(str(record["device"]["kind"]), cores, sample / work, seconds - sample, True)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def in_all(self, work: float, cores: int) -> float:
        """Return the seconds of a run before it starts.

        Args:
            work: see `run_work`.
            cores: of this computer. They count where the pace is another computer's CPU's; one of its own, or of a GPU, holds as it is.
        """
        slower = 1.0 if self.measured_here or self.device != "cpu" else self.cores / min(cores, HELPFUL_CORES)
        return self.seconds_around + work * self.seconds_per_unit * slower

    @staticmethod
    def left(elapsed: float, fraction: float) -> float | None:
        """Return the seconds that a running stage still takes, from those it has run and the share done; None where it is too early."""
        if fraction <= 0.0 or elapsed < SOONEST_S:
            return None
        return elapsed * (1.0 - min(fraction, 1.0)) / fraction

    def to_text(self) -> str:
        """Return it as JSON, for an application's settings."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> RemainingTime | None:
        """Return what `to_text` gave; None for anything else."""
        try:
            pace = cls(**json.loads(text))
            usable = pace.seconds_per_unit > 0.0 and math.isfinite(pace.seconds_per_unit) and pace.seconds_around >= 0.0
            return pace if usable else None
        except (TypeError, ValueError):
            return None


REFERENCE = RemainingTime("cpu", 2, seconds_per_unit=1.1, seconds_around=11.5, measured_here=False)
"""The embedded bundle on two server cores that multiply bfloat16 (see the model card's speed table), reading eight views included."""


def duration(seconds: float) -> str:
    """Return seconds as a person says them: "15 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
