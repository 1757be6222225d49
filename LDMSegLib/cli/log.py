"""What a run did and where it went wrong, for whoever mends the program; a file of it is written when something unexpected happens.

The library logs through `logging` under the name "LDMSegLib", as any library does. The log is meant to be sent to others, so
nothing of a patient goes into it: no path, no name of a file or folder, no option's text, and no message that could quote one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from LDMSegLib.events import Reporter
from LDMSegLib.io.printable import printable
from LDMSegLib.results.provenance import software_versions

_KEPT = 2000
"""Records of a run that are kept in memory."""
_TELLING = "mode members steps seed threshold device precision batch-size threads prepare brain-extraction count shard min-volume".split()
"""Options whose values are settings and name nothing of a patient."""
_OF_CODE = (AttributeError, NameError, ImportError, TypeError, ArithmeticError, NotImplementedError, RecursionError)
"""Their messages speak of the program, not of what it works on."""
_log = logging.getLogger("LDMSegLib")


class RunLog(logging.Handler):
    """The records of one run."""

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__(logging.DEBUG)
        self._clock = logging.Formatter()
        self._records: deque[str] = deque(maxlen=_KEPT)
        self._heading = f"ldmseg {_described(arguments)}"
        self._place = _place(arguments)
        self._file: Path | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; its traceback without what could name a patient."""
        text = f"{self._clock.formatTime(record)} {record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + without_values(record.exc_info[1])
        self._records.append(text)

    def write(self) -> Path | None:
        """Put all that is known so far into one file, beside the output; where that cannot be, into the system's temporary folder."""
        versions = ", ".join(f"{name} {version}" for name, version in software_versions().items())
        text = "\n".join(
            [self._heading, versions, "Nothing in here names an image, a folder of images or a patient.", "", *self._records, ""]
        )
        for file in [self._file] if self._file else [self._place, Path(tempfile.gettempdir()) / self._place.name]:
            with contextlib.suppress(OSError):
                file.write_text(text, encoding="utf-8", errors="backslashreplace")
                self._file = file
                return file
        return None


class Logged:
    """Passes on what a job tells, and keeps its stages in the log; its sentences may name files, so they are not kept."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def stage(self, name: str, title: str) -> None:
        _log.info("stage %s", name)
        self._reporter.stage(name, title)

    def progress(self, fraction: float, **details: Any) -> None:
        self._reporter.progress(fraction, **details)

    def warning(self, message: str, **details: Any) -> None:
        _log.info("the user was warned")
        self._reporter.warning(message, **details)

    def inputs(self, lines: Sequence[str], **details: Any) -> None:
        _log.info("the user was told which image became which sequence")
        self._reporter.inputs(lines, **details)

    def result(self, **values: Any) -> None:
        _log.info("result")
        self._reporter.result(**values)

    def error(self, message: str, **details: Any) -> None:
        _log.info("the user was told an error, exit code %s", details.get("exit_code"))
        self._reporter.error(message, **details)


_current: list[RunLog] = []


@contextlib.contextmanager
def run_log(arguments: Sequence[str]) -> Iterator[RunLog]:
    """Listen to the library for as long as a command runs."""
    log, level = RunLog(arguments), _log.level
    _log.addHandler(log)
    _log.setLevel(logging.DEBUG)
    _current.append(log)
    try:
        yield log
    finally:
        _current.remove(log)
        _log.removeHandler(log)
        _log.setLevel(level)


def unexpected(error: BaseException) -> str:
    """Write the traceback of an error that nobody foresaw into the log file, and say what happened and where that is."""
    _log.error("an unexpected error", exc_info=error)
    what = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")[:300]
    file = _current[-1].write() if _current else None
    return f"{what}; the details are in '{file}'" if file else what


def without_values(error: BaseException) -> str:
    """A traceback, with its causes, in which a message stands only where it cannot quote a name."""
    parts: list[str] = []
    one: BaseException | None = error
    seen: set[int] = set()
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = "".join(f"  {_code(at.filename)}, line {at.lineno}, in {at.name}\n" for at in traceback.extract_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{type(one).__module__}.{type(one).__name__}: {_message(one)}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n\nwhich came of:\n\n".join(parts)


def _code(file: str) -> str:
    """A source file below the folder of packages that it is in; where that lies on somebody's disk is nobody's business."""
    parts = Path(file).parts
    for start in ("site-packages", "dist-packages"):
        if start in parts:
            return "/".join(parts[parts.index(start) + 1 :])
    return "/".join(parts[parts.index("LDMSegLib") :] if "LDMSegLib" in parts else parts[-2:])


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    if isinstance(error, _OF_CODE) or not re.search(r"""["'/\\^=]|\d{5}|[^\x20-\x7e]""", text):
        return text
    return "(its message is left out because it may name a file or a patient)"


def _described(arguments: Sequence[str]) -> str:
    """The command and its options, with the values of settings alone."""
    words = [argument for argument in arguments[:1] if re.fullmatch(r"[a-z-]+", argument)]
    for word, after in zip(arguments[1:], [*arguments[2:], ""], strict=False):
        if word.startswith("-"):
            name = word.split("=")[0]
            words.append(name if re.fullmatch(r"-{1,2}[a-zA-Z0-9-]+", name) else "-?")
            if name.lstrip("-") in _TELLING and re.fullmatch(r"[A-Za-z0-9.:/_-]{1,20}", after):
                words.append(after)
    return " ".join(words)


def _place(arguments: Sequence[str]) -> Path:
    """Beside the output that the options name."""
    output = None
    for word, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if word in ("-o", "--output"):
            output = after
        elif word.startswith("--output="):
            output = word.partition("=")[2]
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    if not output:
        return Path(tempfile.gettempdir()) / f"ldmseg-{stamp}"
    target = Path(os.path.abspath(Path(output).expanduser()))  # noqa: PTH100  (links are not followed)
    return target.parent / f"{printable(target.name)}.ldmseg-{stamp}"
