"""The outcome of a background run, with one sentence for the user."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from LDMSegModule.process.OutOfMemory import is_out_of_memory, may_be_out_of_memory
from LDMSegModule.process.RunEvent import ERROR, RESULT, WARNING, RunEvent
from LDMSegModule.process.Sentences import sentence

DONE, PARTIAL, CANCELLED, FAILED = "done", "partial", "cancelled", "failed"
UNCHANGED = "your volumes are unchanged"
LAUNCHER_TELLS_A_CRASH = "exit abnormally - Report the problem."
"""The last output of Slicer's launcher, with exit code 1, where the Python that it started crashed or was killed."""

USERS = 2
"""The exit code of errors that a person can do something about, see `LDMSegLib.cli.entry_point`."""


@dataclass(frozen=True)
class RunOutcome:
    """The end of a run.

    `status` is "done", "partial" (a result of fewer members or masks than asked for), "cancelled" or "failed"; `sentence`
    says what happened and what to do; `result` is the last result event; `out_of_memory` calls for a retry with less;
    `missing_package` names a Python package that has to be installed first.
    """

    status: str
    sentence: str
    result: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    exit_code: int | None = None
    out_of_memory: bool = False
    missing_package: str = ""

    @property
    def folder(self) -> Path | None:
        """Where the result lies, if there is one."""
        return Path(self.result["folder"]) if self.has_result and "folder" in self.result else None

    @property
    def has_result(self) -> bool:
        """Whether there is a result, whole or partial."""
        return self.status in (DONE, PARTIAL)

    @classmethod
    def not_started(cls, command: Sequence[str], error: OSError) -> RunOutcome:
        """The process could not even be started."""
        reason = (error.strerror or str(error)).lower()
        return cls(
            FAILED, f"The background process could not be started ({reason}: {command[0]}); {UNCHANGED}: check the packages under Set-up."
        )

    @classmethod
    def judge(cls, events: Sequence[RunEvent], exit_code: int | None, stopped: bool, last_output: str) -> RunOutcome:
        """From what was said and how it ended.

        Args:
            events: warnings, results and errors, in order.
            exit_code: of the process that was started, which may be a launcher that died before the one that worked: what
                was said counts first.
            stopped: whether it was asked to stop or was ended by us.
            last_output: the last line that was no event.
        """
        results = tuple(event.values for event in events if event.kind == RESULT)
        # Once asked to stop, a program may complain of anything on its way out; only what it says of inputs and outputs counts.
        errors = [event.message for event in events if event.kind == ERROR and (not stopped or event.values.get("exit_code") == USERS)]
        common: dict[str, Any] = {
            "result": results[-1] if results else {},
            "warnings": tuple(event.message for event in events if event.kind == WARNING),
            "exit_code": exit_code,
        }
        if errors:
            said = sentence(errors[-1])
            package = _missing_package(said)
            if package:
                said = f"The Python package '{package}' is not installed; install it under Set-up and run again."
            return cls(FAILED, said, **common, out_of_memory=is_out_of_memory(said), missing_package=package)
        if results:
            return cls(PARTIAL, _partial(results[-1]), **common) if results[-1].get("partial") else cls(DONE, "", **common)
        if stopped:
            return cls(CANCELLED, f"Cancelled: there is no result, and {UNCHANGED}.", **common)
        memory = may_be_out_of_memory(exit_code) or is_out_of_memory(last_output) or LAUNCHER_TELLS_A_CRASH in last_output
        package = _missing_package(last_output)
        return cls(
            FAILED, _without_a_word(exit_code, memory, last_output, package), **common, out_of_memory=memory, missing_package=package
        )


def _partial(result: Mapping[str, Any]) -> str:
    finished, wanted = result.get("members_finished", result.get("kept")), result.get("members_requested", result.get("wanted"))
    what = "members" if "members_finished" in result else "masks"
    seen = f", in {result['views']} of {result['views_requested']} views" if result.get("views_requested", 1) > 1 else ""
    return f"Partial result: {finished} of {wanted} {what} were finished{seen}; run again for all of them."


def _without_a_word(exit_code: int | None, memory: bool, last_output: str, package: str) -> str:
    if package:
        return f"The Python package '{package}' is not installed; install it under Set-up and run again."
    if memory:
        return (
            f"The background process was ended, most likely because memory ran out; {UNCHANGED}: close other programs or retry with less."
        )
    if exit_code is not None and (exit_code < 0 or exit_code > 128):
        name = _signal_name(exit_code)
        return f"The background process was ended from outside ({name}) before there was a result; {UNCHANGED}: run it again."
    said = f' (its last output: "{last_output[:200]}")' if last_output else ""
    if exit_code == 0:
        return f"The background process ended but reported no result{said}; {UNCHANGED}: see the log, and check the packages under Set-up."
    return (
        f"The background process ended with exit code {exit_code} and no result{said}; {UNCHANGED}: see the log, and check the "
        "packages under Set-up."
    )


def _signal_name(exit_code: int) -> str:
    number = -exit_code if exit_code < 0 else exit_code - 128
    try:
        return signal.Signals(number).name
    except ValueError:  # Windows tells crashes by large numbers
        return f"exit code {exit_code}"


def _missing_package(text: str) -> str:
    found = re.search(r"No module named '?([A-Za-z0-9_]+)|needs the package '?([A-Za-z0-9_-]+)'?, which is not installed", text)
    return found.group(1) or found.group(2) if found else ""
