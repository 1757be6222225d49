"""New masks: reproducible one by one, screened, on the grid that was asked for, and called synthetic."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here
from tiny_bundle import GRID, SHAPE, save_tiny_bundle, tiny_specification

from LDMSegLib.errors import BundleError, Cancelled, InputError
from LDMSegLib.events import Cancellation, Silent
from LDMSegLib.models.bundle import read_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.specification import Grid, Mode, Plausibility, Range, nesting
from LDMSegLib.synthesis.acceptance import Screen, SynthesisRequest
from LDMSegLib.synthesis.canvas import blank_canvas, canvas_like
from LDMSegLib.synthesis.synthesize import DRAWS_PER_MASK, synthesize

SMALL = Grid((6.0, 6.0, 6.0), (12, 12, 12), 4, "nowhere", centre=(10.0, 20.0, 30.0))
IN_SRI24 = replace(SMALL, space="SRI24", centre=(-119.0, 110.0, 71.5))


@pytest.fixture(scope="module")
def model(tiny_bundle) -> Model:
    bundle = read_bundle(tiny_bundle)
    return Model(bundle, bundle.specification.mode("synthesis"), choose_device("cpu", "float32"))


def draw(model, request, canvas=None, **more):
    masks = []
    drawn = synthesize(model, canvas or blank_canvas(SMALL), request, masks.append, **more)
    return drawn, masks


def test_a_blank_canvas_is_a_millimetre_grid_of_the_models_extent_around_its_centre():
    canvas = blank_canvas(SMALL)
    assert canvas.shape == (72, 72, 72)
    np.testing.assert_allclose(nib.affines.voxel_sizes(canvas.affine), 1.0)
    for affine, shape in ((canvas.affine, canvas.shape), (canvas.placed.affine, canvas.placed.shape)):
        middle = affine @ [*((np.array(shape) - 1) / 2), 1.0]
        np.testing.assert_allclose(middle[:3], (10.0, 20.0, 30.0))
    assert nib.aff2axcodes(canvas.affine) == ("R", "A", "S")
    np.testing.assert_allclose(blank_canvas(replace(SMALL, centre=())).affine @ [35.5, 35.5, 35.5, 1.0], [0, 0, 0, 1])


def test_a_grids_centre_must_be_a_point():
    with pytest.raises(BundleError, match="is no point"):
        tiny_specification(grid=replace(SMALL, centre=(1.0, 2.0)))


def test_member_i_of_a_seed_is_the_same_mask_whatever_is_drawn_beside_it(model):
    _, three = draw(model, SynthesisRequest(3, seed=4, batch_size=3))
    _, one = draw(model, SynthesisRequest(1, seed=4))
    assert three[0].member == one[0].member == 0
    volumes = sorted(sum(mask.volumes_ml.values()) for mask in three)
    assert len({round(volume, 3) for volume in volumes}) == 3, "members differ"
    _, singly = draw(model, SynthesisRequest(3, seed=4, batch_size=1))
    np.testing.assert_array_equal(singly[0].labels, one[0].labels)
    for mask, other in zip(three, singly, strict=True):  # up to the rounding of the networks' arithmetic
        assert np.mean(mask.labels != other.labels) < 1e-4


def test_masks_are_nested_and_their_volumes_are_those_of_their_voxels(model):
    spec = model.specification
    _, (mask,) = draw(model, SynthesisRequest(1, seed=1))
    masks = region_masks(mask.labels, spec.labels, spec.regions)
    for inner, outer in nesting(spec.regions):
        assert not (masks[inner] & ~masks[outer]).any()
    assert mask.volumes_ml == {name: pytest.approx(m.sum() / 1000.0) for name, m in zip(spec.region_names, masks, strict=True)}


def test_masks_below_the_smallest_volume_are_counted_and_replaced_by_further_members(model):
    _, six = draw(model, SynthesisRequest(6, seed=2))
    volumes = [mask.volumes_ml["WT"] for mask in six]
    least = sorted(volumes)[3]
    expected = [mask.member for mask in six if mask.volumes_ml["WT"] >= least]
    drawn, kept = draw(model, SynthesisRequest(2, seed=2, min_volume_ml=least - 1e-6))
    assert [mask.member for mask in kept] == expected[:2] and [mask.number for mask in kept] == [1, 2]
    assert (drawn.kept, drawn.empty) == (2, 0) and drawn.too_small == drawn.drawn - 2 == expected[1] - 1


def test_it_gives_up_at_the_stated_limit_and_says_what_became_of_the_draws(model):
    counts = rf"\(0 empty, 0 too far outside the brain, {DRAWS_PER_MASK} below 90000 mL, 0 unlike real ones\)"
    with pytest.raises(InputError, match=rf"none of {DRAWS_PER_MASK} drawn masks could be kept {counts}"):
        draw(model, SynthesisRequest(1, min_volume_ml=90_000.0))


def test_empty_masks_are_counted(model):
    with pytest.raises(InputError, match=rf"\({DRAWS_PER_MASK} empty, 0 too far"):
        draw(model, SynthesisRequest(1, threshold=1.0))


def test_progress_never_falls_although_masks_are_rejected(model):
    class Listener(Silent):
        fractions: list[float] = []

        def progress(self, fraction, **details):
            self.fractions.append(fraction)
            assert 1 <= details["member"] <= details["members"] == 3

    _, masks = draw(model, SynthesisRequest(3, seed=2))
    least = sorted(mask.volumes_ml["WT"] for mask in masks)[1] - 1e-6
    draw(model, SynthesisRequest(3, seed=2, min_volume_ml=least), reporter=Listener())
    assert Listener.fractions == sorted(Listener.fractions) and Listener.fractions[-1] == pytest.approx(1.0)


def test_a_cancelled_drawing_keeps_what_it_has(model):
    cancellation = Cancellation()
    kept = []

    def take(mask):
        kept.append(mask)
        if len(kept) == 2:
            cancellation.request()

    drawn = synthesize(model, blank_canvas(SMALL), SynthesisRequest(5, batch_size=1), take, cancellation=cancellation)
    assert (drawn.kept, drawn.wanted, len(kept)) == (2, 5, 2)
    with pytest.raises(Cancelled):
        synthesize(model, blank_canvas(SMALL), SynthesisRequest(5), kept.append, cancellation=cancellation)


def test_in_a_known_space_nothing_is_drawn_outside_its_average_brain(model):
    canvas = blank_canvas(replace(IN_SRI24, centre=(-119.0, 45.0, 71.5)))  # where the brain ends in front or behind
    assert 0.1 < canvas.inside.mean() < 0.9
    _, (mask,) = draw(model, SynthesisRequest(1), canvas)
    assert mask.labels.any() and not mask.labels[~canvas.inside].any()


def test_masks_further_outside_the_brain_than_the_bundle_calls_usual_are_replaced(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    spec = replace(bundle.specification, plausibility=Plausibility({"inside/WT": Range(0.99, 1.0)}))
    strict = Model(replace(bundle, specification=spec), spec.mode("synthesis"), choose_device("cpu", "float32"))
    edge = blank_canvas(replace(IN_SRI24, centre=(-119.0, 45.0, 71.5)))
    with pytest.raises(InputError, match=rf"\(0 empty, {DRAWS_PER_MASK} too far outside the brain, 0 below"):
        draw(strict, SynthesisRequest(1), edge)
    drawn, _ = draw(strict, SynthesisRequest(1), replace(edge, inside=None))  # where nothing is known of a brain, all of it counts
    assert (drawn.kept, drawn.outside) == (1, 0)


def test_in_an_images_brain_nothing_is_drawn_outside_it(model, small_case):
    file = next(small_case.glob("*t1c*"))
    canvas = canvas_like(file, GRID)
    _, (mask,) = draw(model, SynthesisRequest(1), canvas)
    assert mask.labels.shape == SHAPE and mask.labels.any()
    assert not mask.labels[np.asarray(nib.load(file).dataobj) == 0].any()


def test_from_the_command_line_masks_table_montage_and_provenance_are_written(tmp_path, tiny_bundle, small_case, capsys):
    like = next(small_case.glob("*t1c*"))
    options = ["--like", like, "--brats-labels", "--batch-size", 1]
    ran = run_here(capsys, "synthesize", "-n", 2, "--seed", 3, "-o", tmp_path / "masks", "--bundle", tiny_bundle, *options)
    assert ran.code == 0 and ran.err == "" and "SYNTHETIC" in ran.out
    names = ["mask_0001.nii.gz", "mask_0002.nii.gz", "montage.png", "provenance.json", "volumes.csv"]
    assert sorted(file.name for file in (tmp_path / "masks").iterdir()) == names
    reference, mask = nib.load(like), nib.load(tmp_path / "masks" / "mask_0001.nii.gz")
    np.testing.assert_array_equal(mask.affine, reference.affine)
    assert b"SYNTHETIC" in bytes(mask.header["descrip"]) and mask.get_data_dtype() == np.uint8
    assert set(np.unique(np.asarray(mask.dataobj))) <= {0, 1, 2, 4}
    rows = list(csv.DictReader((tmp_path / "masks" / "volumes.csv").open()))
    assert float(rows[0]["WT_ml"]) == pytest.approx(np.count_nonzero(np.asarray(mask.dataobj)) * 0.064, abs=1e-3)
    record = json.loads((tmp_path / "masks" / "provenance.json").read_text())
    assert record["synthetic_input"] is True and "SYNTHETIC" in record["kind"] and "Research use only" in record["intended_use"]
    assert record["drawn"] | {"wanted": 2, "kept": 2, "drawn": 2, "odd_shaped": 0, "any_shape": False} == record["drawn"]
    again = run_here(capsys, "synthesize", "-n", 1, "--seed", 3, "-o", tmp_path / "one", "--bundle", tiny_bundle, *options)
    assert again.code == 0
    assert (tmp_path / "one" / names[0]).read_bytes() == (tmp_path / "masks" / names[0]).read_bytes()


def test_fewer_masks_than_wanted_are_a_result_and_exit_code_1(tmp_path, tiny_bundle, small_case, model, capsys, monkeypatch):
    monkeypatch.setattr("LDMSegLib.synthesis.synthesize.DRAWS_PER_MASK", 2)
    like = next(small_case.glob("*t1c*"))
    _, masks = draw(model, SynthesisRequest(4, seed=0, batch_size=1), canvas_like(like, GRID))
    least = max(mask.volumes_ml["WT"] for mask in masks) - 1e-6
    options = ["--bundle", tiny_bundle, "--like", like, "--batch-size", 1, "--device", "cpu", "--precision", "float32"]
    ran = run_here(capsys, "synthesize", "-n", 2, "--min-volume", least, "-o", tmp_path / "masks", *options)
    assert ran.code == 1 and "1 of 2 masks, because 4 were drawn, the most that are tried" in ran.err
    assert json.loads((tmp_path / "masks" / "provenance.json").read_text())["partial"] is True


def test_nothing_lies_beside_the_target_while_masks_are_drawn(tmp_path, tiny_bundle, capsys, monkeypatch):
    """What another run to the same place could take for the remains of a killed one, and remove."""
    there = []
    really = Screen.look

    def look(self, *arguments):
        there.append(list((tmp_path / "masks").iterdir()))
        return really(self, *arguments)

    (tmp_path / "masks").mkdir()
    monkeypatch.setattr(Screen, "look", look)
    options = ("--bundle", tiny_bundle, "--steps", 2, "--any-shape", "--threshold", 0.05)
    ran = run_here(capsys, "synthesize", "-n", 2, "-o", tmp_path / "masks" / "out", *options)
    assert ran.code == 0, ran.err
    assert there and not any(there)


def test_a_bundle_that_cannot_draw_masks_says_so(tmp_path, capsys):
    specification = tiny_specification(modes={"solver": Mode("dpmpp_2m", 3, 4)})
    bundle = save_tiny_bundle(tmp_path / "images-only", specification)
    ran = run_here(capsys, "synthesize", "-o", tmp_path / "out", "--bundle", bundle)
    assert ran.code == 2 and "cannot draw masks" in ran.error
