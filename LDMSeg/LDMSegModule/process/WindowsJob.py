"""A Windows job object, which ends all processes that a process has started."""

from __future__ import annotations

import ctypes
import subprocess

_EXTENDED_LIMITS = 9
_KILL_ON_CLOSE = 0x2000


class _Basic(ctypes.Structure):
    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class _Extended(ctypes.Structure):
    _fields_ = (("basic", _Basic), ("transfers", ctypes.c_uint64 * 6), ("memory", ctypes.c_size_t * 4))


class WindowsJob:
    """Also ends everything when Slicer itself goes, because Windows then closes the handle."""

    def __init__(self) -> None:
        self._kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        self._kernel.CreateJobObjectW.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(self._kernel.CreateJobObjectW(None, None))
        limits = _Extended()
        limits.basic.flags = _KILL_ON_CLOSE
        self._kernel.SetInformationJobObject(self._handle, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits))
        self._process: subprocess.Popen | None = None

    def add(self, process: subprocess.Popen) -> None:
        """Take in a process that has only just started."""
        self._process = process
        self._kernel.AssignProcessToJobObject(self._handle, ctypes.c_void_p(int(process._handle)))

    def terminate(self) -> None:
        """End all of it."""
        if not self._kernel.TerminateJobObject(self._handle, 1) and self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End what still runs in it."""
        if self._handle:
            self._kernel.CloseHandle(self._handle)
            self._handle = ctypes.c_void_p(None)
