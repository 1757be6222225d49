"""Command-line arguments from options and their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def arguments(command: str, options: Mapping[str, Any]) -> list[str]:
    """Return the arguments of `python -m LDMSegLib` for a command.

    An option that is None, False or "" is left to the command; one that is True has no value.
    """
    given = [command]
    for option, value in options.items():
        if value is True:
            given.append(option)
        elif value is not None and value is not False and value != "":
            given += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return given
