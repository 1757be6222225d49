"""Following a background run from a test: what a timer and a panel do in Slicer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from LDMSegModule.process.BackgroundRun import BackgroundRun
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunOutcome import RunOutcome


@dataclass
class Follower:
    """A listener that remembers."""

    events: list[RunEvent] = field(default_factory=list)
    outcomes: list[RunOutcome] = field(default_factory=list)

    def on_event(self, event: RunEvent) -> None:
        self.events.append(event)

    def on_end(self, outcome: RunOutcome) -> None:
        self.outcomes.append(outcome)

    def stages(self) -> list[str]:
        return [event.stage for event in self.events if event.kind == "stage"]


def follow(run: BackgroundRun, until: Callable[[], bool] | None = None, seconds: float = 120.0) -> None:
    """Poll until `until()`, or to the end without one."""
    deadline = time.monotonic() + seconds
    while not (until() if until else run.outcome is not None):
        assert time.monotonic() < deadline, f"the run went on for more than {seconds} s; its log: {run.log}"
        assert run.outcome is None, f"the run ended before: {run.outcome}; its log: {run.log}"
        run.poll()
        time.sleep(0.01)


def run_to_the_end(command: list[str], environment: dict[str, str]) -> tuple[BackgroundRun, Follower]:
    follower = Follower()
    run = BackgroundRun(command, environment, follower)
    run.start()
    follow(run)
    assert follower.outcomes == [run.outcome] and not run.running
    return run, follower
