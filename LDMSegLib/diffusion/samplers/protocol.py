"""What the ensemble loop needs of a sampler."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor


class Step(NamedTuple):
    """The latents after a step, (N, C, X, Y, Z) float32, and whatever the sampler wants back at the next one."""

    x: Tensor
    memory: Tensor | None = None


class Sampler(Protocol):
    """One way from noise to data. Samplers hold no state of a run: a batch is started again by starting again.

    `timesteps` are the training timesteps at which the network is asked, first to last. For each index i the loop asks the
    network at timesteps[i], then calls `step`. After the last step x is the sample.
    """

    @property
    def timesteps(self) -> tuple[int, ...]:
        """Those that are visited, from noise to image."""

    def needs_noise(self, index: int) -> bool:
        """Whether the step at this index adds fresh noise."""

    def step(self, model_output: Tensor, x_t: Tensor, index: int, memory: Tensor | None = None, noise: Tensor | None = None) -> Step:
        """From x at timesteps[index] to x at timesteps[index + 1], or to clean data after the last one.

        Args:
            model_output: what the network gave for x_t, (N, C, X, Y, Z), any float dtype.
            x_t: float32, the same shape.
            index: position in `timesteps`.
            memory: `memory` of the step before; None at index 0.
            noise: unit noise of the same shape where `needs_noise(index)`.
        """
