"""Who hears what a command tells, and what its standard output may carry."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from LDMSegLib.events import JsonLines, Reporter, Silent, Terminal

JSON_EVENTS = "--json-events"


class Log(Silent):
    """What is going on to the standard output, and to the standard error only what a person has to know."""

    def stage(self, name: str, title: str) -> None:
        print(title, flush=True)

    def warning(self, message: str, **details: Any) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)

    def inputs(self, lines: Sequence[str], **details: Any) -> None:
        for line in lines:
            print(f"  {line}", flush=True)

    def error(self, message: str, **details: Any) -> None:
        print(f"error: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def console(arguments: list[str]) -> Iterator[Reporter]:
    """A progress bar on a terminal, lines elsewhere; or, with --json-events, JSON on a standard output that carries nothing else.

    A program without a console (a service, pythonw) has no standard streams at all; what is told there is told to nobody.
    """
    with contextlib.ExitStack() as stack:
        for name, redirect in (("stdout", contextlib.redirect_stdout), ("stderr", contextlib.redirect_stderr)):
            if getattr(sys, name) is None:
                stack.enter_context(redirect(stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))))
        yield stack.enter_context(_console(arguments))


@contextlib.contextmanager
def _console(arguments: list[str]) -> Iterator[Reporter]:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a letter shall not end a run
    if JSON_EVENTS not in arguments:
        try:
            yield Terminal() if sys.stderr.isatty() else Log()
        except BrokenPipeError:
            silence(sys.stdout)
            raise
        return
    with _own_stdout() as stream:
        yield JsonLines(stream)


@contextlib.contextmanager
def _own_stdout() -> Iterator[IO[str]]:
    """The standard output for the caller alone: what anyone else prints, Python or not, goes to standard error."""
    stream = sys.stdout
    with contextlib.ExitStack() as stack:
        if _is_descriptor_1(stream):
            stream.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            stream = os.fdopen(os.dup(kept), "w", encoding="utf-8")
            stack.callback(silence, stream)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield stream


def _is_descriptor_1(stream: IO[str]) -> bool:
    try:
        return stream.fileno() == 1
    except (AttributeError, OSError, ValueError):  # no stream, or one that is no file
        return False


def silence(stream: IO[str]) -> None:
    """Close a stream whose reader may be gone, without the complaint that would make at the interpreter's end."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), stream.fileno())
    if stream is not sys.__stdout__:
        with contextlib.suppress(OSError, ValueError):
            stream.close()
