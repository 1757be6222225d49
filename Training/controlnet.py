"""Phase 3: the ControlNet that steers the frozen UNet by the MRI.

python -m Training.controlnet --config Training/configs/small.json --data DATA --run runs/small
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.models.conditioning import ConditioningEncoder
from LDMSegLib.models.networks import build, start_from_unet
from LDMSegLib.specification import Latent
from Training.checkpoints import trained_weights
from Training.configuration import Configuration
from Training.datasets import Cases
from Training.diffusion import denoising_loss
from Training.engine import Options, main
from Training.latents import check_latents, encode, load_autoencoder, normalise
from Training.losses import hard_dice
from Training.prepared_cases import Validation
from Training.sampling import sample_regions
from Training.task import Batch, Pictures, Scalars, Task, dice_by_region, two_pictures


class Steering(nn.Module):
    """What this phase trains: the conditioning network (or its last part) and the ControlNet."""

    def __init__(self, configuration: Configuration, run: Any, device: torch.device, latent: Latent) -> None:
        super().__init__()
        self.conditioning = build(configuration.networks["conditioning"])
        self.controlnet = build(configuration.networks["controlnet"])
        if isinstance(self.conditioning, ConditioningEncoder):
            self.conditioning.backbone.load_state_dict(trained_weights(run, "conditioning")[0])
            self.conditioning.backbone.requires_grad_(False)
            if self.conditioning.guess is not None:
                autoencoder = load_autoencoder(configuration, run, device)
                # A function and no module: the frozen autoencoder has its own checkpoint.
                self._encode = lambda regions: normalise(encode(autoencoder, regions), latent)

    def forward(self, mri: torch.Tensor, draws: int, unet: nn.Module, noisy: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The U-Net's prediction for `draws` noisy latents of each MRI."""
        embedding = self.embedding(mri).repeat_interleave(draws, dim=0)
        return self.steer(unet, embedding, noisy, t)

    def embedding(self, mri: torch.Tensor) -> torch.Tensor:
        """What the ControlNet is given of an MRI."""
        if not isinstance(self.conditioning, ConditioningEncoder):
            return self.conditioning(mri)
        with torch.no_grad():
            at_latent, logits = self.conditioning.features(mri)
            guess = None if self.conditioning.guess is None else self._encode(torch.sigmoid(logits.float()))
        return self.conditioning.embed(at_latent, logits, guess)

    def steer(self, unet: nn.Module, embedding: torch.Tensor, noisy: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The UNet's prediction with the ControlNet's residuals added (Zhang et al. 2023, arXiv:2302.05543, eq. 2)."""
        down, middle = self.controlnet(noisy, t, embedding)
        return unet(noisy, t, down_block_additional_residuals=down, mid_block_additional_residual=middle)


class ControlNetTask(Task):
    """Denoise the latent of a case's own label map, told by its MRI; one MRI serves several noise levels."""

    name = "controlnet"

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        self._schedule = NoiseSchedule.from_specification(configuration.schedule)
        weights, extras = trained_weights(options.run, "diffusion")
        check_latents(options.run)
        self.latent = Latent(**extras["latent"])
        unet = build(configuration.networks["unet"])
        unet.load_state_dict(weights)
        self.model = Steering(configuration, options.run, fabric.device, self.latent)
        start_from_unet(self.model.controlnet, unet)
        self._unet = unet.to(fabric.device).eval().requires_grad_(False)
        self._autoencoder = load_autoencoder(configuration, options.run, fabric.device)
        self.dataset = Cases(configuration, options.run, self.phase, options.seed)
        self._validation = Validation(options.run)
        self._device = fabric.device
        self._names = [region.name for region in configuration.regions]

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        draws = self.phase.draws
        with torch.no_grad():
            sampled = generator if self.phase.sample_latents else None
            clean = normalise(encode(self._autoencoder, batch["regions"], sampled), self.latent)
        clean = clean.repeat_interleave(draws, dim=0)

        def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return model(batch["image"], draws, self._unet, x, t)

        return denoising_loss(self._schedule, clean, generator, denoise, self.phase.high_noise), {}

    def validate(self, model: Steering) -> tuple[Scalars, Pictures]:
        scores, losses, spreads, pictures = [], [], [], {}
        for case in self._validation:
            target = case["regions"].to(self._device)
            embedding = model.embedding(case["image"][None].to(self._device))
            clean = normalise(encode(self._autoencoder, target[None]), self.latent).repeat_interleave(4, dim=0)
            generator = torch.Generator().manual_seed(1)

            def denoise(x: torch.Tensor, t: torch.Tensor, embedding: torch.Tensor = embedding) -> torch.Tensor:
                return model.steer(self._unet, embedding.expand(len(x), -1, -1, -1, -1), x, t)

            losses.append(denoising_loss(self._schedule, clean, generator, denoise))
            drawn = sample_regions(denoise, self._autoencoder, self._schedule, self.latent, clean.shape[1:], 4, 1, 8, self._device)
            mean = drawn.mean(dim=0)
            scores.append(hard_dice(mean, target.cpu()))
            spreads.append(drawn.var(dim=0).sum() / mean.sum().clamp(min=1.0))
            pictures[case["name"]] = two_pictures(target, mean)
        if not scores:
            return {}, {}
        return {
            "loss": float(torch.stack(losses).mean()),
            "spread": float(torch.stack(spreads).mean()),
            **dice_by_region(self._names, scores),
        }, pictures


if __name__ == "__main__":
    main(ControlNetTask, __doc__)
