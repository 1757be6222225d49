"""Ancestral sampling of Ho et al.: the paper's sampler at all 1000 timesteps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from LDMSegLib.diffusion.samplers.protocol import Step
from LDMSegLib.diffusion.samplers.timesteps import following
from LDMSegLib.diffusion.schedule import CLEAN, NoiseSchedule


@dataclass(frozen=True)
class Ddpm:
    """Draws x_{t-1} from q(x_{t-1} | x_t, x_0) with the predicted x_0 (Ho et al. 2020, arXiv:2006.11239, eq. 6 and 7).

    The variance is the posterior's own ("fixed small"); nothing is clipped. At fewer timesteps than were trained, beta is
    that of the whole jump, 1 - alpha_bar_t / alpha_bar_s (Nichol & Dhariwal 2021, arXiv:2102.09672, section 4).

    Agrees with diffusers' DDPMScheduler (fixed_small, clip_sample=False, trailing) but for its last step of a respaced
    run, where that one adds noise of standard deviation 1e-10 and this one none.
    """

    schedule: NoiseSchedule
    timesteps: tuple[int, ...]

    def needs_noise(self, index: int) -> bool:
        return following(self.timesteps, index) != CLEAN

    def step(self, model_output: Tensor, x_t: Tensor, index: int, memory: Tensor | None = None, noise: Tensor | None = None) -> Step:
        t, s = self.timesteps[index], following(self.timesteps, index)
        x0 = self.schedule.to_x0(model_output, x_t, t)
        if s == CLEAN:
            return Step(x0)
        if noise is None:
            raise ValueError(f"step {index} of ancestral sampling needs noise")
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule.level(t), self.schedule.level(s)
        ratio = alpha_t / alpha_s
        beta = 1.0 - ratio**2
        mean = (alpha_s * beta / sigma_t**2) * x0 + (ratio * sigma_s**2 / sigma_t**2) * x_t
        return Step(mean + math.sqrt(beta) * sigma_s / sigma_t * noise.float())
