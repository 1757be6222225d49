"""Import modules in a process of its own, which may crash, and tell the outcome as JSON lines.

Run as a file by the Python that is asked about, so it needs nothing but the standard library:

    python TrialImport.py PACKAGE:MODULE PACKAGE: ...      (without a module: only whether the package is there)

Each module is announced before it is tried: when the process crashes, the last one announced is to blame.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys


def tell(event: str, **values: object) -> None:
    """Write one event as a line of JSON."""
    os.write(_events, (json.dumps({"event": event, **values}) + "\n").encode())


def tried(package: str, module: str) -> dict[str, str]:
    """{"version": ...}, {"missing": ""} or {"broken": why}."""
    if not module:
        try:
            return {"version": importlib.metadata.version(package)}
        except importlib.metadata.PackageNotFoundError:
            return {"missing": ""}
    try:
        if importlib.util.find_spec(module) is None:
            return {"missing": ""}
        imported = importlib.import_module(module)
    except BaseException as error:  # whatever it throws, SystemExit too: it is broken
        return {"broken": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    try:
        return {"version": importlib.metadata.version(package)}
    except importlib.metadata.PackageNotFoundError:
        return {"version": str(getattr(imported, "__version__", ""))}


if __name__ == "__main__":
    _events = os.dup(1)
    os.dup2(2, 1)  # what modules print while they are imported is no event
    outcome = {}
    for argument in sys.argv[1:]:
        package, module = argument.split(":")
        tell("stage", stage=package, title=f"Trying {package}")
        outcome[package] = tried(package, module)
    tell("result", packages=outcome)
