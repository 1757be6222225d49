"""A file by whose appearance a program that drives us asks us to stop, as a person does with Ctrl-C; the same on every system.

Signals do not do for that: on Windows a console event reaches only those who share the console, and Slicer's Python is there
started by a launcher with a console of its own.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "LDMSEG_STOP_FILE"
"""The environment variable that names the file. It need not be there at the start."""

SECONDS = 0.1
"""Between two looks at it."""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Inside, the appearance of the file that `VARIABLE` names counts as one Ctrl-C in the main thread.

    Nothing is watched where the variable is not set, or away from the main thread, which alone can be interrupted. Only the first
    appearance counts, and a file that was there before counts at once.
    """
    file = os.environ.get(VARIABLE, "")
    if not file or threading.current_thread() is not threading.main_thread():
        yield
        return
    lock, over = threading.Lock(), threading.Event()

    def watch() -> None:
        while not Path(file).exists():
            if over.wait(SECONDS):
                return
        with lock:  # never after the end
            if not over.is_set():
                _thread.interrupt_main()

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # what a shell starts in the background ignores Ctrl-C, and we would ignore the file with it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=watch, name="stop file", daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)
