"""A few samples during training, by the same samplers that users get."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from LDMSegLib.diffusion.ensemble import run_ensemble
from LDMSegLib.diffusion.samplers import Sampler, make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.specification import Latent, Mode
from Training.latents import to_raw


def sample_regions(
    denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    autoencoder: nn.Module,
    schedule: NoiseSchedule,
    latent: Latent,
    shape: Sequence[int],
    members: int,
    seed: int,
    steps: int,
    device: torch.device,
) -> torch.Tensor:
    """Draw region probabilities (members, R, X, Y, Z) with DPM-Solver++(2M)."""
    sampler = make_sampler(Mode("dpmpp_2m", steps, members), schedule)

    def decode(z: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return torch.sigmoid(autoencoder.decode(to_raw(z, latent)).float())[0]

    def step(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return denoise(x, t)

    drawn: list[torch.Tensor] = []
    run_ensemble(step, decode, sampler, shape, members, seed, members, lambda _, p: drawn.append(p.cpu()), device=device)
    return torch.stack(drawn)


def sample_latents(
    denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    sampler: Sampler,
    shape: Sequence[int],
    members: int,
    seed: int,
    device: torch.device,
    first_member: int = 0,
) -> torch.Tensor:
    """Draw clean latents (members, C, x, y, z) float32 on the device, all at once, without decoding them."""
    drawn: list[torch.Tensor] = []

    def keep(_: int, latent: torch.Tensor) -> None:
        drawn.append(latent)

    run_ensemble(denoise, lambda z: z, sampler, shape, members, seed, members, keep, device=device, first_member=first_member)
    return torch.cat(drawn)
