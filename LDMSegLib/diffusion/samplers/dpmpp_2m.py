"""DPM-Solver++(2M): the ensemble in 8 to 20 steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from LDMSegLib.diffusion.samplers.protocol import Step
from LDMSegLib.diffusion.samplers.timesteps import following
from LDMSegLib.diffusion.schedule import CLEAN, NoiseSchedule


@dataclass(frozen=True)
class DpmSolverPlusPlus2M:
    """Second-order multistep solver of the probability-flow ODE in the log-SNR (Lu et al. 2022, arXiv:2211.01095, alg. 2).

    The predicted x_0 is extrapolated linearly in lambda = log(alpha / sigma) from the step before, which is the `memory`.
    The first step has none and is first order, and so is the last, which goes to clean data (lambda infinite) and is
    therefore the predicted x_0 itself.

    Agrees with diffusers' DPMSolverMultistepScheduler (dpmsolver++, order 2, midpoint, trailing, final_sigmas_type "zero",
    which makes the last step first order at any number of steps). At zero terminal SNR that one replaces alpha_bar_T by
    2^-24 to keep lambda finite; here lambda_T is minus infinity and the limit is taken exactly: the first step needs no
    lambda, and in the second the slope over an infinite interval vanishes.
    """

    schedule: NoiseSchedule
    timesteps: tuple[int, ...]

    def needs_noise(self, index: int) -> bool:
        return False

    def step(self, model_output: Tensor, x_t: Tensor, index: int, memory: Tensor | None = None, noise: Tensor | None = None) -> Step:
        t, s = self.timesteps[index], following(self.timesteps, index)
        x0 = self.schedule.to_x0(model_output, x_t, t)
        if s == CLEAN:
            return Step(x0, x0)
        data = x0
        if index > 0:
            if memory is None:
                raise ValueError(f"step {index} of a multistep solver needs the memory of the step before")
            before = self._log_snr(self.timesteps[index - 1])
            here, there = self._log_snr(t), self._log_snr(s)
            data = x0 + (there - here) / (2.0 * (here - before)) * (x0 - memory)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule.level(t), self.schedule.level(s)
        # alpha_s - alpha_t sigma_s / sigma_t is alpha_s (1 - e^-h), written so that alpha_t = 0 is no special case
        return Step(sigma_s / sigma_t * x_t + (alpha_s - alpha_t * sigma_s / sigma_t) * data, x0)

    def _log_snr(self, t: int) -> float:
        alpha, sigma = self.schedule.level(t)
        return math.log(alpha / sigma) if alpha > 0.0 else -math.inf
