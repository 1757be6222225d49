"""Noise that belongs to a member: the same whatever the batch size, the device, the order, and alone.

Drawn on the CPU by NumPy's Philox counter generator, not by torch's: torch's CPU generator keeps only 32 bits of its seed
(seeds 5 and 5 + 2^40 give the same numbers), so that two of 100,000 members would more likely than not share their noise,
and a GPU's generator gives other numbers than a CPU's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from LDMSegLib.errors import InputError


class MemberNoise:
    """The noise of one member, field after field. Made anew, it begins again with the same fields.

    (seed, member) is hashed to 128 bits by NumPy's SeedSequence, with the member as its spawn key, so that neighbouring
    seeds or members have nothing in common.

    Raises:
        InputError: the seed is negative.
    """

    def __init__(self, seed: int, member: int) -> None:
        if seed < 0:
            raise InputError(f"the seed is {seed}, expected a whole number from 0 up; choose another seed")
        key = np.random.SeedSequence(entropy=seed, spawn_key=(member,))
        self._generator = np.random.Generator(np.random.Philox(key))

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next field of unit Gaussian noise: `shape`, float32, on the CPU."""
        return torch.from_numpy(self._generator.standard_normal(tuple(shape), dtype=np.float32))


class BatchNoise:
    """The noise of several members side by side, on a device."""

    def __init__(self, seed: int, members: Sequence[int], shape: Sequence[int], device: torch.device | str) -> None:
        self._members = [MemberNoise(seed, member) for member in members]
        self._shape = tuple(shape)
        self._device = device

    def draw(self) -> Tensor:
        """The next field of every member: (N, *shape), float32."""
        return torch.stack([member.draw(self._shape) for member in self._members]).to(self._device)
