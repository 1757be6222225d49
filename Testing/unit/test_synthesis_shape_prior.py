"""Masks are kept by how usual their shape is, each for itself, and only where the bundle knows what is usual."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import GRID, REGIONS

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.events import Silent
from LDMSegLib.models.bundle import read_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.specification import Grid, ShapeOdds, Specification, Term, from_dict, to_dict
from LDMSegLib.synthesis.acceptance import SynthesisRequest
from LDMSegLib.synthesis.canvas import Canvas, blank_canvas, placed_blank
from LDMSegLib.synthesis.shape_prior import chance, keeping_probability, shape_on_model_grid
from LDMSegLib.synthesis.synthesize import synthesize

SMALL = Grid((6.0, 6.0, 6.0), (12, 12, 12), 4, "nowhere", centre=(10.0, 20.0, 30.0))
HALF = ShapeOdds({"WT_volume_ml": Term(0.0, 0.0)}, highest=math.log(2.0), kept=0.5)
"""Every shape is kept half of the time."""


@pytest.fixture(scope="module")
def drawing(tiny_bundle):
    """Draws with given odds; the counts, and the masks that were kept."""
    bundle = read_bundle(tiny_bundle)

    def draw(odds: ShapeOdds, request: SynthesisRequest, canvas: Canvas | None = None, reporter=None):
        spec = replace(bundle.specification, grid=SMALL, shape_odds=odds)
        model = Model(replace(bundle, specification=spec), spec.mode("synthesis"), choose_device("cpu", "float32"))
        masks = []
        return synthesize(model, canvas or blank_canvas(SMALL), request, masks.append, reporter), masks

    return draw


def test_without_odds_every_shape_is_kept():
    assert keeping_probability({"WT_volume_ml": 1e9}, ShapeOdds()) == 1.0


def test_from_the_highest_odds_on_a_shape_is_always_kept_and_below_by_its_odds():
    odds = ShapeOdds({"a": Term(2.0, 0.5), "b": Term(0.0, -1.0)}, highest=1.0)
    assert keeping_probability({"a": 4.0, "b": 0.0}, odds) == 1.0
    assert keeping_probability({"a": 40.0, "b": 0.0}, odds) == 1.0
    assert keeping_probability({"a": 2.0, "b": 1.5}, odds) == pytest.approx(math.exp(-2.5))


def test_what_is_undefined_says_nothing_about_a_mask():
    odds = ShapeOdds({"a": Term(2.0, 0.5), "b": Term(7.0, 3.0)})
    assert keeping_probability({"a": 1.0, "b": math.nan}, odds) == pytest.approx(math.exp(-0.5))


def test_a_shape_is_measured_from_the_middle_of_the_models_grid():
    masks = np.zeros((3, *GRID.shape), bool)
    masks[:, 11:13, 13:15, 11:14] = True
    shape = shape_on_model_grid(masks, REGIONS, GRID)
    assert (shape["WT_centroid_r_mm"], shape["WT_centroid_a_mm"]) == pytest.approx((0.0, 0.0))
    assert shape["WT_centroid_s_mm"] == pytest.approx(2.5 * 6.0) and shape["WT_volume_ml"] == pytest.approx(12 * 0.216)


def test_whether_a_mask_is_kept_depends_on_its_seed_and_number_alone():
    assert chance(3, 5) == chance(3, 5) != chance(3, 6) != chance(4, 6)
    assert np.mean([chance(0, member) for member in range(400)]) == pytest.approx(0.5, abs=0.05)


def test_masks_that_the_odds_leave_out_are_counted_and_replaced_by_further_members(drawing):
    expected = [member for member in range(40) if chance(7, member) < 0.5]
    drawn, masks = drawing(HALF, SynthesisRequest(4, seed=7))
    assert [mask.member for mask in masks] == expected[:4]
    assert drawn.odd_shaped == drawn.drawn - 4 == expected[3] + 1 - 4
    assert [mask.member for mask in drawing(HALF, SynthesisRequest(4, seed=7, batch_size=3))[1]] == expected[:4]


def test_who_asks_for_any_shape_gets_every_mask(drawing):
    drawn, masks = drawing(HALF, SynthesisRequest(4, seed=7, any_shape=True))
    assert [mask.member for mask in masks] == [0, 1, 2, 3] and drawn.odd_shaped == 0


def test_a_shape_counts_as_it_is_on_the_models_grid_wherever_and_however_finely_the_mask_is_drawn(drawing):
    _, masks = drawing(ShapeOdds(), SynthesisRequest(8, seed=1))
    middle = float(np.median([mask.volumes_ml["WT"] for mask in masks]))
    large_only = ShapeOdds({"WT_volume_ml": Term(middle, 1e3)})
    placed = placed_blank(SMALL)
    coarse = Canvas(placed, placed.affine, placed.shape)
    turned = blank_canvas(replace(SMALL, centre=(-500.0, 0.0, 80.0)))
    kept = [[mask.member for mask in drawing(large_only, SynthesisRequest(2, seed=1), canvas)[1]] for canvas in (None, coarse, turned)]
    assert kept[0] == kept[1] == kept[2] and kept[0]
    volumes = {mask.member: mask.volumes_ml["WT"] for mask in masks}
    assert all(volumes[member] > middle * 0.9 for member in kept[0] if member in volumes)


def test_the_sentence_says_how_many_were_unlike_real_ones(drawing):
    never = replace(HALF, highest=1e6)
    with pytest.raises(InputError, match=r"none of 20 drawn masks .* 20 unlike real ones\), expected 1"):
        drawing(never, SynthesisRequest(1))


def test_the_bar_advances_by_what_the_odds_will_keep(drawing):
    class Listener(Silent):
        fractions: list[float] = []

        def progress(self, fraction, **details):
            self.fractions.append(fraction)
            assert 1 <= details["member"] <= details["members"] == 6

    drawing(HALF, SynthesisRequest(6, seed=7), reporter=Listener())
    assert Listener.fractions == sorted(Listener.fractions)
    assert Listener.fractions[0] < 0.35 and Listener.fractions[-1] <= 1.0


def test_odds_come_through_the_metadata_unchanged(tiny_bundle):
    spec = replace(read_bundle(tiny_bundle).specification, shape_odds=HALF)
    assert from_dict(Specification, to_dict(spec)) == spec
    with pytest.raises(BundleError, match="a share of 0 of the draws kept"):
        replace(spec, shape_odds=replace(HALF, kept=0.0))
