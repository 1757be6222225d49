"""Runs `ldmseg` commands as on Windows, as far as that can be played on another system.

    python -X warn_default_encoding -W default::EncodingWarning as_on_windows.py COMMANDS.json OUTCOME.json

COMMANDS.json is a list of argument lists. To LDMSegLib, and to nobody else, Unix's modules cannot be imported, `os`, `signal`
and `sys` look as they do there, and text opened without an encoding is an error, because there it would not be UTF-8. For
everybody no file is renamed onto another, and none that is open is replaced, renamed or deleted.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import pkgutil
import signal
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

WATCHED = "LDMSegLib"
UNIX_MODULES = {"_posixsubprocess", "crypt", "fcntl", "grp", "nis", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}
UNIX_OS = set(
    "chown chroot confstr ctermid eventfd fchdir fchmod fchown fork forkpty getegid geteuid getgid getgrouplist getgroups getloadavg "
    "getpgid getpgrp getpriority getresgid getresuid getsid getuid getxattr initgroups killpg lchown lockf makedev major memfd_create "
    "minor mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn posix_spawnp pread preadv "
    "process_cpu_count pwrite pwritev readv register_at_fork sched_getaffinity sched_setaffinity sched_yield sendfile setegid seteuid "
    "setgid setgroups setpgid setpriority setregid setresgid setresuid setreuid setsid setuid setxattr splice statvfs sync sysconf "
    "tcgetpgrp tcsetpgrp ttyname uname unshare wait wait3 wait4 waitid writev O_CLOEXEC O_DIRECTORY O_DIRECT O_DSYNC O_NOATIME "
    "O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC O_TMPFILE WNOHANG".split()
)
UNIX_SIGNAL = set(
    "SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH alarm "
    "getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo".split()
)


class Seen(types.ModuleType):
    """A module as it looks elsewhere: without some names, and with others instead."""

    def __init__(self, real: types.ModuleType, missing: set[str], instead: Mapping[str, Any]) -> None:
        super().__init__(real.__name__)
        self.__dict__.update(_real=real, _missing=missing, _instead=instead)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module '{self._real.__name__}' has no attribute '{name}' on Windows")
        return self._instead[name] if name in self._instead else getattr(self._real, name)


def play_windows() -> None:
    """From here on, in this process."""
    _play_files()
    seen = {
        "os": Seen(os, UNIX_OS, {"name": "nt", "open": _no_folder(os.open)}),
        "signal": Seen(signal, UNIX_SIGNAL, {}),
        "sys": Seen(sys, {"getdlopenflags", "setdlopenflags", "abiflags"}, {"platform": "win32"}),
    }
    real_import = builtins.__import__

    def imported(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if str((globals or {}).get("__name__", "")).partition(".")[0] == WATCHED and not level:
            if name.partition(".")[0] in UNIX_MODULES:
                raise ModuleNotFoundError(f"No module named '{name}' on Windows", name=name)
            if name in seen:
                return seen[name]
        return real_import(name, globals, locals, fromlist, level)

    builtins.__import__ = imported
    warnings.filterwarnings("ignore", category=EncodingWarning)
    warnings.filterwarnings("error", category=EncodingWarning, module=rf"{WATCHED}(\.|$)")


def _play_files() -> None:
    rename, replace, unlink = os.rename, os.replace, os.unlink

    def renamed(source: Any, target: Any, **more: Any) -> None:
        if os.path.lexists(target):
            raise FileExistsError(183, "Cannot create a file when that file already exists", str(target))
        _refuse_open(source)
        rename(source, target, **more)

    def replaced(source: Any, target: Any, **more: Any) -> None:
        if os.path.isdir(target):
            raise PermissionError(13, "Access is denied", str(target))
        _refuse_open(source, target)
        replace(source, target, **more)

    def unlinked(path: Any, *, dir_fd: int | None = None) -> None:
        if dir_fd is None:
            _refuse_open(path)
        unlink(path, dir_fd=dir_fd)

    os.rename, os.replace, os.unlink, os.remove = renamed, replaced, unlinked, unlinked


def _refuse_open(*paths: Any) -> None:
    """Raise as Windows does where a file, or one in a folder, is open or mapped into memory. Known on Linux only."""
    used = set(_open_files())
    for path in map(os.path.abspath, paths):
        if busy := [file for file in used if file == path or file.startswith(path + os.sep)]:
            raise PermissionError(32, "The process cannot access the file because it is being used by another process", busy[0])


def _open_files() -> list[str]:
    found = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        try:
            found.append(os.readlink(descriptor))
        except OSError:  # the one that lists the others
            continue
    maps = Path("/proc/self/maps")
    if maps.is_file():
        found += [line.split(maxsplit=5)[5] for line in maps.read_text(encoding="utf-8").splitlines() if "/" in line]
    return found


def _no_folder(real: Callable[..., int]) -> Callable[..., int]:
    def opened(path: Any, *more: Any, **named: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *more, **named)

    return opened


def main() -> None:
    commands, outcome = (Path(argument) for argument in sys.argv[1:3])
    asked = json.loads(commands.read_text(encoding="utf-8"))
    play_windows()
    not_imported, codes = {}, []
    package = importlib.import_module(WATCHED)
    for module in pkgutil.walk_packages(package.__path__, f"{WATCHED}."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except Exception:
            not_imported[module.name] = traceback.format_exc(limit=-2)
    cli = importlib.import_module(f"{WATCHED}.cli.entry_point")
    codes += [cli.main(arguments) for arguments in asked]
    told = {"not_imported": not_imported, "codes": codes, "modules": sorted(name for name in sys.modules if name.startswith(WATCHED))}
    outcome.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
