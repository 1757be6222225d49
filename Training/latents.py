"""Latents of the label maps, computed once: what the unconditional diffusion learns from, and the scale all phases share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import build
from LDMSegLib.specification import Latent
from Training.checkpoints import trained_steps, trained_weights
from Training.configuration import Configuration
from Training.datasets import LabelMaps
from Training.files import whole_file

FILE = Path("diffusion") / "latents.pt"


def check_latents(run: Path) -> None:
    """Refuse to go on in a latent space that is no longer the autoencoder's.

    Raises:
        InputError: the autoencoder was trained further since the diffusion's latents were made.
    """
    if not (run / FILE).exists():
        return
    made = torch.load(run / FILE, weights_only=True, mmap=True).get("autoencoder_step")
    now = trained_steps(run, "autoencoder")[0]
    if made is not None and made != now:
        raise InputError(
            f"{run / FILE} was made with the autoencoder of step {made}, which is now at step {now}; delete the folder "
            f"{(run / FILE).parent} and train the diffusion anew"
        )


def load_autoencoder(configuration: Configuration, run: Path, device: torch.device) -> nn.Module:
    """The trained autoencoder of this run, frozen; with the decoder of phase 1b where that was trained.

    Raises:
        InputError: phase 1 has not been trained in this run folder.
    """
    weights, _ = trained_weights(run, "autoencoder")
    if trained_steps(run, "decoder")[0]:
        weights = {key.removeprefix("autoencoder."): value for key, value in trained_weights(run, "decoder")[0].items()}
    network = build(configuration.networks["autoencoder"])
    network.load_state_dict(weights)
    return network.to(device).eval().requires_grad_(False)


def encode(autoencoder: nn.Module, regions: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Region maps (N, R, X, Y, Z) in [0, 1] → raw latents (N, C, x, y, z) float32.

    The mean, or a sample of the posterior with noise from `generator`.
    """
    mean, deviation = autoencoder.encode(regions * 2 - 1)
    if generator is None:
        return mean.float()
    return mean.float() + deviation.float() * torch.randn(mean.shape, generator=generator).to(mean.device)


def normalise(z: torch.Tensor, latent: Latent) -> torch.Tensor:
    """Raw latents (N, C, x, y, z) → the diffusion's space."""
    return (z - _shift(z, latent)) * latent.scale


def to_raw(z: torch.Tensor, latent: Latent) -> torch.Tensor:
    """The inverse of `normalise`."""
    return z / latent.scale + _shift(z, latent)


def _shift(z: torch.Tensor, latent: Latent) -> torch.Tensor | float:
    return torch.tensor(latent.shift, device=z.device).reshape(1, -1, 1, 1, 1) if latent.shift else 0.0


class Latents(Dataset):
    """Normalised latents (C, x, y, z) of all training label maps, `copies` randomly changed versions of each.

    Raises:
        InputError: the autoencoder is missing, or was trained further since they were made.
    """

    def __init__(self, configuration: Configuration, run: Path, seed: int, device: torch.device, make: bool = True) -> None:
        phase = configuration.phases["diffusion"]
        path = run / FILE
        if make and not path.exists():
            state = _encode_all(configuration, run, phase, seed, device)
            with whole_file(path) as partial:
                torch.save({**state, "autoencoder_step": trained_steps(run, "autoencoder")[0]}, partial)
        while not path.exists():  # another process makes them, for longer than a collective operation would wait
            time.sleep(1.0)
        check_latents(run)
        state = torch.load(path, weights_only=True)
        self.latent = Latent(**state["latent"])
        self._latents = normalise(state["raw"].float(), self.latent)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + index)
        return {"latent": self._latents[int(torch.randint(len(self._latents), (1,), generator=generator))]}


def _encode_all(configuration: Configuration, run: Path, phase: Any, seed: int, device: torch.device) -> dict[str, Any]:
    autoencoder = load_autoencoder(configuration, run, device)
    maps = LabelMaps(configuration, run, phase, seed)
    raw, tumour = [], []
    generator = torch.Generator().manual_seed(seed) if phase.sample_latents else None
    for index in range(len(maps) * max(phase.copies, 1)):
        regions = maps[index]["regions"][None].to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            raw.append(encode(autoencoder, regions, generator).cpu())
        tumour.append(F.max_pool3d(regions.amax(dim=1, keepdim=True), configuration.latent["downsampling"]).cpu() > 0)
    raw, tumour = torch.cat(raw), torch.cat(tumour)
    # .clone(): the tensors must outlive inference mode
    return {"raw": raw.clone().half(), "latent": _scaling(configuration, raw, tumour)}


def _scaling(configuration: Configuration, raw: torch.Tensor, tumour: torch.Tensor) -> dict[str, Any]:
    """Shift and scale.

    "global" is the paper's 1/SD over everything; "tumour" centres on the background and divides by the
    SD inside tumours, because tumours are so few that over everything they would lie 6 to 28 SD out, where a diffusion's
    last noise level no longer hides them.
    """
    channels, downsampling = raw.shape[1], configuration.latent["downsampling"]
    if configuration.latent.get("normalisation", "global") == "global":
        return {"channels": channels, "downsampling": downsampling, "scale": float(1 / raw.std()), "shift": ()}
    outside = ~tumour.expand_as(raw)
    shift = tuple(float(raw[:, c][outside[:, c]].mean()) for c in range(channels))
    centred = raw - torch.tensor(shift).reshape(1, -1, 1, 1, 1)
    scale = 1 / centred[tumour.expand_as(raw)].square().mean().sqrt()
    return {"channels": channels, "downsampling": downsampling, "scale": float(scale), "shift": shift}
