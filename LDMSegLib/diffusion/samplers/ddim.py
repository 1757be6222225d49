"""Deterministic sampling with a first-order step: DDIM, and networks distilled to a few fixed timesteps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from LDMSegLib.diffusion.samplers.protocol import Step
from LDMSegLib.diffusion.samplers.timesteps import following
from LDMSegLib.diffusion.schedule import NoiseSchedule


@dataclass(frozen=True)
class Ddim:
    """Keeps the predicted noise and lowers its level: x_s = alpha_s x_0 + sigma_s eps.

    Song et al. 2021, arXiv:2010.02502, eq. 12 with eta = 0.

    A network distilled to few steps takes the same step at its own one to four timesteps, and its last call is the answer.
    For that it must have learnt, at each of them, to find x_0 in alpha_t x_0 + sigma_t eps, where x_0 is the end of its
    teacher's trajectory from x_T and eps = (x_T - alpha_T x_0) / sigma_T: the step keeps that pair, so that two and four
    steps refine the answer of one. Points on the teacher's curved trajectory are not what it will be shown.

    Agrees with diffusers' DDIMScheduler (clip_sample=False, set_alpha_to_one, trailing) where the number of steps divides T.
    Where it does not, that one steps back by T // N and so to a level at which the network is never asked; this one steps
    to the timestep that comes next.
    """

    schedule: NoiseSchedule
    timesteps: tuple[int, ...]

    def needs_noise(self, index: int) -> bool:
        return False

    def step(self, model_output: Tensor, x_t: Tensor, index: int, memory: Tensor | None = None, noise: Tensor | None = None) -> Step:
        t = self.timesteps[index]
        alpha_s, sigma_s = self.schedule.level(following(self.timesteps, index))
        x0 = self.schedule.to_x0(model_output, x_t, t)
        return Step(alpha_s * x0 + sigma_s * self.schedule.to_epsilon(model_output, x_t, t))
