"""Phase 2b: the conditioning encoder learns to read MRI with an ordinary supervised head, before the ControlNet uses it.

    python -m Training.conditioning --config Training/configs/small.json --data DATA --run runs/small

Only for configurations whose conditioning network has such a head; the paper's strided embedding is trained with the
ControlNet alone.
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import nn

from LDMSegLib.models.networks import build
from Training.configuration import Configuration
from Training.datasets import Cases
from Training.engine import Options, main
from Training.losses import hard_dice, region_loss
from Training.prepared_cases import Validation
from Training.task import Batch, Pictures, Scalars, Task, dice_by_region, two_pictures


class ConditioningTask(Task):
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

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        return region_loss(model(batch["image"]), batch["regions"]), {}

    def validate(self, model: nn.Module) -> tuple[Scalars, Pictures]:
        scores, losses, pictures = [], [], {}
        for case in self._validation:
            target = case["regions"].to(self._device)
            logits = model(case["image"][None].to(self._device))
            probabilities = torch.sigmoid(logits.float())[0]
            losses.append(region_loss(logits, target[None]))
            scores.append(hard_dice(probabilities, target))
            pictures[case["name"]] = two_pictures(target, probabilities)
        if not scores:
            return {}, {}
        return {"loss": float(torch.stack(losses).mean()), **dice_by_region(self._names, scores)}, pictures


if __name__ == "__main__":
    main(ConditioningTask, __doc__)
