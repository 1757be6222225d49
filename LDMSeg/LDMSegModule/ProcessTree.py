"""A process with everything it starts: asked to stop, and ended, as one."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from LDMSegModule.WindowsJob import WindowsJob

_NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)

# Run by the same Python as the process itself: a console's Ctrl-Break reaches only those who share the console, and Slicer on
# Windows has none. The helper joins the process's own invisible console and presses it there, for that process group alone.
_PRESS_BREAK = (
    "import ctypes, sys; k = ctypes.windll.kernel32; k.FreeConsole(); k.AttachConsole(int(sys.argv[1])); "
    "k.GenerateConsoleCtrlEvent(1, int(sys.argv[1]))"
)


class ProcessTree:
    """Starts a command and holds on to all that comes of it, even where the process that was started (Slicer's Python is a
    launcher) has died before the one that works.

    POSIX: a session of its own, so that signals reach the whole group. Windows: a job object.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; standard output and error are pipes of bytes, standard input is empty.

        Raises:
            OSError: it cannot be started.
        """
        self._command, self._environment = list(command), dict(environment)
        self._job = WindowsJob() if os.name == "nt" else None
        self._strays: list[int] | None = None
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=os.name != "nt",
            creationflags=_NEW_GROUP | _NO_WINDOW if os.name == "nt" else 0,
        )
        if self._job is not None:
            self._job.add(self.process)
        atexit.register(self.kill)  # Slicer is closed in the middle of a run

    def ask(self) -> None:
        """SIGTERM, or Ctrl-Break, to all of it: what is finished is kept and written."""
        if self._job is None:
            self._signal(signal.SIGTERM)
            return
        with contextlib.suppress(OSError):
            subprocess.Popen([self._command[0], "-c", _PRESS_BREAK, str(self.process.pid)], env=self._environment, creationflags=_NO_WINDOW)

    def look_around(self) -> None:
        """Note who belongs to it, which takes a moment on a busy computer, so that `kill` need not."""
        if self._job is None:
            self._strays = _descendants(self.process.pid)

    def kill(self) -> None:
        """End all of it now. What has already ended does no harm."""
        if self._job is not None:
            self._job.terminate()
            return
        if self._strays is None:
            self.look_around()
        self._signal(signal.SIGKILL)
        for pid in self._strays or ():  # those that left the group
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it, after its end."""
        atexit.unregister(self.kill)
        if self._job is not None:
            self._job.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS forbids signalling a group of zombies
            os.killpg(self.process.pid, number)


def _descendants(pid: int) -> list[int]:
    """The processes below one, as `ps` tells (Linux and macOS); none where it does not."""
    try:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, timeout=0.5).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = (int(word) for word in line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
