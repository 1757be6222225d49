"""How long a step takes."""

from __future__ import annotations

import time

import torch


class Pace:
    """Seconds a step takes, without the first few (which load, compile and tune) and without validations."""

    _UNTIMED = 3

    def __init__(self) -> None:
        self._steps, self._seconds, self._started = -self._UNTIMED, 0.0, 0.0

    @property
    def seconds_per_step(self) -> float | None:
        """Mean of the steps so far; None before the first."""
        return self._seconds / self._steps if self._steps > 0 else None

    def stepped(self) -> None:
        """Count one step."""
        now = time.monotonic()
        if self._steps >= 0:
            self._seconds += now - self._started
        self._steps += 1
        self._started = now

    def pause(self, device: torch.device) -> None:
        """Steps are launched, not awaited, on a GPU: what is still under way belongs to them."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if self._steps > 0:
            self._seconds += time.monotonic() - self._started

    def go_on(self) -> None:
        """Leave out what was done since the last step."""
        self._started = time.monotonic()
