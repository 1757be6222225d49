"""What a run demands of a computer, work and memory, from a bundle's description alone: neither torch nor safetensors is needed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from LDMSegLib.models.layout import Bundle

DECODE_PER_PARAMETER = 7.0
"""A decode works at the image's resolution, a step at the latents': so much more a parameter costs there, at four to one."""

GIB = 2**30
_AT_REST = 0.55  # GiB: Python with torch and MONAI loaded
_PER_IMAGE_VOXEL = 60.0  # bytes: four sequences in, six maps and their copies out
_DECODE_TENSORS, _STEP_TENSORS = 4.0, 20.0  # float32 tensors alive at once, at the first level's channels
_LONGEST_TABLE = 1 << 27  # bytes; no safetensors file describes itself at such length


def run_work(bundle: Bundle, mode: str, members: int, steps: int) -> float | None:
    """Return the work of a run: parameters × latent voxels of every step and decode, in 10¹².

    None where the bundle has no such mode or its weights cannot be read.
    """
    spec = bundle.specification
    parameters = parameter_counts(bundle)
    if mode not in spec.modes or parameters is None:
        return None
    chosen = spec.modes[mode]
    voxels = math.prod(spec.grid.shape) / spec.latent.downsampling**3
    step = parameters.get(chosen.unet, 0) + (parameters.get(chosen.controlnet, 0) if chosen.controlnet else 0)
    decode = parameters.get("autoencoder", 0) * DECODE_PER_PARAMETER
    return members * (steps * step + decode) * voxels / 1e12


def recorded_work(record: Mapping[str, Any], bundle: Bundle) -> float | None:
    """Return the work that a finished run has done, from its provenance.json; None where that does not tell."""
    try:
        sampling = record["sampling"]
        return run_work(bundle, sampling["mode"], int(sampling["members_finished"]), int(sampling["steps"]))
    except (KeyError, TypeError, ValueError):
        return None


def run_memory_gib(bundle: Bundle, mode: str, members: int, batch_size: int, image_voxels: int) -> float:
    """Return the memory that a run needs, in GiB.

    Args:
        bundle: from `LDMSegLib.models.bundle`.
        mode: one of the bundle's.
        members: of the ensemble.
        batch_size: members sampled at once at most; those of one view are sampled together, so there are never more than it has.
        image_voxels: of the reference image.
    """
    spec = bundle.specification
    together = min(batch_size, math.ceil(members / min(spec.modes[mode].views, members)))
    voxels = math.prod(spec.grid.shape)
    decode = voxels * _first_channels(bundle, "autoencoder") * 4.0 * _DECODE_TENSORS
    step = together * voxels / spec.latent.downsampling**3 * _first_channels(bundle, "unet") * 4.0 * _STEP_TENSORS
    return _AT_REST + (image_voxels * _PER_IMAGE_VOXEL + max(decode, step)) / GIB


def parameter_counts(bundle: Bundle) -> dict[str, int] | None:
    """Return the parameters of each network, from the weights file's own table of contents; None where it cannot be read."""
    try:
        with bundle.weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_TABLE:
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


def _first_channels(bundle: Bundle, network: str) -> int:
    channels = bundle.configurations.get(network, {}).get("channels")
    return int(channels[0]) if isinstance(channels, (list, tuple)) and channels else 64
