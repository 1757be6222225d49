"""Seconds and memory of a run, before it starts."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from LDMSegLib.models.layout import Bundle
from LDMSegModule.checks.Pace import Pace, units

REFERENCE = Pace("cpu", 2, seconds_per_unit=1.1, seconds_around=11.5, measured_here=False)
"""The embedded bundle on two server cores that multiply bfloat16 (see the model card's speed table), reading eight views included."""

GIB = 2**30
_HELPFUL_CORES = 8  # more than these are not believed to help
_AT_REST = 0.55  # GiB: Python with torch and MONAI loaded
_PER_IMAGE_VOXEL = 60.0  # bytes: four sequences in, six maps and their copies out
_DECODE_TENSORS, _STEP_TENSORS = 4.0, 20.0  # float32 tensors alive at once, at the first level's channels


@dataclass(frozen=True)
class Estimate:
    """What a run will take, roughly. `seconds` is None where nothing tells; `at_most` where the device may be much faster."""

    seconds: float | None
    memory_gib: float
    at_most: bool
    measured_here: bool
    warning: str = ""

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        mode: str = "",
        members: int | None = None,
        steps: int | None = None,
        device: str = "auto",
        batch_size: int = 8,
        pace: Pace | None = None,
        image_voxels: int = 240 * 240 * 155,
        cores: int | None = None,
        total_memory_gib: float | None = None,
    ) -> Estimate:
        """Work it out from a bundle's description.

        Args:
            bundle: from `LDMSegLib.models.bundle`.
            mode, members, steps: as chosen; the bundle's without.
            device: as chosen; "auto" may turn out to be a GPU.
            batch_size: members sampled at once at most; those of one view are sampled together, so there are never more than it has.
            pace: of an earlier run on this computer, see `Pace.measured`.
            image_voxels: of the reference volume.
            cores: of this computer; asked without.
            total_memory_gib: of this computer; asked without.
        """
        spec = bundle.specification
        chosen = spec.modes.get(mode or spec.default_mode) or spec.modes[spec.default_mode]
        members, steps = members or chosen.members, steps or chosen.steps
        cores = cores or os.cpu_count() or 1
        work = units(bundle, mode or spec.default_mode, members, steps)
        pace = pace if pace is not None and device in ("auto", pace.device) else None
        used = pace or REFERENCE
        seconds = None if work is None else used.seconds_around + work * used.seconds_per_unit * _slower(used, cores)
        together = min(batch_size, math.ceil(members / min(chosen.views, members)))
        memory = _memory_gib(bundle, together, image_voxels)
        total = total_memory_gib if total_memory_gib is not None else _installed_gib()
        warning = ""
        if total is not None and memory > 0.8 * total:
            warning = f"This run needs about {memory:.1f} GiB of memory and the computer has {total:.1f}; choose smaller batches."
        return cls(seconds, memory, at_most=pace is None and device != "cpu", measured_here=pace is not None, warning=warning)

    @property
    def text(self) -> str:
        """For the panel, in one line."""
        memory = f"about {self.memory_gib:.1f} GiB of memory"
        if self.seconds is None:
            return f"Time unknown; {memory}"
        kind = "At most about" if self.at_most else "About"
        source = "by the last run here" if self.measured_here else "on CPU cores like those it was measured on"
        return f"{kind} {in_words(self.seconds)}, {memory} ({source})"


def in_words(seconds: float) -> str:
    """As a person says it: "15 s", "3 min", "1.5 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _slower(pace: Pace, cores: int) -> float:
    """How much slower than the pace this computer is for having other cores; one of its own, or of a GPU, holds as it is."""
    return 1.0 if pace.measured_here or pace.device != "cpu" else pace.cores / min(cores, _HELPFUL_CORES)


def _memory_gib(bundle: Bundle, together: int, image_voxels: int) -> float:
    spec = bundle.specification
    voxels = math.prod(spec.grid.shape)
    decode = voxels * _first_channels(bundle, "autoencoder") * 4.0 * _DECODE_TENSORS
    step = together * voxels / spec.latent.downsampling**3 * _first_channels(bundle, "unet") * 4.0 * _STEP_TENSORS
    return _AT_REST + (image_voxels * _PER_IMAGE_VOXEL + max(decode, step)) / GIB


def _first_channels(bundle: Bundle, network: str) -> int:
    channels = bundle.configurations.get(network, {}).get("channels")
    return int(channels[0]) if isinstance(channels, (list, tuple)) and channels else 64


def _installed_gib() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    except (AttributeError, OSError, ValueError):  # Windows
        return None
