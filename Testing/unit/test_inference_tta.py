"""Seen in other ways: mirrored; and always brought back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bundle import small_affine, small_images

from LDMSegLib.events import Silent
from LDMSegLib.inference.ensemble import read
from LDMSegLib.inference.segment import network_input, segment
from LDMSegLib.inference.tta import View, view_of, views, views_of_case
from LDMSegLib.models.bundle import read_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.spatial.model_grid import place
from LDMSegLib.spatial.volume import Volume


@pytest.mark.parametrize("view", views(8) + views(8, cell=4))
def test_what_is_seen_in_a_view_comes_back_to_its_place(view):
    rng = np.random.default_rng(0)
    volume = np.zeros((2, 16, 16, 16), np.float32)
    volume[:, 4:12, 4:12, 4:12] = rng.random((2, 8, 8, 8))
    seen = view.forward(volume)
    assert np.array_equal(view.inverse(torch.from_numpy(seen)).numpy(), volume)
    if view != View():
        assert not np.array_equal(seen, volume)


def test_no_view_is_given_twice_and_the_first_changes_nothing():
    assert len(set(views(8))) == 8 and views(1) == (View(),)


def test_moved_views_fill_a_cell_of_the_latent_evenly_and_no_view_by_more_than_half_of_it():
    shifts = np.array([view.shift for view in views(8, cell=4)])
    assert not shifts[0].any() and len({tuple(shift) for shift in shifts}) == 8
    for axis in range(3):
        assert sorted(shifts[:, axis]) == [-1, -1, 0, 0, 1, 1, 2, 2]
    assert [view.axes for view in views(8, cell=4)] == [view.axes for view in views(8)]
    assert not np.any([view.shift for view in views(8)]), "without a cell nothing is moved"


def test_the_second_view_changes_left_and_right_only():
    volume = np.arange(2 * 4 * 4 * 4, dtype=np.float32).reshape(2, 4, 4, 4)
    assert np.array_equal(views(2)[1].forward(volume), volume[:, ::-1])


@pytest.mark.parametrize("count", [1, 2, 8])
def test_of_bias_corrected_images_the_first_view_and_half_of_all_are(count):
    seen = views(count, bias_corrected=True)
    assert seen[0] == View(bias_corrected=True) and sum(view.bias_corrected for view in seen) == (count + 1) // 2
    assert [view.axes for view in seen] == [view.axes for view in views(count)]
    # neither axis goes with either kind of image
    for axis in range(3) if count == 8 else ():
        assert sum(view.bias_corrected for view in seen if axis in view.axes) == 2


@pytest.mark.parametrize("count", range(1, 9))
def test_members_come_round_robin_so_that_any_number_of_them_has_seen_the_views_equally_often(count):
    dealt = [view_of(member, count) for member in range(40)]
    for finished in range(1, 41):
        often = np.bincount(dealt[:finished], minlength=count)
        assert often.max() - often.min() <= 1
    assert dealt[:count] == list(range(count))


def test_any_number_of_members_of_a_raw_case_has_seen_both_kinds_of_images_about_equally_often():
    seen = views(8, bias_corrected=True)
    kinds = np.cumsum([1 if seen[view_of(member, 8)].bias_corrected else -1 for member in range(40)])
    assert np.abs(kinds).max() <= 2 and not kinds[7::8].any()


def test_a_mode_of_one_view_sees_a_raw_case_in_both_kinds():
    both = views_of_case(1, 30, bias_corrected=True)
    assert both == (View(bias_corrected=True), View())
    assert views_of_case(1, 1, bias_corrected=True) == (View(bias_corrected=True),) and views_of_case(1, 30) == (View(),)
    assert views_of_case(8, 3, bias_corrected=True) == views(3, bias_corrected=True)


def test_nine_views_are_refused():
    with pytest.raises(ValueError, match="9 views"):
        views(9)


class Listener(Silent):
    def __init__(self):
        self.told = []

    def progress(self, fraction, **details):
        if "member" in details:
            self.told.append((fraction, details["member"], details["members"]))


def test_an_ensemble_over_views_keeps_its_first_view_and_tells_its_progress_as_one(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    plain = sampling_mode(bundle.specification, None, 2, 4)
    images = {name: Volume(array, small_affine()) for name, array in small_images(bundle.specification.sequence_names).items()}
    case, device, listener = Case("made_up", images, bundle.specification.reference), choose_device("cpu", "float32"), Listener()
    over_views = segment(case, Model(bundle, replace(plain, views=2), device), reporter=listener)
    first_alone = segment(case, Model(bundle, replace(plain, members=2), device))
    alone = segment(case, Model(bundle, plain, device))
    assert over_views.members_finished == 4
    fractions = [fraction for fraction, _, _ in listener.told]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1.0)
    assert {members for _, _, members in listener.told} == {4} and listener.told[-1][1] == 4
    # the members of the first view are the same; those of the second see something else
    assert over_views.provenance["sampling"]["views"] == 2
    assert not np.allclose(over_views.probabilities, alone.probabilities)
    assert np.abs(over_views.probabilities - first_alone.probabilities).max() <= 1.0


def test_every_second_view_of_a_case_with_bias_corrected_images_is_of_these(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    spec, device = bundle.specification, choose_device("cpu", "float32")
    images = {name: Volume(array, small_affine()) for name, array in small_images(spec.sequence_names).items()}
    slope = np.linspace(0.5, 1.5, len(images["t1c"].array), dtype=np.float32)[:, None, None]
    bias_corrected = {name: replace(volume, array=volume.array * slope) for name, volume in images.items()}
    mode = replace(sampling_mode(spec, None, 2, 2), views=2)

    model = Model(bundle, mode, device)
    case = Case("made_up", images, spec.reference, bias_corrected=bias_corrected)
    placed = place(case.foreground(), case.grid.affine, spec.grid)
    mri, even = network_input(case, spec, placed), network_input(replace(case, volumes=bias_corrected), spec, placed)
    both, plain, other = read(model, mri, even), read(model, mri), read(model, even)
    assert torch.equal(both[0].embedding, other[0].embedding) and torch.equal(both[1].embedding, plain[1].embedding)
    assert not torch.equal(both[0].embedding, plain[0].embedding) and not torch.equal(both[1].embedding, other[1].embedding)
    probabilities = [
        segment(one, model).probabilities
        for one in (case, replace(case, bias_corrected={}), replace(case, volumes=bias_corrected, bias_corrected={}))
    ]
    assert not any(np.array_equal(probabilities[0], other) for other in probabilities[1:])


def test_the_papers_own_mode_reads_a_raw_case_as_scanned_and_bias_corrected_alike(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    spec, device = bundle.specification, choose_device("cpu", "float32")
    images = {name: Volume(array, small_affine()) for name, array in small_images(spec.sequence_names).items()}
    slope = np.linspace(0.5, 1.5, len(images["t1c"].array), dtype=np.float32)[:, None, None]
    bias_corrected = {name: replace(volume, array=volume.array * slope) for name, volume in images.items()}
    model = Model(bundle, replace(sampling_mode(spec, None, 2, 5), views=1), device)
    result = segment(Case("made_up", images, spec.reference, bias_corrected=bias_corrected), model)
    seen = [(one["bias_corrected"], one["members"]) for one in result.provenance["sampling"]["members_by_view"]]
    assert seen == [(True, 3), (False, 2)]
    assert all(one["mirrored"] == [] for one in result.provenance["sampling"]["members_by_view"])
