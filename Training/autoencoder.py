"""Phase 1: the compression autoencoder on region maps (f = 4).

python -m Training.autoencoder --config Training/configs/small.json --data DATA --run runs/small
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import nn

from LDMSegLib.models.networks import build
from Training.configuration import Configuration
from Training.datasets import LabelMaps
from Training.engine import Options, main
from Training.losses import hard_dice, region_loss
from Training.prepared_cases import Validation
from Training.task import Batch, Pictures, Scalars, Task, dice_by_region, two_pictures


class AutoencoderTask(Task):
    """Reconstruct region maps through a latent that is kept near a standard normal."""

    name = "autoencoder"

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        self.model = build(configuration.networks["autoencoder"])
        self.dataset = LabelMaps(configuration, options.run, self.phase, options.seed)
        self._validation = Validation(options.run)
        self._device = fabric.device
        self._names = [region.name for region in configuration.regions]

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        target = batch["regions"]
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))  # the network draws its own noise
        logits, mean, deviation = model(centred(target))
        reconstruction = region_loss(logits, target)
        mean, deviation = mean.float(), deviation.float()
        # Kingma & Welling 2014 (arXiv:1312.6114), appendix B, averaged over the latent's values.
        divergence = 0.5 * (mean**2 + deviation**2 - torch.log(deviation**2 + 1e-8) - 1).mean()
        return reconstruction + self.phase.kl_weight * divergence, {"reconstruction": reconstruction.detach(), "kl": divergence.detach()}

    def validate(self, model: nn.Module) -> tuple[Scalars, Pictures]:
        return reconstructions(model, self._validation, self._device, self._names)


def reconstructions(autoencoder: nn.Module, cases: Validation, device: torch.device, names: list[str]) -> tuple[Scalars, Pictures]:
    """Dice per region of decode(encode(truth)), mean over cases, and pictures of truth above reconstruction."""
    scores, pictures = [], {}
    for case in cases:
        target = case["regions"][None].to(device)
        mean, _ = autoencoder.encode(centred(target))
        probabilities = torch.sigmoid(autoencoder.decode(mean).float())[0]
        scores.append(hard_dice(probabilities, target[0]))
        pictures[case["name"]] = two_pictures(target[0], probabilities)
    if not scores:
        return {}, {}
    return dice_by_region(names, scores), pictures


def centred(regions: torch.Tensor) -> torch.Tensor:
    """Region maps from [0, 1] to the [-1, 1] that the autoencoder reads."""
    return regions * 2 - 1


if __name__ == "__main__":
    main(AutoencoderTask, __doc__)
