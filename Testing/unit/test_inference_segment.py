"""The first job, from a case in memory to a segmentation in memory: with words that are not glioma's, on any grid, streamed."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from tiny_bundle import SHAPE, save_tiny_bundle, small_affine, small_images, tiny_specification

from LDMSegLib.errors import Cancelled
from LDMSegLib.events import Cancellation, Silent
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import read_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Label, Region, Sequence, nesting


def load(folder, members=None, steps=None, mode=None) -> Model:
    bundle = read_bundle(folder)
    return Model(bundle, sampling_mode(bundle.specification, mode, steps, members), choose_device("cpu", "float32"))


def make_case(names=("t1n", "t1c", "t2w", "t2f"), reference="t1c", affine=None) -> Case:
    affine = small_affine() if affine is None else affine
    return Case("made_up", {name: Volume(array, affine) for name, array in small_images(names).items()}, reference)


@pytest.fixture(scope="module")
def model(tiny_bundle) -> Model:
    return load(tiny_bundle)


class Listener(Silent):
    def __init__(self):
        self.stages, self.fractions = [], []

    def stage(self, name, title):
        self.stages.append(name)

    def progress(self, fraction, **details):
        self.fractions.append(fraction)


def test_a_segmentation_lies_on_the_cases_own_grid_and_is_nested_and_outside_the_brain_empty(model):
    case = make_case()
    result = segment(case, model)
    assert result.label_map.shape == SHAPE and np.array_equal(result.affine, case.grid.affine)
    assert result.members_finished == result.members_requested == 4 and not result.partial
    for inner, outer in nesting(result.regions):
        assert (result.probabilities[inner] <= result.probabilities[outer]).all()
    outside = ~case.foreground()
    assert not result.probabilities[:, outside].any() and not result.label_map[outside].any()
    assert result.probabilities.max() > 0.3 and result.variance.max() > 0


def test_a_member_s_volume_counts_the_brain_alone_like_the_result(model):
    case = make_case()
    # At 0 every voxel is on: result and members are then all of the brain, and nothing but the brain.
    result = segment(case, model, Settings(threshold=0.0))
    brain_ml = case.foreground().sum() * abs(np.linalg.det(case.grid.affine[:3, :3])) / 1000
    for volume in result.volumes:
        assert volume.mean == pytest.approx(brain_ml, rel=0.03) and volume.sd == pytest.approx(0, abs=1e-6)


def test_a_run_tells_its_stages_in_order_and_its_progress_never_falls(model):
    listener = Listener()
    segment(make_case(), model, reporter=listener)
    assert listener.stages == ["prepare", "condition", "sample", "restore"]
    assert listener.fractions == sorted(listener.fractions) and listener.fractions[-1] == 1.0


def test_another_batch_size_gives_the_same_maps(model):
    alone, together = (segment(make_case(), model, Settings(seed=3, batch_size=size)) for size in (1, 4))
    np.testing.assert_allclose(alone.probabilities, together.probabilities, atol=2e-4)
    np.testing.assert_allclose(alone.variance, together.variance, atol=2e-4)


def test_another_seed_gives_other_maps(model):
    first, second = (segment(make_case(), model, Settings(seed=seed)) for seed in (0, 1))
    assert np.abs(first.probabilities - second.probabilities).max() > 1e-2


def test_the_result_does_not_depend_on_how_the_axes_are_stored(model):
    case = make_case()
    flipped = {}
    for name, volume in case.volumes.items():
        affine = volume.affine @ np.diag([-1.0, -1.0, 1.0, 1.0])
        affine[:3, 3] = volume.affine[:3, 3] + volume.affine[:3, :2] @ (np.array(SHAPE[:2]) - 1)
        flipped[name] = Volume(volume.array[::-1, ::-1], affine)
    result, turned = segment(case, model), segment(Case("flipped", flipped, "t1c"), model)
    np.testing.assert_allclose(turned.probabilities[:, ::-1, ::-1], result.probabilities, atol=1e-3)


@pytest.mark.parametrize("after", [1, 3])
def test_a_cancelled_run_is_a_partial_result_of_the_members_that_finished(tiny_bundle, after):
    model, cancellation = load(tiny_bundle, members=5), Cancellation()

    class StopsAt(Silent):
        def progress(self, fraction, member, step, steps, **details):
            if member == after and step == steps and fraction > 0.01:
                self.seen = getattr(self, "seen", 0) + 1
                if self.seen == 2:  # once for the last step, once for the finished member
                    cancellation.request()

    result = segment(make_case(), model, Settings(batch_size=1), StopsAt(), cancellation)
    assert result.partial and (result.members_finished, result.members_requested) == (after, 5)
    assert result.provenance["partial"] and any("partial" in warning for warning in result.warnings)
    whole = segment(make_case(), load(tiny_bundle, members=after), Settings(batch_size=1))
    np.testing.assert_array_equal(result.probabilities, whole.probabilities)


def test_cancelled_before_the_first_member_there_is_no_result(model):
    cancellation = Cancellation()
    cancellation.request()
    with pytest.raises(Cancelled, match="before its first member"):
        segment(make_case(), model, cancellation=cancellation)


def test_memory_does_not_grow_with_the_number_of_members(tiny_bundle):
    def most_alive(members: int) -> int:
        model, seen = load(tiny_bundle, members=members), []
        decode = model.decode

        def counted(z):
            shapes = [tuple(o.shape) for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
            seen.append(sum(shape == decoded for shape in shapes for decoded in seen_shapes))
            out = decode(z)
            seen_shapes.add(tuple(out.shape))
            return out

        seen_shapes: set[tuple[int, ...]] = set()
        model.decode = counted
        segment(make_case(), model, Settings(batch_size=2))
        return max(seen)

    few, many = most_alive(3), most_alive(12)
    assert 0 < many == few


def test_missing_sequences_are_said_and_the_case_goes_on(tmp_path):
    sequences = tuple(Sequence(name, name, required=name == "t1c") for name in ("t1n", "t1c", "t2w", "t2f"))
    model = load(save_tiny_bundle(tmp_path / "optional", tiny_specification(sequences=sequences)), members=1)
    whole = make_case()
    case = Case("half", {"t1c": whole.volumes["t1c"], "t2f": whole.volumes["t2f"]}, "t1c", missing=("t1n", "t2w"))
    result = segment(case, model)
    assert any("without t1n, t2w" in warning for warning in result.warnings)
    assert result.provenance["missing_sequences"] == ["t1n", "t2w"]


def test_another_vocabulary_works_end_to_end(tmp_path):
    specification = tiny_specification(
        name="stroke",
        title="Two sequences, two regions that do not nest",
        sequences=(Sequence("dwi", "Diffusion"), Sequence("adc", "Apparent diffusion coefficient")),
        reference="dwi",
        labels=(Label("CORE", 5, "Infarct core", (255, 0, 0)), Label("BLEED", 9, "Haemorrhage", (0, 0, 255))),
        regions=(Region("I", "Infarct", ("CORE",), (255, 0, 0)), Region("H", "Haemorrhage", ("BLEED",), (0, 0, 255))),
    )
    model = load(save_tiny_bundle(tmp_path / "stroke", specification))
    result = segment(make_case(("dwi", "adc"), "dwi"), model, Settings(threshold=0.45))
    assert result.probabilities.shape == (2, *SHAPE)
    assert set(np.unique(result.label_map)) == {0, 5, 9}
    assert [volume.region for volume in result.volumes] == ["I", "H"]
    assert result.provenance["sampling"]["threshold"] == 0.45
