"""The second job: new tumour masks out of noise alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from LDMSegLib.cases.canvas import Canvas
from LDMSegLib.cases.grid import from_grid, to_grid
from LDMSegLib.diffusion.ensemble import run_ensemble
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import Cancelled, InputError
from LDMSegLib.events import Cancellation, Reporter, Silent
from LDMSegLib.models.model import Model
from LDMSegLib.results.labels import label_map, nest, region_masks
from LDMSegLib.results.measurements import voxel_ml
from LDMSegLib.shape_odds import chance, keeping_probability, shape_on_model_grid
from LDMSegLib.specification import ShapeOdds

DRAWS_PER_MASK = 10
"""For each mask that is wanted, at most this many are drawn that have a shape to be kept: a smallest volume that hardly any has
shall end some time."""


@dataclass(frozen=True)
class Wish:
    """What is wanted. Masks are cut at the surface of the canvas's brain. Those are not kept that are empty, that lose more by it
    than the bundle calls usual (`inside/<outermost region>`, see `results.plausibility`), that have less than `min_volume_ml`, or
    that the bundle's odds of shapes leave out (`shape_odds`), which `any_shape` does without."""

    count: int = 8
    seed: int = 0
    min_volume_ml: float = 0.0
    threshold: float | None = None
    batch_size: int = 8
    any_shape: bool = False


@dataclass(frozen=True, eq=False)
class Mask:
    """One new mask: the `number`-th that was kept, `member` of the seed. `labels` (X, Y, Z) uint8; volumes by region, in mL."""

    number: int
    member: int
    labels: np.ndarray
    volumes_ml: dict[str, float]


@dataclass(frozen=True)
class Drawn:
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
    wish: Wish,
    on_mask: Callable[[Mask], None],
    reporter: Reporter | None = None,
    cancellation: Cancellation | None = None,
) -> Drawn:
    """Draw masks one after the other; member i of a seed is the same mask whatever is kept of the others.

    Args:
        model: a bundle's networks, loaded for a mode without a ControlNet.
        canvas: where they are drawn.
        wish: how many, and which.
        on_mask: takes each mask that is kept; nothing else keeps it.
        reporter: hears the stage "sample" and how far it is.
        cancellation: asked between steps; what is finished by then has been handed over.

    Returns:
        The counts; fewer kept than wanted when it was cancelled or `DRAWS_PER_MASK` did not suffice.

    Raises:
        InputError: not one mask could be kept. Cancelled: before there was one.
    """
    reporter, cancellation = reporter or Silent(), cancellation or Cancellation()
    reporter.stage("sample", f"Drawing {wish.count} mask{'s' if wish.count > 1 else ''}")
    sampler = make_sampler(model.mode, NoiseSchedule.from_specification(model.specification.schedule))
    odds = ShapeOdds() if wish.any_shape else model.specification.shape_odds
    screen, share = _Screen(model, canvas, wish, odds, on_mask), _Share(reporter, wish.count)
    limit = math.ceil(wish.count * DRAWS_PER_MASK / odds.kept)
    while screen.kept < wish.count and screen.drawn < limit and not cancellation.requested:
        missing = wish.count - screen.kept
        draws = min(math.ceil(missing / odds.kept), limit - screen.drawn)
        if odds.kept < 1.0:  # whatever is drawn beyond the last mask that is wanted is drawn for nothing
            draws = min(draws, wish.batch_size)
        run_ensemble(
            model.denoiser(),
            model.decode,
            sampler,
            model.latent_shape(canvas.placed.shape),
            draws,
            wish.seed,
            wish.batch_size,
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
            f"the brain, {screen.too_small} below {wish.min_volume_ml:g} mL, {screen.odd_shaped} unlike real ones), expected {wish.count}; "
            "lower --min-volume or --threshold, or use another seed"
        )
    return Drawn(wish.count, screen.kept, screen.drawn, screen.empty, screen.outside, screen.too_small, screen.odd_shaped)


class _Screen:
    """Looks at each member: decoded probabilities in, a kept or a rejected mask out."""

    def __init__(self, model: Model, canvas: Canvas, wish: Wish, odds: ShapeOdds, on_mask: Callable[[Mask], None]) -> None:
        self.kept = self.drawn = self.empty = self.outside = self.too_small = self.odd_shaped = 0
        self._spec, self._canvas, self._wish, self._odds, self._on_mask = model.specification, canvas, wish, odds, on_mask
        inside = np.ones(canvas.shape, bool) if canvas.inside is None else canvas.inside
        self._brain = to_grid(inside.astype(np.float32), canvas.affine, canvas.placed) >= 0.5
        usual = self._spec.plausibility.ranges.get(f"inside/{self._spec.region_names[-1]}")
        self._least_inside = usual.low if usual else 0.0
        self._threshold = self._spec.threshold if wish.threshold is None else wish.threshold

    def look(self, member: int, probabilities: torch.Tensor) -> None:
        if self.kept == self._wish.count:
            return
        self.drawn += 1
        spec, canvas = self._spec, self._canvas
        nested = nest(probabilities, spec.regions).cpu().numpy()
        if self._odd(nested, member):  # before the mask is brought to a grid that may have many more voxels
            self.odd_shaped += 1
            return
        placed = from_grid(nested, canvas.placed, canvas.affine, canvas.shape)
        drawn = self._voxels(placed)
        if canvas.inside is not None:
            placed *= canvas.inside
        lost = drawn - self._voxels(placed)
        voxel = voxel_ml(canvas.affine)
        labels = label_map(placed, spec.labels, spec.regions, self._threshold, None, spec.min_component_mm3, voxel * 1000.0)
        volume = np.count_nonzero(labels) * voxel
        if volume == 0.0:
            self.empty += 1
        elif lost > (1.0 - self._least_inside) * drawn:
            self.outside += 1
        elif volume < self._wish.min_volume_ml:
            self.too_small += 1
        else:
            self.kept += 1
            masks = region_masks(labels, spec.labels, spec.regions)
            volumes = {name: float(np.count_nonzero(mask) * voxel) for name, mask in zip(spec.region_names, masks, strict=True)}
            self._on_mask(Mask(self.kept, member, labels, volumes))

    def _odd(self, nested: np.ndarray, member: int) -> bool:
        """Whether the odds leave out what lies in the brain, on the model's grid."""
        if not self._odds.terms:
            return False
        spec = self._spec
        labels = label_map(
            nested * self._brain, spec.labels, spec.regions, self._threshold, None, spec.min_component_mm3, math.prod(spec.grid.spacing)
        )
        if not labels.any():
            return False
        shape = shape_on_model_grid(region_masks(labels, spec.labels, spec.regions), spec.regions, spec.grid)
        return chance(self._wish.seed, member) >= keeping_probability(shape, self._odds)

    def _voxels(self, probabilities: np.ndarray) -> int:
        return np.count_nonzero(probabilities.max(axis=0) >= self._threshold)


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
