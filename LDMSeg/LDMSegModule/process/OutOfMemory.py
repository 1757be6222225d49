"""Recognise from its output or exit code that a process ran out of memory."""

from __future__ import annotations

import signal

_SIGNS = (
    "needs more memory than",  # our own, of one member alone
    "memory does not suffice",  # our own, of everything else
    "out of memory",  # CUDA, MPS, the system's log
    "can't allocate memory",  # torch's CPU allocator
    "not enough memory",
    "cannot allocate memory",
    "bad_alloc",
    "memoryerror",
)


def is_out_of_memory(text: str) -> bool:
    """Whether a sentence or a log says so."""
    lowered = text.lower()
    return any(sign in lowered for sign in _SIGNS)


def may_be_out_of_memory(exit_code: int | None) -> bool:
    """Whether a process ended as Linux and macOS end one that takes more than there is: SIGKILL, told by us or by a shell."""
    number = getattr(signal, "SIGKILL", None)
    return number is not None and exit_code in (-number, 128 + number)
