"""One event of the background process, parsed from a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STAGE, PROGRESS, WARNING, INPUTS, RESULT, ERROR, LOG = "stage", "progress", "warning", "inputs", "result", "error", "log"
KINDS = (STAGE, PROGRESS, WARNING, INPUTS, RESULT, ERROR)


@dataclass(frozen=True)
class RunEvent:
    """`kind` is one of `KINDS`, or "log" for a line that is no event (its text is then `message`)."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str) -> RunEvent:
        """Never fails: what is not one of our JSON objects is a line of the log."""
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            read = None
        kind = read.get("event") if isinstance(read, dict) else None
        if kind not in KINDS:
            return cls.log(line)
        return cls(kind, {name: value for name, value in read.items() if name != "event"})

    @classmethod
    def log(cls, line: str) -> RunEvent:
        """A line that is no event."""
        return cls(LOG, {"message": line})

    @property
    def message(self) -> str:
        """The sentence of a warning or an error, the line of a log."""
        return str(self.values.get("message", ""))

    @property
    def stage(self) -> str:
        """The name of the stage it tells of; empty where it tells of none."""
        return str(self.values.get("stage", ""))

    @property
    def title(self) -> str:
        """Of a stage, for people."""
        return str(self.values.get("title", "")) or self.stage

    @property
    def fraction(self) -> float:
        """How far the stage is, 0 to 1."""
        value = self._number("fraction")
        return 0.0 if value is None else min(max(value, 0.0), 1.0)

    @property
    def seconds_left(self) -> float | None:
        """Of the stage; None while there is nothing to tell."""
        return self._number("seconds_left")

    @property
    def member(self) -> int | None:
        """The member under way, counting from 1."""
        value = self._number("member")
        return None if value is None else int(value)

    @property
    def members(self) -> int | None:
        """How many members there will be."""
        value = self._number("members")
        return None if value is None else int(value)

    @property
    def text(self) -> str:
        """The line that a log shows; empty for progress and for a result."""
        if self.kind == STAGE:
            return self.title
        if self.kind in (WARNING, ERROR):
            return f"{self.kind}: {self.message}"
        if self.kind == INPUTS:
            return "\n".join(str(line) for line in self.values.get("lines", ()))
        return self.message if self.kind == LOG else ""

    def _number(self, name: str) -> float | None:
        value = self.values.get(name)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value else None
