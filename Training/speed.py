"""How fast a bundle segments a case here: an ensemble in each of its ways to sample, by the same code that users run."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from LDMSegLib.cases.case import load_case
from LDMSegLib.cases.naming import find_case
from LDMSegLib.errors import Cancelled
from LDMSegLib.events import Cancellation
from LDMSegLib.models.bundle import read_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.segment import Settings, segment


def measure(bundle_folder: Path, case_folder: Path, members: int, seconds: float, device: str = "auto") -> dict[str, Any]:
    """Segment a case in every steered mode, the quickest first.

    Args:
        members: of each ensemble.
        seconds: for all modes together; a mode that does not finish is reported with the members it finished.
        device: see `choose_device`.

    Returns:
        Mode → {"sampler", "steps", "members", "seconds" by stage and in all, from images in memory to a result in memory}.
    """
    bundle, where = read_bundle(bundle_folder), choose_device(device)
    specification = bundle.specification
    case = load_case(find_case(case_folder, specification.sequences), specification)
    cancellation = Cancellation()
    clock = threading.Timer(max(seconds, 0.0), cancellation.request)
    clock.daemon = True
    clock.start()
    batch = members if where.kind.startswith("cuda") else 8
    steered = sorted((mode.steps, name) for name, mode in specification.modes.items() if mode.controlnet)
    measured: dict[str, Any] = {}
    try:
        # What is loaded, compiled or tuned at the first use is no part of any mode.
        segment(case, Model(bundle, sampling_mode(specification, steered[0][1], None, 1), where), Settings(), cancellation=cancellation)
        for _, name in steered:
            mode = sampling_mode(specification, name, None, members)
            model, settings = Model(bundle, mode, where), Settings(batch_size=batch, mode_name=name)
            started = time.monotonic()
            done = segment(case, model, settings, cancellation=cancellation)
            measured[name] = {
                "sampler": mode.sampler,
                "steps": mode.steps,
                "members": done.members_finished,
                "seconds": {**done.provenance["timings_s"], "in all": round(time.monotonic() - started, 3)},
            }
    except Cancelled:
        pass  # the time is up before this mode had a member
    finally:
        clock.cancel()
    return measured
