"""The forward process x_t = alpha_t x_0 + sigma_t eps, and what a network may predict about it.

Training, validation and sampling all use this one class, so that what is learnt is what is undone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from LDMSegLib.errors import BundleError
from LDMSegLib.specification import Schedule

PREDICTIONS = ("epsilon", "v", "x0")
CLEAN = -1  # the timestep that stands for data without noise


@dataclass(frozen=True)
class NoiseSchedule:
    """A variance-preserving schedule (Ho et al. 2020, arXiv:2006.11239, eq. 4): alpha_t^2 + sigma_t^2 = 1.

    `alpha_bar` holds alpha_t^2 for t = 0 ... T-1 in double precision; `prediction` is "epsilon", "v" or "x0".

    Every method answers in float32 whatever the dtype of its arguments: a network in bfloat16 has its output widened, and
    the tables are never narrowed to fit a network. Tables follow the data to its device; the stored ones never change.

    A timestep `t` is either one int for the whole batch or an int64 tensor (N,) with one per sample.
    """

    alpha_bar: tuple[float, ...]
    prediction: str

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise BundleError(_entry("prediction", self.prediction, f"one of {', '.join(PREDICTIONS)}"))
        if self.prediction == "epsilon" and self.alpha_bar[-1] == 0.0:
            # at zero terminal SNR x_T is the noise itself: predicting it says nothing about x_0 (Lin et al., section 3.2)
            raise BundleError(_entry("prediction", "epsilon", "v or x0 where zero_terminal_snr is true"))

    @classmethod
    def from_specification(cls, schedule: Schedule) -> NoiseSchedule:
        """The schedule a bundle describes.

        Kinds: "linear", beta from beta_start to beta_end (Ho et al. 2020); "scaled_linear", linear in sqrt(beta) (latent
        diffusion, Rombach et al. 2022); "cosine" (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17, beta at most 0.999),
        which has no use for beta_start and beta_end.

        Raises:
            BundleError: naming the metadata entry that cannot be used.
        """
        if schedule.steps < 2:
            raise BundleError(_entry("steps", schedule.steps, "at least 2"))
        betas = _betas(schedule)
        alpha_bar = torch.cumprod(1.0 - betas, dim=0)
        if schedule.zero_terminal_snr:
            alpha_bar = _without_terminal_signal(alpha_bar)
        return cls(tuple(alpha_bar.tolist()), schedule.prediction)

    @property
    def steps(self) -> int:
        """T, the number of noise levels."""
        return len(self.alpha_bar)

    @cached_property
    def alpha(self) -> Tensor:
        """Signal amplitude sqrt(alpha_bar) per timestep, (T,) float32."""
        return self._table(0)

    @cached_property
    def sigma(self) -> Tensor:
        """Noise amplitude sqrt(1 - alpha_bar) per timestep, (T,) float32."""
        return self._table(1)

    def level(self, t: int) -> tuple[float, float]:
        """(alpha_t, sigma_t) in double precision; `CLEAN` (-1) is the data itself, (1, 0)."""
        if not CLEAN <= t < self.steps:
            raise ValueError(f"timestep {t} is outside 0 ... {self.steps - 1}")
        if t == CLEAN:
            return 1.0, 0.0
        return math.sqrt(self.alpha_bar[t]), math.sqrt(1.0 - self.alpha_bar[t])

    def add_noise(self, x0: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
        """x_t for clean latents and unit noise of the same shape (N, C, X, Y, Z); at zero terminal SNR exactly the noise."""
        alpha, sigma = self._at(t, x0)
        return alpha * x0.float() + sigma * noise.float()

    def target(self, x0: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
        """What the network learns to give for x_t: the noise, the clean latents, or v = alpha_t eps - sigma_t x_0.

        v is that of Salimans & Ho 2022 (arXiv:2202.00512, appendix D).
        """
        if self.prediction == "epsilon":
            return noise.float()
        if self.prediction == "x0":
            return x0.float()
        alpha, sigma = self._at(t, x0)
        return alpha * noise.float() - sigma * x0.float()

    def to_x0(self, model_output: Tensor, x_t: Tensor, t: int | Tensor) -> Tensor:
        """The clean latents that the network's output stands for, (N, C, X, Y, Z). Never clipped: label latents are heavy-tailed."""
        output = model_output.float()
        if self.prediction == "x0":
            return output
        alpha, sigma = self._at(t, x_t)
        if self.prediction == "epsilon":
            return (x_t.float() - sigma * output) / alpha
        return alpha * x_t.float() - sigma * output

    def to_epsilon(self, model_output: Tensor, x_t: Tensor, t: int | Tensor) -> Tensor:
        """The noise in x_t that the network's output stands for, (N, C, X, Y, Z)."""
        output = model_output.float()
        if self.prediction == "epsilon":
            return output
        alpha, sigma = self._at(t, x_t)
        if self.prediction == "x0":
            return (x_t.float() - alpha * output) / sigma
        return sigma * x_t.float() + alpha * output

    def _table(self, which: int) -> Tensor:
        # first asked for during inference, the table must still serve training afterwards
        with torch.inference_mode(False):
            return torch.tensor([self.level(t)[which] for t in range(self.steps)], dtype=torch.float32)

    def _at(self, t: int | Tensor, like: Tensor) -> tuple[float, float] | tuple[Tensor, Tensor]:
        if not isinstance(t, Tensor):
            return self.level(t)
        shape = (-1,) + (1,) * (like.ndim - 1)
        t = t.to(like.device)
        return self.alpha.to(like.device)[t].reshape(shape), self.sigma.to(like.device)[t].reshape(shape)


def _betas(schedule: Schedule) -> Tensor:
    if schedule.kind == "cosine":
        edges = torch.arange(schedule.steps + 1, dtype=torch.float64) / schedule.steps
        f = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
        return (1.0 - f[1:] / f[:-1]).clamp(max=0.999)
    start, end = schedule.beta_start, schedule.beta_end
    if not 0.0 < start <= end < 1.0:
        raise BundleError(_entry("beta_start and beta_end", f"{start}, {end}", "0 < beta_start <= beta_end < 1"))
    if schedule.kind == "linear":
        return torch.linspace(start, end, schedule.steps, dtype=torch.float64)
    if schedule.kind == "scaled_linear":
        return torch.linspace(math.sqrt(start), math.sqrt(end), schedule.steps, dtype=torch.float64) ** 2
    raise BundleError(_entry("kind", schedule.kind, "one of scaled_linear, linear, cosine"))


def _without_terminal_signal(alpha_bar: Tensor) -> Tensor:
    """Shift and stretch sqrt(alpha_bar) to end at exactly 0 and start where it did (Lin et al. 2023, arXiv:2305.08891, alg. 1)."""
    root = alpha_bar.sqrt()
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    return root**2


def _entry(name: str, found: object, expected: str) -> str:
    return f"the bundle's schedule has {name} {found}, expected {expected}; use a bundle made for this version"
