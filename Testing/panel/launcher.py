"""Stands where PythonSlicer does: a launcher that starts the real Python and passes on what it says and how it ends.

As CTKAppLauncher does, it tells a process that crashed or was killed in its own words, with exit code 1. The real process is in a
session of its own: on Windows a console event that is sent to the launcher does not reach it, and here a signal does not.

    python launcher.py PROGRAM ARGUMENTS...
"""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    code = subprocess.call(sys.argv[1:], start_new_session=True)
    if code < 0:
        print("error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem.", file=sys.stderr, flush=True)
    sys.exit(code if code >= 0 else 1)
