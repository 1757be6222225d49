"""Mean and variance of the members, voxel by voxel, without keeping the members."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import torch
from torch import Tensor


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """Run without gradients, and outside inference mode: its tensors could not be updated or changed once it is over."""

    @wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return method(*args, **kwargs)

    return wrapped


class RunningStatistics:
    """Streaming mean and variance (Welford 1962), float32; holds two arrays of one member's size whatever their number.

    The variance is the population's, over the members that were drawn: sum (p - mean)^2 / N, and 0 for one member. For
    binary members it is therefore exactly mean (1 - mean).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None  # sum of squared deviations from the mean

    @_plain
    def add(self, values: Tensor | np.ndarray) -> None:
        """Take in one member, any shape, the same for all; it is neither kept nor changed.

        Raises:
            ValueError: the shape is not that of the members before.
        """
        values = torch.as_tensor(values).detach()
        if self._mean is None:
            self._mean = values.to(torch.float32, copy=True)
            self._squares = torch.zeros_like(self._mean)
            self.count = 1
            return
        self._check(values.shape)
        self.count += 1
        deviation = values.float() - self._mean
        self._mean.add_(deviation, alpha=1.0 / self.count)
        # (x - old mean)(x - new mean) = deviation^2 (n - 1) / n
        self._squares.addcmul_(deviation, deviation, value=(self.count - 1) / self.count)

    @property
    @_plain
    def mean(self) -> Tensor:
        """Mean over the members, float32, a copy. Raises ValueError before the first member."""
        self._require()
        return self._mean.clone()

    @property
    @_plain
    def variance(self) -> Tensor:
        """Population variance over the members, float32, never negative. Raises ValueError before the first member."""
        self._require()
        return self._squares / self.count

    def _require(self) -> None:
        if self._mean is None:
            raise ValueError("there are no members to take a mean of")

    def _check(self, shape: torch.Size) -> None:
        if shape != self._mean.shape:
            raise ValueError(f"a member has shape {tuple(shape)}, expected {tuple(self._mean.shape)} like the members before it")
