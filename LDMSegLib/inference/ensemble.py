"""The ensemble of one case, over all views of it: what `segment` and the training's own measurements share.

A member is a sample of the diffusion, brought back from its view. Where the mode has a `direct` share it is the weighted mean of that
sample and of what the conditioning network's supervised head answers in the same view: two readers with other mistakes, the one
sharp and free of isolated voxels, the other finer, because it has not passed through the latent. That answer is a probability, and each
member reads it with a random intercept of its own (`LDMSegLib.inference.intercepts`).

Members are dealt round-robin, and each is the same whatever the number asked for: a run that was stopped after n members is the run
of n members, except for rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from LDMSegLib.diffusion.ensemble import Denoise, EnsembleRun, run_ensemble
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.events import Cancellation, Reporter
from LDMSegLib.inference.intercepts import intercept, with_intercept
from LDMSegLib.inference.tta import View, view_of, views_of_case
from LDMSegLib.models.model import Model
from LDMSegLib.specification import Mode


@dataclass(frozen=True, eq=False)
class Reading:
    """What one view of the MRI says: the embedding (1, E, x, y, z), and the head's answer (R, X, Y, Z), in that view."""

    view: View
    embedding: torch.Tensor
    answer: torch.Tensor | None

    def member(self, sample: torch.Tensor, mode: Mode, intercept: float = 0.0) -> torch.Tensor:
        """A member (R, X, Y, Z), in the first view, from its sample in this one and its intercept."""
        if mode.direct:
            sample = torch.lerp(sample, with_intercept(self.answer, mode.attenuation, intercept).to(sample), mode.direct)
        return self.view.inverse(sample)


def read(model: Model, mri: np.ndarray, bias_corrected: np.ndarray | None = None) -> list[Reading]:
    """Read the MRI once for each view that gets a member.

    Args:
        mri: (S, X, Y, Z) float32 on the model's grid, in the network's range.
        bias_corrected: the same after bias field correction, for every second view.

    Returns:
        One reading a view, in the order in which `draw` deals the members.
    """
    cell = model.specification.latent.downsampling
    used = views_of_case(model.mode.views, model.mode.members, cell, bias_corrected is not None)
    return [Reading(view, *model.read(view.forward(bias_corrected if view.bias_corrected else mri))) for view in used]


def draw(
    model: Model,
    readings: Sequence[Reading],
    shape: tuple[int, int, int],
    seed: int,
    batch_size: int,
    on_member: Callable[[int, torch.Tensor], None],
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> EnsembleRun:
    """Sample the mode's members, each steered by its view's reading and brought back from its view.

    Args:
        readings: from `read`.
        shape: (X, Y, Z) of the model's grid.
        seed, batch_size, reporter, cancellation: see `run_ensemble`; what it raises is raised here.
        on_member: consumes (member index, probabilities (R, X, Y, Z) float32), all in the first view, in order.
    """
    mode, spec = model.mode, model.specification

    def denoiser(members: range) -> Denoise:
        if len(readings) == 1:
            return model.denoiser(readings[0].embedding)
        return model.denoiser(torch.cat([readings[view_of(member, len(readings))].embedding for member in members]))

    pairs = _Pairs(mode, readings, on_member)
    run = run_ensemble(
        None,
        model.decode,
        make_sampler(mode, NoiseSchedule.from_specification(spec.schedule)),
        model.latent_shape(shape),
        mode.members,
        seed,
        batch_size,
        pairs.add,
        reporter,
        cancellation,
        model.device.kind,
        denoiser_of=denoiser,
    )
    pairs.end()
    return run


def seen_by(readings: Sequence[Reading], finished: int) -> list[tuple[View, int]]:
    """The views that the first `finished` members saw, in the order of `read`, and how many of them each."""
    counts = Counter(view_of(member, len(readings)) for member in range(finished))
    return [(readings[view].view, counts[view]) for view in sorted(counts)]


class _Pairs:
    """Hands members over. Where they have intercepts, the first of a pair waits for the other; if none comes, its intercept is 0."""

    def __init__(self, mode: Mode, readings: Sequence[Reading], on_member: Callable[[int, torch.Tensor], None]) -> None:
        self._mode, self._readings, self._on_member = mode, readings, on_member
        self._with_intercepts = bool(mode.direct) and mode.attenuation < 1.0
        self._waiting: tuple[int, torch.Tensor] | None = None

    def add(self, member: int, sample: torch.Tensor) -> None:
        if not self._with_intercepts:
            self._hand_over(member, sample, 0.0)
        elif self._waiting is None:
            self._waiting = member, sample
        else:
            first, self._waiting = self._waiting, None
            for one in (first, (member, sample)):
                self._hand_over(*one, intercept(one[0], self._mode.members, self._mode.attenuation, len(self._readings)))

    def end(self) -> None:
        """Hand over the one that has no partner."""
        if self._waiting is not None:
            alone, self._waiting = self._waiting, None
            self._hand_over(*alone, 0.0)

    def _hand_over(self, member: int, sample: torch.Tensor, intercept: float) -> None:
        reading = self._readings[view_of(member, len(self._readings))]
        self._on_member(member, reading.member(sample, self._mode, intercept))
