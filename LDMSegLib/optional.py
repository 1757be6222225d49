"""SimpleITK, which is large: imported only when something needs it; and how many calls of it at once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

from LDMSegLib.errors import InputError


def simpleitk(purpose: str, instead: str = "") -> Any:
    """The module; `purpose` begins the sentence that is said without it, `instead` ends it.

    Raises:
        InputError: it is not installed.
    """
    try:
        import SimpleITK
    except ImportError:
        raise InputError(
            f"{purpose} needs the package SimpleITK, which is not installed; install it by pip install SimpleITK{instead}"
        ) from None
    return SimpleITK


_inside, _before, _counting = 0, 0, threading.Lock()


@contextlib.contextmanager
def one_thread_each(sitk: Any) -> Iterator[None]:
    """Inside, every filter of SimpleITK computes in one thread, those too that another filter makes for itself.

    What several threads add up depends in its last bits on how many they are, and on chance. Calls may run side by side: the last to
    leave brings back what was set before.
    """
    global _inside, _before
    with _counting:
        if not _inside:
            _before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        _inside += 1
    try:
        yield
    finally:
        with _counting:
            _inside -= 1
            if not _inside:
                sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(_before)


def workers(threads: int | None) -> int:
    """How many computations to run side by side: as many as threads were asked for, or as there are cores to run on."""
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
