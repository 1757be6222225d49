"""What a run will take, in one line for the panel."""

from __future__ import annotations

import os

from LDMSegLib.models.demands import GIB, run_memory_gib, run_work
from LDMSegLib.models.layout import Bundle
from LDMSegLib.remaining_time import REFERENCE, RemainingTime, duration

_BRATS_IMAGE = 240 * 240 * 155


def estimate(
    bundle: Bundle,
    mode: str,
    members: int | None = None,
    steps: int | None = None,
    device: str = "auto",
    batch_size: int = 8,
    known: RemainingTime | None = None,
    image_voxels: int = 0,
    cores: int | None = None,
    total_memory_gib: float | None = None,
) -> str:
    """Return one line on time and memory, and a second one where the memory does not suffice.

    Args:
        bundle: from `LDMSegLib.models.bundle`.
        mode: one of the bundle's.
        members, steps: as chosen; the mode's without.
        device: as chosen; "auto" may turn out to be a GPU.
        batch_size: members sampled at once at most.
        known: of an earlier run on this computer; it counts where it is of the same device.
        image_voxels: of the reference volume; a usual number where it is 0.
        cores, total_memory_gib: of this computer; asked without.
    """
    chosen = bundle.specification.modes[mode]
    members, steps = members or chosen.members, steps or chosen.steps
    known = known if known is not None and device in ("auto", known.device) else None
    work = run_work(bundle, mode, members, steps)
    needed = run_memory_gib(bundle, mode, members, batch_size, image_voxels or _BRATS_IMAGE)
    memory = f"about {needed:.1f} GiB of memory"
    if work is None:
        said = f"Time unknown; {memory}"
    else:
        seconds = (known or REFERENCE).in_all(work, cores or os.cpu_count() or 1)
        kind = "At most about" if known is None and device != "cpu" else "About"  # the device may be much faster than a CPU
        source = "by the last run here" if known is not None else "on CPU cores like those it was measured on"
        said = f"{kind} {duration(seconds)}, {memory} ({source})"
    total = total_memory_gib if total_memory_gib is not None else _installed_gib()
    if total is not None and needed > 0.8 * total:
        said += f"\nThis run needs {memory} and the computer has {total:.1f}; choose smaller batches."
    return said


def _installed_gib() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    except (AttributeError, OSError, ValueError):  # Windows
        return None
