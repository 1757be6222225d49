"""Waiting as Slicer waits: with Python's lock held.

Slicer and CTK never release the lock around Qt's event loop, so Python threads stand still except while a slot runs Python code
that waits or takes long. PySide6 releases it, which would hide a thread that nobody gives a turn. Where Qt's own function cannot
be called past PySide6 (its name is another one on Windows), PySide6's stands in.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import PySide6
from PySide6 import QtTest

_NAME = "_ZN5QTest5qWaitEi"  # void QTest::qWait(int), as GCC and Clang write it


def _find() -> ctypes._CFuncPtr | None:
    if sys.platform == "win32":
        return None
    for file in ("libQt6Test.so.6", "libQt6Core.so.6", "QtTest.framework/QtTest", "QtCore.framework/QtCore"):
        try:
            function = getattr(ctypes.PyDLL(str(Path(PySide6.__file__).parent / "Qt" / "lib" / file)), _NAME)
        except (OSError, AttributeError):
            continue
        function.argtypes, function.restype = [ctypes.c_int], None
        return function
    return None


_with_the_lock = _find()
HOLDS_THE_LOCK = _with_the_lock is not None


def wait(milliseconds: int) -> None:
    """Let Qt work for so long."""
    if _with_the_lock is not None:
        _with_the_lock(milliseconds)
    else:
        QtTest.QTest.qWait(milliseconds)
