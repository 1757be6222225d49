"""Phase 2: the unconditional diffusion on the latents of label maps.

python -m Training.diffusion --config Training/configs/small.json --data DATA --run runs/small
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional as F

from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.models.networks import build
from Training.configuration import Configuration
from Training.engine import Options, main
from Training.latents import Latents, load_autoencoder
from Training.sampling import sample_regions
from Training.task import Batch, Pictures, Scalars, Task, picture


class DiffusionTask(Task):
    """Predict what the schedule asks for (noise, v or x0) at a random noise level."""

    name = "diffusion"

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        self.model = build(configuration.networks["unet"])
        self._schedule = NoiseSchedule.from_specification(configuration.schedule)
        # The first process encodes; the others read its file.
        self.dataset = Latents(configuration, options.run, options.seed, fabric.device, make=fabric.is_global_zero)
        self._autoencoder = load_autoencoder(configuration, options.run, fabric.device)
        self._device = fabric.device

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        return denoising_loss(self._schedule, batch["latent"], generator, model), {}

    def validate(self, model: nn.Module) -> tuple[Scalars, Pictures]:
        # The same items and noise every time: the curve then shows the network, not the draw. (Training latents: the
        # validation cases' label maps are not looked at in this phase at all.)
        generator = torch.Generator().manual_seed(1)
        batch = torch.stack([self.dataset[i]["latent"] for i in range(16)]).to(self._device)
        loss = denoising_loss(self._schedule, batch, generator, model)
        shape = batch.shape[1:]
        drawn = sample_regions(
            model, self._autoencoder, self._schedule, self.dataset.latent, shape, 2, seed=1, steps=20, device=self._device
        )
        return {"loss": float(loss), "wt_share": float((drawn > 0.5).float().mean())}, {
            f"drawn_{i}": picture(d) for i, d in enumerate(drawn)
        }

    def extras(self) -> dict[str, Any]:
        return {"latent": asdict(self.dataset.latent)}


def denoising_loss(
    schedule: NoiseSchedule, clean: torch.Tensor, generator: torch.Generator, network: Any, high_noise: float = 0.0
) -> torch.Tensor:
    """Mean squared error of the network's prediction (Ho et al. 2020, eq. 14, for the schedule's target).

    Args:
        clean: (N, C, x, y, z) normalised latents.
        network: called as network(x_t, t).
        high_noise: the density of t is proportional to its power of this; 0 = uniform.
    """
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    # One of N equal parts each: a batch then never misses a range of levels (Kingma et al. 2021, arXiv:2107.00630, appendix I.1).
    count = len(clean)
    share = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    t = (schedule.steps * share ** (1 / (1 + high_noise))).long().clamp(max=schedule.steps - 1).to(clean.device)
    predicted = network(schedule.add_noise(clean, noise, t), t)
    return F.mse_loss(predicted.float(), schedule.target(clean, noise, t))


if __name__ == "__main__":
    main(DiffusionTask, __doc__)
