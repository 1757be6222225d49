"""Exceptions that Qt or VTK would print and forget: collected here, so that a test can fail with them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any

_failures: list[str] = []


def guarded(slot: Callable[..., Any]) -> Callable[..., Any]:
    """The slot, with what it raises written down; Qt goes on as it would in the application."""

    def call(*arguments: Any) -> Any:
        try:
            return slot(*arguments)
        except Exception:
            _failures.append(traceback.format_exc())
            return None

    return call


def note(text: str) -> None:
    _failures.append(text)


def take() -> list[str]:
    """What was raised since the last call; forgotten afterwards."""
    found = list(_failures)
    _failures.clear()
    return found


def hook() -> None:
    """Let exceptions that nobody catches (in VTK observers, in Qt's own virtual methods) count as failures too."""

    def excepthook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        _failures.append("".join(traceback.format_exception(kind, error, trace)))
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = excepthook
    sys.unraisablehook = lambda what: _failures.append(f"unraisable: {what.exc_value!r} in {what.object!r}")
