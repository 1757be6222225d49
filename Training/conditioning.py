"""Phase 2b: the conditioning encoder learns to read MRI with an ordinary supervised head, before the ControlNet uses it.

    python -m Training.conditioning --config Training/configs/small.json --data DATA --run runs/small

Only for configurations whose conditioning network has such a head; the paper's strided embedding is trained with the
ControlNet alone.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from LDMSegLib.models.networks import build
from Training.configuration import Configuration
from Training.datasets import Cases, Validation
from Training.engine import Options, main, picture
from Training.losses import hard_dice, region_loss


class ConditioningTask:
    """Segment directly; what is learned becomes the ControlNet's eyes."""

    name = "conditioning"

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        # Only the backbone has a loss here; the projection to the ControlNet is trained with the ControlNet.
        self.model = build(configuration.networks["conditioning"]).backbone
        self.dataset = Cases(configuration, options.run, self.phase, options.seed)
        self._validation = Validation(options.run)
        self._device = fabric.device
        self._names = [region.name for region in configuration.regions]

    def loss(
        self, model: nn.Module, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return region_loss(model(batch["image"]), batch["regions"]), {}

    def validate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        scores, losses, pictures = [], [], {}
        for case in self._validation:
            target = case["regions"].to(self._device)
            logits = model(case["image"][None].to(self._device))
            probabilities = torch.sigmoid(logits.float())[0]
            losses.append(region_loss(logits, target[None]))
            scores.append(hard_dice(probabilities, target))
            pictures[case["name"]] = torch.cat([picture(target), picture(probabilities)], dim=1)
        if not scores:
            return {}, {}
        dice = torch.stack(scores).mean(dim=0)
        scalars = {f"dice_{name}": float(d) for name, d in zip(self._names, dice, strict=True)}
        return {"loss": float(torch.stack(losses).mean()), **scalars}, pictures

    def extras(self) -> dict[str, Any]:
        return {}


if __name__ == "__main__":
    main(ConditioningTask, __doc__)
