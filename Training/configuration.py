"""One JSON file says everything about a model: its words, grid, networks, split and the recipe of every phase."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError
from LDMSegLib.specification import Grid, Intensity, Label, Region, Schedule, Sequence, from_dict


@dataclass(frozen=True)
class Phase:
    """How one phase is trained. Zero or False switches an augmentation off.

    Give either `steps` (optimiser steps) or `epochs` (passes over the phase's data). `schedule` is "constant" or
    "cosine"; `ema` the decay of the averaged weights (0 = none); `crop` the size of tumour-centred crops, with a full
    volume every `full_every` items; `rotation` in degrees, `scaling` and `intensity`
    relative, `elastic` in voxels; `sequence_dropout` the
    chance of each sequence to be missing; `copies` how many changed versions of each latent are cached; `draws` how many
    noise levels one MRI serves in a step; `transplants` the share of training items that are lesion crops in another brain.
    """

    batch_size: int
    learning_rate: float
    steps: int = 0
    epochs: int = 0
    schedule: str = "constant"
    warmup: int = 0
    ema: float = 0.0
    flips: bool = False
    rotation: float = 0.0
    scaling: float = 0.0
    elastic: float = 0.0
    intensity: float = 0.0
    sequence_dropout: float = 0.0
    transplants: float = 0.0
    crop: tuple[int, ...] = ()
    full_every: int = 0
    kl_weight: float = 0.0
    draws: int = 1
    copies: int = 1
    sample_latents: bool = False
    supervised_weight: float = 0.0
    validate_every: int = 500
    precision: str = "bf16-mixed"


@dataclass(frozen=True)
class Configuration:
    """A parsed configuration file. `latent` holds channels and downsampling; scale and shift are measured in training."""

    name: str
    title: str
    sequences: tuple[Sequence, ...]
    reference: str
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    grid: Grid
    intensity: Intensity
    latent: Mapping[str, Any]
    schedule: Schedule
    modes: Mapping[str, Any]
    default_mode: str
    networks: Mapping[str, Mapping[str, Any]]
    validation: tuple[str, ...]
    excluded: tuple[str, ...]
    phases: Mapping[str, Phase]

    @property
    def held_out(self) -> frozenset[str]:
        """Names that no phase may train on: validation cases and everything that stems from them."""
        return frozenset(self.validation) | frozenset(self.excluded)


def read_configuration(path: Path) -> Configuration:
    """Read a configuration file and the vocabulary it names beside itself.

    Raises:
        InputError: the file is missing, not JSON, or lacks an entry.
    """
    data = _read(Path(path))
    words = _read(Path(path).parent / data["vocabulary"])
    try:
        return Configuration(
            name=data["name"],
            title=data["title"],
            sequences=tuple(from_dict(Sequence, item, "sequences") for item in words["sequences"]),
            reference=words["reference"],
            labels=tuple(from_dict(Label, item, "labels") for item in words["labels"]),
            regions=tuple(from_dict(Region, item, "regions") for item in words["regions"]),
            grid=from_dict(Grid, data["grid"], "grid"),
            intensity=from_dict(Intensity, data["intensity"], "intensity"),
            latent=data["latent"],
            schedule=from_dict(Schedule, data["schedule"], "schedule"),
            modes=data["modes"],
            default_mode=data["default_mode"],
            networks=data["networks"],
            validation=tuple(data["split"]["validation"]),
            excluded=tuple(data["split"]["excluded"]),
            phases={name: from_dict(Phase, phase, f"phases.{name}") for name, phase in data["phases"].items()},
        )
    except KeyError as error:
        raise InputError(f"the configuration {path} has no entry {error}; add it (see Training/configs/small.json)") from None


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"the configuration {path} does not exist; give one of Training/configs/*.json") from None
    except json.JSONDecodeError as error:
        raise InputError(f"the configuration {path} is not valid JSON ({error}); correct it") from None
