"""The second job: new tumour masks out of noise alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from LDMSegLib.diffusion.ensemble import run_ensemble
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import Cancelled, InputError
from LDMSegLib.events import Cancellation, Reporter, Silent
from LDMSegLib.models.model import Model
from LDMSegLib.specification import ShapeOdds
from LDMSegLib.synthesis.acceptance import Mask, Screen, SynthesisRequest
from LDMSegLib.synthesis.canvas import Canvas

DRAWS_PER_MASK = 10
"""For each mask that is wanted, at most this many are drawn that have a shape to be kept: a smallest volume that hardly any has
shall end some time."""


@dataclass(frozen=True)
class SynthesisStatistics:
    """How many masks were drawn, kept, and not kept for being empty, too far outside the brain, too small or unlike real ones."""

    wanted: int
    kept: int
    drawn: int
    empty: int
    outside: int
    too_small: int
    odd_shaped: int


def synthesize(
    model: Model,
    canvas: Canvas,
    request: SynthesisRequest,
    on_mask: Callable[[Mask], None],
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> SynthesisStatistics:
    """Draw masks one after the other; member i of a seed is the same mask whatever is kept of the others.

    Args:
        model: a bundle's networks, loaded for a mode without a ControlNet.
        canvas: where they are drawn.
        request: how many, and which.
        on_mask: takes each mask that is kept; nothing else keeps it.
        reporter: hears the stage "sample" and how far it is.
        cancellation: asked between steps; what is finished by then has been handed over.

    Returns:
        The counts; fewer kept than wanted when it was cancelled or `DRAWS_PER_MASK` did not suffice.

    Raises:
        InputError: not one mask could be kept. Cancelled: before there was one.
    """
    reporter, cancellation = reporter or Silent(), cancellation or Cancellation()
    reporter.stage("sample", f"Drawing {request.count} mask{'s' if request.count > 1 else ''}")
    sampler = make_sampler(model.mode, NoiseSchedule.from_specification(model.specification.schedule))
    odds = ShapeOdds() if request.any_shape else model.specification.shape_odds
    screen, share = Screen(model.specification, canvas, request, odds, on_mask), _Share(reporter, request.count)
    limit = math.ceil(request.count * DRAWS_PER_MASK / odds.kept)
    while screen.kept < request.count and screen.drawn < limit and not cancellation.requested:
        missing = request.count - screen.kept
        draws = min(math.ceil(missing / odds.kept), limit - screen.drawn)
        if odds.kept < 1.0:  # whatever is drawn beyond the last mask that is wanted is drawn for nothing
            draws = min(draws, request.batch_size)
        run_ensemble(
            model.denoiser(),
            model.decode,
            sampler,
            model.latent_shape(canvas.placed.shape),
            draws,
            request.seed,
            request.batch_size,
            screen.look,
            share.of(screen.kept, draws * odds.kept, draws),
            cancellation,
            model.device.kind,
            first_member=screen.drawn,
        )
    if not screen.kept and cancellation.requested:
        raise Cancelled("cancelled before the first mask was finished, so there is no result; run it again")
    if not screen.kept:
        raise InputError(
            f"none of {screen.drawn} drawn masks could be kept ({screen.empty} empty, {screen.outside} too far outside "
            f"the brain, {screen.too_small} below {request.min_volume_ml:g} mL, {screen.odd_shaped} unlike real ones), "
            f"expected {request.count}; "
            "lower --min-volume or --threshold, or use another seed"
        )
    return SynthesisStatistics(request.count, screen.kept, screen.drawn, screen.empty, screen.outside, screen.too_small, screen.odd_shaped)


class _Share(Silent):
    """What one round tells, as a part of the whole drawing; rejected masks do not make a bar run back."""

    def __init__(self, reporter: Reporter, count: int) -> None:
        self._reporter, self._count = reporter, count
        self._kept, self._expected, self._draws = 0, 0.0, 0
        self._furthest = 0.0

    def of(self, kept: int, expected: float, draws: int) -> _Share:
        """The round that follows `kept` masks: `draws` of which `expected` will be kept."""
        self._kept, self._expected, self._draws = kept, expected, draws
        return self

    def progress(self, fraction: float, **details: Any) -> None:
        done = self._kept + min(fraction * self._expected, self._count - self._kept)
        self._furthest = max(self._furthest, done / self._count)
        member = min(self._count, self._kept + math.ceil(details["member"] * self._expected / self._draws))
        self._reporter.progress(self._furthest, **details | {"member": member, "members": self._count})

    def warning(self, message: str, **details: Any) -> None:
        self._reporter.warning(message, **details)
