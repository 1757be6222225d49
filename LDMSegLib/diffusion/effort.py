"""How far an ensemble is, in time rather than in counts: a decode can cost as much as many steps."""

from __future__ import annotations

DECODE_IN_STEPS = 5.0  # a guess for the first batch only: one decode costs as much as this many steps of one member


class Effort:
    """The share of the work done, from what steps and decodes have cost so far. Never falls, so that a bar never runs back."""

    def __init__(self, members: int, steps: int) -> None:
        self._members, self._steps = members, steps
        self._step_seconds = self._decode_seconds = 0.0
        self._measured_steps = self._measured_decodes = 0
        self._delivered = self._ahead = 0
        self._fraction = 0.0

    @property
    def fraction(self) -> float:
        """0 to 1; 1 exactly when all members are delivered."""
        if self._delivered == self._members:
            return 1.0
        step = self._step_seconds / self._measured_steps if self._measured_steps else 1.0
        decode = self._decode_seconds / self._measured_decodes if self._measured_decodes else DECODE_IN_STEPS * step
        done = self._delivered * (self._steps * step + decode) + self._ahead * step
        total = self._members * (self._steps * step + decode)
        self._fraction = max(self._fraction, done / total if total > 0.0 else 0.0)
        return self._fraction

    def stepped(self, members: int, seconds: float) -> None:
        """One step was taken for so many members at once."""
        self._step_seconds += seconds
        self._measured_steps += members
        self._ahead += members

    def delivered(self, seconds: float) -> None:
        """One sampled member was decoded and handed over."""
        self._decode_seconds += seconds
        self._measured_decodes += 1
        self._delivered += 1
        self._ahead -= self._steps

    def lost(self) -> None:
        """The batch under way has to be sampled again."""
        self._ahead = 0
