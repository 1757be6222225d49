"""How fast a device gets on: measured once on a known one, then by every run on the user's own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from LDMSegLib.models.layout import Bundle

DECODE_PER_PARAMETER = 7.0
"""A decode works at the image's resolution, a step at the latents': so much more a parameter costs there, at four to one."""


@dataclass(frozen=True)
class Pace:
    """`seconds_per_unit` of sampling (see `units`) and `seconds_around` it (start-up, reading, writing) on one kind of device."""

    device: str
    cores: int
    seconds_per_unit: float
    seconds_around: float
    measured_here: bool

    @classmethod
    def measured(cls, provenance: Mapping[str, Any], bundle: Bundle, seconds: float, cores: int) -> Pace | None:
        """Of a finished run: what its provenance.json says, and how long it took in all. None where that does not tell."""
        try:
            sampling, sample = provenance["sampling"], float(provenance["timings_s"]["sample"])
            # raw scans are announced for themselves; the next run may have none
            seconds -= sum(float(value) for value in (provenance.get("preparation") or {}).get("seconds", {}).values())
            work = units(bundle, sampling["mode"], int(sampling["members_finished"]), int(sampling["steps"]))
            if work is None or not work > 0.0 or not 0.0 < sample <= seconds:
                return None
            return cls(str(provenance["device"]["kind"]), cores, sample / work, seconds - sample, True)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None

    def to_text(self) -> str:
        """For the application's settings."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Pace | None:
        """What `to_text` gave; None for anything else."""
        try:
            pace = cls(**json.loads(text))
            usable = pace.seconds_per_unit > 0.0 and math.isfinite(pace.seconds_per_unit) and pace.seconds_around >= 0.0
            return pace if usable else None
        except (TypeError, ValueError):
            return None


def units(bundle: Bundle, mode: str, members: int, steps: int) -> float | None:
    """The work of a run: parameters × latent voxels of every step and decode, in 10¹². None where the weights cannot be read."""
    spec = bundle.specification
    if mode not in spec.modes:
        return None
    parameters = bundle_parameters(bundle)
    if parameters is None:
        return None
    chosen = spec.modes[mode]
    voxels = math.prod(spec.grid.shape) / spec.latent.downsampling**3
    step = parameters.get(chosen.unet, 0) + (parameters.get(chosen.controlnet, 0) if chosen.controlnet else 0)
    decode = parameters.get("autoencoder", 0) * DECODE_PER_PARAMETER
    return members * (steps * step + decode) * voxels / 1e12


def bundle_parameters(bundle: Bundle) -> dict[str, int] | None:
    """Parameters of each network, from the weights file's own table of contents: neither torch nor safetensors is needed."""
    try:
        with bundle.weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > 1 << 27:  # no table is that long: not a safetensors file
                return None
            table = json.loads(file.read(length))
        counts: dict[str, int] = {}
        for key, entry in table.items():
            if key != "__metadata__":
                network = key.split(".")[0]
                counts[network] = counts.get(network, 0) + math.prod(entry["shape"])
        return counts
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
