"""Something about the inputs that the user should know before a run starts."""

from __future__ import annotations

from dataclasses import dataclass

PROBLEM = "problem"
WARNING = "warning"
NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One sentence. A "problem" keeps the run from starting; a "warning" doesn't; a "note" only says what was done.

    `sequences` names the inputs it is about, for marking them in the panel; `preparing` says that it is about the preparation of
    raw scans.
    """

    severity: str
    text: str
    sequences: tuple[str, ...] = ()
    preparing: bool = False

    @property
    def is_problem(self) -> bool:
        """Whether it stands in the way of a run."""
        return self.severity == PROBLEM
