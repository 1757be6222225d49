"""Ctrl-C and SIGTERM, and what counts as them (see `stop_file`).

While an ensemble runs they ask it to stop between two steps; before that they simply end the run.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from LDMSegLib.events import Cancellation

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


class Interruption:
    """Use as a context manager around a job; the handlers that were there come back at its end.

    The first signal sets `cancellation`; outside `waited_for` it also raises KeyboardInterrupt, since nobody would look.
    The second signal kills, as signals do where nobody listens to them.
    """

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self._waited_for = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def waited_for(self) -> Iterator[Cancellation]:
        """Inside, somebody reads the cancellation between steps, and what is being written is written to its end."""
        before, self._waited_for = self._waited_for, True
        try:
            yield self.cancellation
        finally:
            self._waited_for = before

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.cancellation.requested:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.cancellation.request()
        if not self._waited_for:
            raise KeyboardInterrupt
