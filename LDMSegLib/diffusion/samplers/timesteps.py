"""Which of the training timesteps a sampler visits."""

from __future__ import annotations

import itertools

from LDMSegLib.diffusion.schedule import CLEAN
from LDMSegLib.errors import BundleError


def trailing(training_steps: int, steps: int) -> tuple[int, ...]:
    """`steps` timesteps spaced evenly back from the last one, first to last: round(T (N - i) / N) - 1.

    "Trailing" of Lin et al. 2023 (arXiv:2305.08891, table 2): sampling starts where training ended, at T-1, which other
    spacings miss. Computed without accumulating the step: diffusers' arange does, and for 1 in 9 step counts below 1000
    (48, 61, 96, 103, ...) it differs by one at halves or even yields a timestep too many, -1.
    """
    return tuple(round(training_steps * (steps - i) / steps) - 1 for i in range(steps))


def checked(timesteps: tuple[int, ...], training_steps: int) -> tuple[int, ...]:
    """The same timesteps, if they fall strictly and lie in 0 ... T-1. Raises BundleError otherwise."""
    falling = all(a > b for a, b in itertools.pairwise(timesteps))
    if not timesteps or not falling or timesteps[0] >= training_steps or timesteps[-1] < 0:
        raise BundleError(
            f"the bundle's sampling timesteps are {timesteps}, expected falling numbers between {training_steps - 1} and 0; "
            "use a bundle made for this version"
        )
    return timesteps


def following(timesteps: tuple[int, ...], index: int) -> int:
    """Where the step at `index` leads: the next timestep, or clean data after the last."""
    return timesteps[index + 1] if index + 1 < len(timesteps) else CLEAN
