"""The ensemble of one case, over all views of it: what `segment` and the training's own measurements share.

A member is a sample of the diffusion, brought back from its view. Where the mode has a `direct` share it is the weighted mean of that
sample and of what the conditioning network's supervised head answers in the same view: two readers with other mistakes, the one
sharp and free of specks, the other finer, because it has not passed through the latent. That answer is a probability, and each member
reads it leaning its own way (`LDMSegLib.intercepts`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from LDMSegLib.diffusion.ensemble import EnsembleRun, run_ensemble
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.events import Cancellation, Reporter, Silent
from LDMSegLib.intercepts import intercept, leaning
from LDMSegLib.models.model import Model
from LDMSegLib.specification import Mode
from LDMSegLib.views import View, deal, views


@dataclass(frozen=True, eq=False)
class Reading:
    """What one view of the MRI says: the embedding (1, E, x, y, z), and the head's answer (R, X, Y, Z), in that view."""

    view: View
    embedding: torch.Tensor
    answer: torch.Tensor | None

    def member(self, index: int, sample: torch.Tensor, mode: Mode) -> torch.Tensor:
        """Member `index` (R, X, Y, Z), in the first view, from its sample in this one."""
        if mode.direct:
            answer = leaning(self.answer, mode.attenuation, intercept(index, mode.members, mode.attenuation))
            sample = torch.lerp(sample, answer.to(sample), mode.direct)
        return self.view.undone(sample)


def read(model: Model, mri: np.ndarray, evened: np.ndarray | None = None) -> list[Reading]:
    """Read the MRI once for each view that gets a member.

    Args:
        mri: (S, X, Y, Z) float32 on the model's grid, in the network's range.
        evened: the same without its uneven brightness, for every second view.

    Returns:
        One reading a view, in the order in which `draw` deals the members.
    """
    cell = model.specification.latent.downsampling
    used = views(min(model.mode.views, model.mode.members), cell, evened is not None)
    return [Reading(view, *model.read(view.seen(evened if view.evened else mri))) for view in used]


def draw(
    model: Model,
    readings: list[Reading],
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
        seed, batch_size, cancellation: see `run_ensemble`; what it raises is raised here.
        on_member: consumes (member index, probabilities (R, X, Y, Z) float32), all in the first view.
        reporter: hears progress over all views together.
    """
    mode, spec = model.mode, model.specification
    reporter, cancellation = reporter or Silent(), cancellation or Cancellation()
    sampler = make_sampler(mode, NoiseSchedule.from_specification(spec.schedule))
    blocks, finished, sampling, decoding = deal(mode.members, len(readings)), 0, 0.0, 0.0
    for reading, members in zip(readings, blocks, strict=True):
        part = run_ensemble(
            model.denoiser(reading.embedding),
            model.decode,
            sampler,
            model.latent_shape(shape),
            len(members),
            seed,
            batch_size,
            lambda member, sample, reading=reading: on_member(member, reading.member(member, sample, mode)),
            _Part(reporter, members, mode.members),
            cancellation,
            model.device.kind,
            members.start,
        )
        finished, sampling, decoding = finished + part.finished, sampling + part.sampling_seconds, decoding + part.decoding_seconds
        if part.batch_size_used < min(batch_size, len(members)):
            batch_size = part.batch_size_used  # what did not fit will not fit the next view either
        if part.partial:
            break
    return EnsembleRun(mode.members, finished, min(batch_size, len(blocks[0])), sampling, decoding)


class _Part:
    """Tells of one view's members as of their place among all."""

    def __init__(self, reporter: Reporter, members: range, all_members: int) -> None:
        self._reporter, self._members, self._all = reporter, members, all_members

    def progress(self, fraction: float, **details: Any) -> None:
        done = (self._members.start + fraction * len(self._members)) / self._all
        self._reporter.progress(done, **{**details, "member": self._members.start + details["member"], "members": self._all})

    def warning(self, message: str, **details: Any) -> None:
        self._reporter.warning(message, **details)
