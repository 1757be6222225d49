"""A bundle brought to life on a device: MRI → embedding, noisy latent → prediction, latent → region probabilities."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.models.conditioning import ConditioningEncoder
from LDMSegLib.models.device import Device
from LDMSegLib.models.layout import Bundle
from LDMSegLib.models.weights import load_networks
from LDMSegLib.specification import Mode, Specification


class Model:
    """The networks that one sampling mode needs. Networks compute in the device's precision, latents stay float32."""

    def __init__(self, bundle: Bundle, mode: Mode, device: Device, mode_name: str = "") -> None:
        """Load the weights; raises BundleError as `load_networks` does. `mode_name` is what the bundle calls the mode."""
        self.bundle, self.mode, self.device = bundle, mode, device
        self.mode_name = mode_name or bundle.specification.default_mode
        names = ["autoencoder", mode.unet] + ([mode.controlnet, "conditioning"] if mode.controlnet else [])
        networks = load_networks(bundle, device.kind, device.dtype, names)
        self._autoencoder, self._unet = networks["autoencoder"], networks[mode.unet]
        self._controlnet = networks[mode.controlnet] if mode.controlnet else None
        self._conditioning = networks.get("conditioning")
        if mode.direct and not isinstance(self._conditioning, ConditioningEncoder):
            raise BundleError(
                f"bundle '{bundle.name}' wants a share of {mode.direct:g} of its conditioning network's own answer, but that network gives "
                "none; use a bundle made for this version"
            )
        latent = bundle.specification.latent
        self._scale = latent.scale
        self._shift = torch.tensor(latent.shift, device=device.kind).reshape(1, -1, 1, 1, 1) if latent.shift else 0.0

    @property
    def specification(self) -> Specification:
        """Its bundle's."""
        return self.bundle.specification

    def sampling(self, steps: int | None = None, members: int | None = None) -> Model:
        """The same networks for another number of steps or members; raises InputError as `sampling_mode`."""
        if steps is None and members is None:
            return self
        other = copy.copy(self)
        other.mode = adapted_mode(self.mode, self.mode_name, self.specification, steps, members)
        return other

    def latent_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
        """(C, x, y, z) of the latent of an image of this shape."""
        latent = self.specification.latent
        return (latent.channels, *(n // latent.downsampling for n in shape))

    @torch.inference_mode()
    def read(self, mri: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Read the MRI, once for a case and view.

        Args:
            mri: (sequences, X, Y, Z) float32 in the network's range.

        Returns:
            The embedding (1, E, x, y, z), and the conditioning network's own answer (R, X, Y, Z) float32 where it gives one.
        """
        images = self._to_network(torch.from_numpy(mri)[None])
        if not isinstance(self._conditioning, ConditioningEncoder):
            return self._conditioning(images), None
        embedding, answer = self._conditioning.read(images, self._encoded)
        return embedding, answer[0]

    def denoiser(self, embedding: torch.Tensor | None = None) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """A function (x_t (n, C, x, y, z), t (n,)) → prediction.

        Args:
            embedding: (1, E, x, y, z), which steers all of them, or (n, E, x, y, z), one each; unconditional without.
        """

        def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            x = self._to_network(x)
            if embedding is None:
                return self._unet(x, t)
            down, middle = self._controlnet(x, t, embedding.expand(len(x), -1, -1, -1, -1))
            return self._unet(x, t, down_block_additional_residuals=down, mid_block_additional_residual=middle)

        return denoise

    @torch.inference_mode()
    def encode(self, regions: np.ndarray) -> torch.Tensor:
        """Region maps (R, X, Y, Z) in [0, 1] → clean latent (1, C, x, y, z) float32 in the diffusion's space (the posterior's mean)."""
        return self._encoded(torch.from_numpy(regions)[None])

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Clean latent (1, C, x, y, z) in the diffusion's space → region probabilities (R, X, Y, Z) float32."""
        logits = self._autoencoder.decode(self._to_network(z / self._scale + self._shift))
        return torch.sigmoid(logits[0].float())

    def _encoded(self, regions: torch.Tensor) -> torch.Tensor:
        mean, _ = self._autoencoder.encode(self._to_network(regions * 2 - 1))
        return (mean.float() - self._shift) * self._scale

    def _to_network(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.device.kind, self.device.dtype)


def sampling_mode(specification: Specification, name: str | None, steps: int | None, members: int | None) -> Mode:
    """The bundle's mode of that name with the user's own number of steps or members.

    Raises:
        BundleError: there is no such mode. InputError: the mode's steps are fixed, or a number makes no sense.
    """
    return adapted_mode(specification.mode(name), name or specification.default_mode, specification, steps, members)


def adapted_mode(mode: Mode, name: str, specification: Specification, steps: int | None, members: int | None) -> Mode:
    """A mode with another number of steps or members; `name` is what the bundle calls it. Raises InputError as `sampling_mode`."""
    if steps is not None:
        if mode.timesteps and steps != mode.steps:
            raise InputError(f"mode '{name}' was distilled for {mode.steps} steps, not {steps}; leave --steps out or choose another mode")
        if not 1 <= steps <= specification.schedule.steps:
            raise InputError(f"--steps is {steps}, expected 1 to {specification.schedule.steps}; give another number")
        mode = replace(mode, steps=steps)
    if members is not None:
        if members < 1:
            raise InputError(f"--members is {members}, expected at least 1; give another number")
        mode = replace(mode, members=members)
    return mode
