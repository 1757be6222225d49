"""Keeps Python alive under PySide6."""

from __future__ import annotations

import ctypes
import sys

_MANY = 1 << 40


def hold_on() -> None:
    """PySide6 6.12 gives None, True and False back without counting them, as if they were immortal, which they are from
    Python 3.12 on. Before, a few ten thousand calls use them up and the interpreter dies. So they are counted generously here.
    """
    if sys.version_info < (3, 12):
        for value in (None, True, False):
            ctypes.c_ssize_t.from_address(id(value)).value += _MANY
