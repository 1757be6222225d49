"""Start a background run and poll it from the main thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from LDMSegModule.process.BackgroundRun import BackgroundRun, RunListener

INTERVAL_MS = 100


class Launcher(Protocol):
    def __call__(self, arguments: Sequence[str], listener: RunListener) -> BackgroundRun: ...


class RunControl:
    """One run at a time.

    Args:
        launch: makes a `BackgroundRun` of arguments for `python -m LDMSegLib`.
        timer: QTimer of the main thread, by which the run is asked for news.
        catch_errors: wraps the timer's slot.
    """

    def __init__(self, launch: Launcher, timer: Any, catch_errors: Callable[..., Any]) -> None:
        self._launch, self._timer = launch, timer
        self._run: BackgroundRun | None = None
        self._timer.setInterval(INTERVAL_MS)
        self._timer.connect("timeout()", catch_errors(self.poll))

    def start(self, arguments: Sequence[str], listener: RunListener) -> None:
        """Begin. That it cannot begin is told to the listener like any other end."""
        self._run = self._launch(arguments, listener)
        self._run.start()
        self._timer.start()

    def poll(self) -> None:
        """Tell the listener what is new."""
        if self._run is None:
            self._timer.stop()
            return
        run = self._run
        try:
            run.poll()
        finally:
            if not run.running and run is self._run:
                self._timer.stop()

    @property
    def running(self) -> bool:
        return self._run is not None and self._run.running

    @property
    def stopping(self) -> bool:
        return self._run is not None and self._run.stopping

    @property
    def seconds(self) -> float:
        """How long the run took, or has taken so far."""
        return self._run.seconds if self._run is not None else 0.0

    def cancel(self) -> None:
        if self._run is not None and self.running:
            self._run.cancel()

    def keep(self) -> None:
        """Stop sampling and let it write what is finished."""
        if self._run is not None and self.running:
            self._run.finish_early()

    def abandon(self) -> None:
        """End it and listen no more: the panel is going away."""
        self._timer.stop()
        if self._run is not None and self.running:
            self._run.end()
        self._run = None
