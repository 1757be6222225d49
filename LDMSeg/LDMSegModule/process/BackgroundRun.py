"""Run the command line in the background: start, read its events, stop."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Protocol

from LDMSegModule.process.ProcessTree import ProcessTree
from LDMSegModule.process.RunEvent import ERROR, LOG, PROGRESS, RESULT, RunEvent
from LDMSegModule.process.RunOutcome import RunOutcome

CANCEL_SECONDS = 1.0
"""So long after `cancel()` what is left of the process tree is ended by force: all of it is gone within two seconds."""

OUTPUT_TIMEOUT_SECONDS = 600.0
"""How long a process whose launcher has ended may go on writing its result."""

EXIT_TIMEOUT_SECONDS = 3.0
"""How long it may run on after it has told its result."""

TURN_SECONDS = 0.001
"""So long each `poll` lets our threads run. Slicer holds Python's lock while it waits for events, so they stand still in between."""

_LINE_BYTES = 1 << 20
_LOG_LINES = 2000


class RunListener(Protocol):
    """Who is told, always inside `BackgroundRun.poll`."""

    def on_event(self, event: RunEvent) -> None: ...

    def on_end(self, outcome: RunOutcome) -> None:
        """Once, after the last event."""


class BackgroundRun:
    """One run of a command that tells JSON lines on its standard output.

    Reads in threads of its own, so the process never waits for us; tells the listener only when `poll()` is called, so a
    timer of the main thread decides where the listener runs.

        run = BackgroundRun(command.ldmseg(*parameters.arguments()), command.environment, listener)
        run.start()
        timer.connect("timeout()", run.poll)   # every 100 ms, until the listener hears on_end

    `cancel()` asks politely and ends the whole process tree within two seconds. `finish_early()` asks politely and leaves it
    the time it needs to write the finished members as a partial result; `cancel()` may still follow. Both need the polls to go
    on until `on_end`; whoever will poll no more calls `end()`, the one method that may block.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], listener: RunListener) -> None:
        self.command = tuple(command)
        self.outcome: RunOutcome | None = None
        self._environment, self._listener = environment, listener
        self._heard: queue.SimpleQueue[RunEvent | _Ended] = queue.SimpleQueue()
        self._told: list[RunEvent] = []
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._last_output = ""
        self._tree: ProcessTree | None = None
        self._over = threading.Event()
        self._asked = self._cancelled = self._concluded = False
        self._start = self._end = 0.0

    def start(self) -> None:
        """Start the process. That it cannot be started is told like any other end."""
        self._start = time.monotonic()
        try:
            self._tree = ProcessTree(self.command, self._environment)
        except OSError as error:
            self._heard.put(_Ended(None, RunOutcome.not_started(self.command, error)))
            return
        readers = [
            threading.Thread(target=self._read, args=(self._tree.process.stdout, RunEvent.parse), daemon=True),
            threading.Thread(target=self._read, args=(self._tree.process.stderr, RunEvent.log), daemon=True),
        ]
        for reader in readers:
            reader.start()
        threading.Thread(target=self._wait, args=(self._tree, readers), daemon=True).start()

    def poll(self) -> None:
        """Tell the listener what has happened since; of progress only the last."""
        latest: RunEvent | None = None
        if self.running:
            time.sleep(TURN_SECONDS)
        while self.outcome is None:
            try:
                heard = self._heard.get_nowait()
            except queue.Empty:
                break
            if isinstance(heard, RunEvent) and heard.kind == PROGRESS:
                latest = heard
                continue
            if latest is not None:
                self._listener.on_event(latest)
                latest = None
            if isinstance(heard, _Ended):
                self._finish(heard)
                return
            self._note(heard)
            self._listener.on_event(heard)
        if latest is not None:
            self._listener.on_event(latest)

    def cancel(self) -> None:
        """Stop now: a result only if it is there within `CANCEL_SECONDS`."""
        if self._tree is None or self._cancelled:
            return
        self._cancelled = True
        first, self._asked = not self._asked, True
        threading.Thread(target=self._end_tree, args=(self._tree, first), daemon=True).start()

    def finish_early(self) -> None:
        """Stop sampling and keep what is finished."""
        if self._tree is not None and not self._asked:
            self._asked = True
            self._tree.ask()

    def end(self) -> None:
        """Stop now and wait for it, `CANCEL_SECONDS` at most before it is ended by force: for whoever goes away and polls no more."""
        if self._tree is None or self._over.is_set():
            return
        if not self._asked:
            self._tree.ask()
        self._cancelled = self._asked = True
        if not self._over.wait(CANCEL_SECONDS):
            self._tree.kill()
            self._over.wait(CANCEL_SECONDS)

    @property
    def running(self) -> bool:
        """From `start()` until the listener has heard `on_end`."""
        return self._start > 0.0 and self.outcome is None

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop and has not ended yet."""
        return self.running and self._asked

    @property
    def seconds(self) -> float:
        """How long it runs, or ran."""
        return (self._end or time.monotonic()) - self._start if self._start else 0.0

    @property
    def log(self) -> str:
        """The last lines, without progress."""
        return "\n".join(self._log)

    def _note(self, event: RunEvent) -> None:
        if event.kind == LOG:
            self._last_output = event.message.strip() or self._last_output
        else:
            self._told.append(event)
        if event.text:
            self._log.append(event.text)

    def _finish(self, ended: _Ended) -> None:
        self._end = time.monotonic()
        self.outcome = ended.outcome or RunOutcome.judge(self._told, ended.exit_code, self._asked, self._last_output)
        if self.outcome.sentence:
            self._log.append(self.outcome.sentence)
        self._listener.on_end(self.outcome)

    def _read(self, stream: IO[bytes], understand: Callable[[str], RunEvent]) -> None:
        with stream:
            while line := stream.readline(_LINE_BYTES):
                event = understand(line.decode("utf-8", "replace").rstrip("\r\n"))
                self._concluded = self._concluded or event.kind in (RESULT, ERROR)
                self._heard.put(event)

    def _wait(self, tree: ProcessTree, readers: Sequence[threading.Thread]) -> None:
        exit_code = tree.process.wait()
        gone = time.monotonic()
        while any(reader.is_alive() for reader in readers):  # a launcher may be dead while what it started still writes
            readers[0].join(0.05)
            readers[1].join(0.05)
            if time.monotonic() - gone > (EXIT_TIMEOUT_SECONDS if self._concluded else OUTPUT_TIMEOUT_SECONDS):
                tree.kill()
                break
        for reader in readers:
            reader.join(1.0)
        self._over.set()
        tree.close()
        self._heard.put(_Ended(exit_code))

    def _end_tree(self, tree: ProcessTree, ask: bool) -> None:
        deadline = time.monotonic() + CANCEL_SECONDS
        if ask:
            tree.ask()
        tree.look_around()
        if not self._over.wait(max(0.0, deadline - time.monotonic())):
            tree.kill()


class _Ended:
    """The last thing heard."""

    def __init__(self, exit_code: int | None, outcome: RunOutcome | None = None) -> None:
        self.exit_code, self.outcome = exit_code, outcome
