"""What a long job tells while it runs, and how it is told to stop.

A job calls a `Reporter`; who listens decides what becomes of it: a progress bar on a terminal, one JSON object a line
for a program that drives us, or nothing.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any, Protocol

from LDMSegLib.remaining_time import RemainingTime, duration


class Reporter(Protocol):
    """What a job may say. All arguments are plain values that JSON can hold."""

    def stage(self, name: str, title: str) -> None:
        """A new stage begins, e.g. ("sample", "Sampling 10 members")."""

    def progress(self, fraction: float, **details: Any) -> None:
        """How far the current stage is, 0 to 1; details such as member=3, members=10, step=5, steps=8."""

    def warning(self, message: str, **details: Any) -> None:
        """Something the user should know, in one sentence."""

    def inputs(self, lines: Sequence[str], **details: Any) -> None:
        """Which image became which sequence and what was not used, a line each; details are the same as plain values."""

    def result(self, **values: Any) -> None:
        """What came out, e.g. labels="out/labels.nii.gz"."""

    def error(self, message: str, **details: Any) -> None:
        """The job ends here, and why, in one sentence."""


class Silent:
    """Listens to nothing."""

    def stage(self, name: str, title: str) -> None: ...
    def progress(self, fraction: float, **details: Any) -> None: ...
    def warning(self, message: str, **details: Any) -> None: ...
    def inputs(self, lines: Sequence[str], **details: Any) -> None: ...
    def result(self, **values: Any) -> None: ...
    def error(self, message: str, **details: Any) -> None: ...


class JsonLines:
    """One JSON object a line: {"event": "stage"|"progress"|"warning"|"result"|"error", ...}; flushed at once."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self._began = time.monotonic()
        self._stage = ""
        self._lock = threading.Lock()

    def stage(self, name: str, title: str) -> None:
        self._stage = name
        self._began = time.monotonic()
        self._write("stage", stage=name, title=title)

    def progress(self, fraction: float, **details: Any) -> None:
        left = RemainingTime.left(time.monotonic() - self._began, fraction)
        self._write(
            "progress",
            stage=self._stage,
            fraction=round(float(fraction), 4),
            seconds_left=None if left is None else round(left, 1),
            **details,
        )

    def warning(self, message: str, **details: Any) -> None:
        self._write("warning", message=message, **details)

    def inputs(self, lines: Sequence[str], **details: Any) -> None:
        self._write("inputs", lines=list(lines), **details)

    def result(self, **values: Any) -> None:
        self._write("result", **values)

    def error(self, message: str, **details: Any) -> None:
        self._write("error", message=message, **details)

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, **values}, default=str, allow_nan=False)
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()


class Terminal:
    """A progress bar with the time left on a terminal; plain lines where the stream is a file or a pipe."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._title, self._began = "", time.monotonic()

    def stage(self, name: str, title: str) -> None:
        self._complete()
        self._title, self._began = title, time.monotonic()
        if self._stream.isatty():
            from tqdm import tqdm  # only a terminal needs it; the JSON protocol stays free of it

            layout = "{desc:<40} {percentage:3.0f}% |{bar:28}| {elapsed}{postfix}"
            self._bar = tqdm(total=1.0, desc=title, file=self._stream, bar_format=layout, leave=True)
        else:
            self._line(title)

    def progress(self, fraction: float, **details: Any) -> None:
        if self._bar is not None:
            counts = [
                f"{name} {details[name]}/{details[name + 's']}"
                for name in ("member", "step", "case")
                if name + "s" in details and name in details
            ]
            left = RemainingTime.left(time.monotonic() - self._began, fraction)
            counts += [f"about {duration(left)} left"] if left else []
            self._bar.set_postfix_str(", ".join(counts), refresh=False)
            self._bar.update(min(float(fraction), 1.0) - self._bar.n)

    def warning(self, message: str, **details: Any) -> None:
        self._line(f"warning: {message}")

    def inputs(self, lines: Sequence[str], **details: Any) -> None:
        for line in lines:
            self._line(f"  {line}")

    def result(self, **values: Any) -> None:
        self._complete()

    def error(self, message: str, **details: Any) -> None:
        self._close()
        self._line(f"error: {message}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            print(text, file=self._stream, flush=True)

    def _complete(self) -> None:
        if self._bar is not None and self._bar.n == 0:
            self._bar.update(1.0)  # a stage that told nothing on its way is done when the next one begins
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Cancellation:
    """A flag that one thread (or a signal handler) sets and a job reads between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def request(self) -> None:
        """Ask the run to stop."""
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether somebody has asked for it."""
        return self._event.is_set()
