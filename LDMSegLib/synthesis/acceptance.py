"""Which of the drawn masks are kept: not empty, in the brain, large enough, and of a shape that real tumours have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from LDMSegLib.postprocessing.regions import label_map, nest, region_masks
from LDMSegLib.postprocessing.volumes import voxel_ml
from LDMSegLib.spatial.model_grid import from_grid, to_grid
from LDMSegLib.specification import ShapeOdds, Specification
from LDMSegLib.synthesis.canvas import Canvas
from LDMSegLib.synthesis.shape_prior import chance, keeping_probability, shape_on_model_grid


@dataclass(frozen=True)
class SynthesisRequest:
    """What masks are asked for.

    Masks are cut at the surface of the canvas's brain. Those are not kept that are empty, that lose more by it than the bundle calls usual
    (`inside/<outermost region>`, see `postprocessing.out_of_distribution`), that have less than `min_volume_ml`, or that the bundle's odds
    of shapes leave out (`shape_odds`), which `any_shape` does without.
    """

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


class Screen:
    """Looks at each member: decoded probabilities in, a kept or a rejected mask out; and counts what became of them."""

    def __init__(
        self, specification: Specification, canvas: Canvas, request: SynthesisRequest, odds: ShapeOdds, on_mask: Callable[[Mask], None]
    ) -> None:
        self.kept = self.drawn = self.empty = self.outside = self.too_small = self.odd_shaped = 0
        self._spec, self._canvas, self._request, self._odds, self._on_mask = specification, canvas, request, odds, on_mask
        inside = np.ones(canvas.shape, bool) if canvas.inside is None else canvas.inside
        self._brain = to_grid(inside.astype(np.float32), canvas.affine, canvas.placed) >= 0.5
        usual = self._spec.plausibility.ranges.get(f"inside/{self._spec.region_names[-1]}")
        self._least_inside = usual.low if usual else 0.0
        self._threshold = self._spec.threshold if request.threshold is None else request.threshold

    def look(self, member: int, probabilities: torch.Tensor) -> None:
        """Keep a member's mask if it is acceptable and more are wanted."""
        if self.kept == self._request.count:
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
        elif volume < self._request.min_volume_ml:
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
        return chance(self._request.seed, member) >= keeping_probability(shape, self._odds)

    def _voxels(self, probabilities: np.ndarray) -> int:
        return np.count_nonzero(probabilities.max(axis=0) >= self._threshold)
