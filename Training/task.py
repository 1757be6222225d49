"""What a phase brings to the training loop: data, network and loss. It knows nothing of devices, files or clocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils.data import Dataset

from Training.configuration import Phase

Batch = dict[str, torch.Tensor]
Scalars = dict[str, float]
Pictures = dict[str, torch.Tensor]


class Task:
    """A phase. Its constructor takes (configuration, options, fabric) and sets `phase`, `model` and `dataset`."""

    name: ClassVar[str]
    phase: Phase
    model: nn.Module  # what is trained; everything else the task holds is frozen
    dataset: Dataset

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        """Loss of one batch and scalars worth a curve. All randomness comes from `generator`."""
        raise NotImplementedError

    def validate(self, model: nn.Module) -> tuple[Scalars, Pictures]:
        """Scalars and example pictures (C, H, W) on the held-out cases, from the averaged weights."""
        raise NotImplementedError

    def extras(self) -> dict[str, Any]:
        """What the checkpoint keeps besides the weights, e.g. the latent's scale."""
        return {}


def dice_by_region(names: Sequence[str], scores: Sequence[torch.Tensor]) -> Scalars:
    """`dice_<region>` → mean over the cases of (R,) scores each."""
    return {f"dice_{name}": float(dice) for name, dice in zip(names, torch.stack(list(scores)).mean(dim=0), strict=True)}


def picture(channels: torch.Tensor) -> torch.Tensor:
    """A (3, H, W) picture in [0, 1] of the slice with most signal of a (C, X, Y, Z) volume, its channels side by side."""
    volume = channels.detach().float().cpu()
    z = int(volume.clamp(0, 1).sum(dim=(0, 1, 2)).argmax())
    row = torch.cat([channel[:, :, z].T.flip(0) for channel in volume], dim=1)
    return row.clamp(0, 1)[None].repeat(3, 1, 1)


def two_pictures(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """One picture above another, of two (C, X, Y, Z) volumes."""
    return torch.cat([picture(above), picture(below)], dim=1)
