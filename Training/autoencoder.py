"""Phase 1: the compression autoencoder on region maps (f = 4).

python -m Training.autoencoder --config Training/configs/small.json --data DATA --run runs/small
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from LDMSegLib.models.networks import build
from Training.configuration import Configuration
from Training.datasets import LabelMaps, Validation
from Training.engine import Options, main, picture
from Training.losses import hard_dice, region_loss


class AutoencoderTask:
    """Reconstruct region maps through a latent that is kept near a standard normal."""

    name = "autoencoder"

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        self.model = build(configuration.networks["autoencoder"])
        self.dataset = LabelMaps(configuration, options.run, self.phase, options.seed)
        self._validation = Validation(options.run)
        self._device = fabric.device
        self._names = [region.name for region in configuration.regions]

    def loss(
        self, model: nn.Module, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        target = batch["regions"]
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))  # the network draws its own noise
        logits, mean, deviation = model(centred(target))
        reconstruction = region_loss(logits, target)
        mean, deviation = mean.float(), deviation.float()
        # Kingma & Welling 2014 (arXiv:1312.6114), appendix B, averaged over the latent's values.
        divergence = 0.5 * (mean**2 + deviation**2 - torch.log(deviation**2 + 1e-8) - 1).mean()
        return reconstruction + self.phase.kl_weight * divergence, {"reconstruction": reconstruction.detach(), "kl": divergence.detach()}

    def validate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        return reconstructions(model, self._validation, self._device, self._names)

    def extras(self) -> dict[str, Any]:
        return {}


def reconstructions(
    autoencoder: nn.Module, cases: Validation, device: torch.device, names: list[str]
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Dice per region of decode(encode(truth)), mean over cases, and pictures of truth above reconstruction."""
    scores, pictures = [], {}
    for case in cases:
        target = case["regions"][None].to(device)
        mean, _ = autoencoder.encode(centred(target))
        probabilities = torch.sigmoid(autoencoder.decode(mean).float())[0]
        scores.append(hard_dice(probabilities, target[0]))
        pictures[case["name"]] = torch.cat([picture(target[0]), picture(probabilities)], dim=1)
    if not scores:
        return {}, {}
    dice = torch.stack(scores).mean(dim=0)
    return {f"dice_{name}": float(d) for name, d in zip(names, dice, strict=True)}, pictures


def centred(regions: torch.Tensor) -> torch.Tensor:
    """Region maps from [0, 1] to the [-1, 1] that the autoencoder reads."""
    return regions * 2 - 1


if __name__ == "__main__":
    main(AutoencoderTask, __doc__)
