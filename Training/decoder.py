"""Phase 1b: the decoder alone learns on, with the latent space as it is.

python -m Training.decoder --config Training/configs/small.json --data DATA --run runs/small

What the diffusion has learnt stays valid, because the encoder doesn't change. The decoder sees whole volumes, as it will
(its GroupNorm measures the whole volume), and latents that are a little wrong, as sampled ones are.
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import nn

from Training.autoencoder import reconstructions
from Training.configuration import Configuration
from Training.datasets import LabelMaps
from Training.engine import Options, main
from Training.latents import encode, load_autoencoder
from Training.losses import region_loss
from Training.prepared_cases import Validation
from Training.task import Batch, Pictures, Scalars, Task


class Decoding(nn.Module):
    """An autoencoder of which only the decoder learns: latent (N, C, x, y, z) → region logits (N, R, X, Y, Z)."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        for part in (autoencoder.post_quant_conv, autoencoder.decoder):
            part.requires_grad_(True)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Region logits of latents."""
        return self.autoencoder.decode(z)


class DecoderTask(Task):
    """Reconstruct region maps from their own, slightly disturbed latents."""

    name = "decoder"

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        self.model = Decoding(load_autoencoder(configuration, options.run, fabric.device))
        self.dataset = LabelMaps(configuration, options.run, self.phase, options.seed)
        self._validation = Validation(options.run)
        self._device = fabric.device
        self._names = [region.name for region in configuration.regions]

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        target = batch["regions"]
        with torch.no_grad():
            z = encode(self.model.autoencoder, target)
        strength = self.phase.latent_noise * z.std() * torch.rand(len(z), 1, 1, 1, 1, generator=generator).to(z.device)
        disturbed = z + strength * torch.randn(z.shape, generator=generator).to(z.device)
        return region_loss(model(disturbed), target), {}

    def validate(self, model: Decoding) -> tuple[Scalars, Pictures]:
        return reconstructions(model.autoencoder, self._validation, self._device, self._names)


if __name__ == "__main__":
    main(DecoderTask, __doc__)
