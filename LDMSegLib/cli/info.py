"""`ldmseg info`: what is installed, where it would run, and with how much memory."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from LDMSegLib.cli import options
from LDMSegLib.cli.tables import table
from LDMSegLib.errors import LDMSegError
from LDMSegLib.events import Reporter
from LDMSegLib.models.bundle import list_bundles, user_folder
from LDMSegLib.results.provenance import RESEARCH_USE, software_versions

GIB = 2**30


def run(arguments: list[str], reporter: Reporter) -> int:
    """Run the command; see `cli` for what the exit codes mean."""
    parser = options.Parser("info", "What is installed, on which device it would run, with how much memory, and which bundles there are.")
    args = parser.parse_args(arguments)
    told = {
        "software": software_versions(),
        "device": _device(),
        "memory_gib": _memory_gib(),
        "cores": os.cpu_count(),
        "bundles": {listed.name: listed.problem or "usable" for listed in list_bundles()},
        "user_bundles": str(user_folder()),
        "intended_use": RESEARCH_USE,
    }
    reporter.result(**told)
    if not args.json_events:
        print(_text(told))
    return 0


def _device() -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return {"kind": None, "name": "torch is not installed, so nothing can be segmented", "precision": None, "memory_gib": None}
    import torch

    from LDMSegLib.models.device import choose_device

    try:
        device = choose_device()
    except LDMSegError as error:
        return {"kind": None, "name": str(error), "precision": None, "memory_gib": None}
    free = torch.cuda.mem_get_info()[0] / GIB if device.kind.startswith("cuda") else None
    return {"kind": device.kind, "name": device.name, "precision": device.precision, "memory_gib": free and round(free, 1)}


def _memory_gib() -> float | None:
    """The computer's memory; None where the system does not say it this way (Windows)."""
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _text(told: dict[str, Any]) -> str:
    device, memory = told["device"], told["memory_gib"]
    rows = list(told["software"].items())
    rows += [("device", " ".join(part for part in (device["name"], device["precision"]) if part))]
    if device["memory_gib"] is not None:
        rows += [("its memory", f"{device['memory_gib']} GiB free")]
    rows += [("memory", f"{memory} GiB" if memory else "unknown"), ("cores", told["cores"])]
    rows += [("bundle", f"{name}: {state}") for name, state in told["bundles"].items()] or [("bundle", "none")]
    rows += [("your bundles", told["user_bundles"])]
    return f"{table(rows, '<<', indent='')}\n\n{told['intended_use']}"
