"""Random intercepts of the members: the mean stays, and the uncertainty of the answer they read becomes theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from LDMSegModule.process.RunEvent import RunEvent
from LDMSegModule.process.RunOutcome import RunOutcome
from scipy.integrate import quad
from scipy.stats import norm
from test_models_conditioning import configurations
from tiny_bundle import built, small_affine, small_images, tiny_specification

from LDMSegLib.cli.summary import segmentation_event, segmentation_text
from LDMSegLib.diffusion.ensemble import EnsembleRun
from LDMSegLib.errors import BundleError
from LDMSegLib.events import Cancellation, Silent
from LDMSegLib.inference.ensemble import draw, read
from LDMSegLib.inference.intercepts import _bridge_quantile, intercept, with_intercept
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.inference.tta import view_of
from LDMSegLib.models.bundle import read_bundle, save_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Mode

P = torch.tensor([0.001, 0.05, 0.3, 0.5, 0.7, 0.95, 0.999], dtype=torch.float64)


@pytest.mark.parametrize("attenuation", [0.1, 0.25, 0.5, 0.9])
def test_the_mean_answer_over_the_whole_distribution_is_the_answer_itself(attenuation):
    levels = (np.arange(20_000) + 0.5) / 20_000
    mean = sum(with_intercept(P, attenuation, _bridge_quantile(level, attenuation)) for level in levels) / len(levels)
    assert torch.allclose(mean, P, atol=1e-4)


@pytest.mark.parametrize("attenuation", [0.25, 0.5])
def test_the_intercepts_follow_the_density_of_the_bridge_distribution(attenuation):
    def density(b: float) -> float:  # Wang & Louis 2003, as printed
        return np.sin(attenuation * np.pi) / (2 * np.pi * (np.cosh(attenuation * b) + np.cos(attenuation * np.pi)))

    for level in (0.1, 0.4, 0.5, 0.8):
        below, _ = quad(density, -300, _bridge_quantile(level, attenuation), points=[0.0], limit=500)
        assert below == pytest.approx(level, abs=1e-6)


def test_they_are_not_those_of_a_normal_distribution_of_the_same_variance():
    # its answers' mean would be drawn to one half where it should be p
    sd = np.pi * np.sqrt((0.25**-2 - 1) / 3)
    levels = (np.arange(20_000) + 0.5) / 20_000
    mean = sum(with_intercept(P, 0.25, float(norm.ppf(level) * sd)) for level in levels) / len(levels)
    assert not torch.allclose(mean, P, atol=1e-2)


@pytest.mark.parametrize("members", [8, 15, 30])
def test_few_members_already_have_the_mean(members):
    mean = sum(with_intercept(P, 0.25, intercept(k, members, 0.25)) for k in range(members)) / members
    assert torch.allclose(mean, P, atol=1 / members)
    assert mean[3] == pytest.approx(0.5, abs=1e-12), "opposite members leave one half where it is"


def test_two_members_of_a_pair_lean_opposite_ways_and_no_two_pairs_alike():
    intercepts = [intercept(member, 30, 0.25) for member in range(30)]
    assert np.allclose(intercepts[::2], -np.array(intercepts[1::2]))
    assert len(np.unique(np.abs(np.round(intercepts, 9)))) == 15
    assert intercepts[:8] == [intercept(member, 8, 0.25) for member in range(8)], "whatever the number of members"


def test_a_member_without_a_partner_leans_neither_way():
    assert intercept(0, 1, 0.25) == 0.0 and intercept(4, 5, 0.25) == 0.0
    assert intercept(4, 6, 0.25) != 0.0


def test_every_even_number_of_members_is_balanced_in_any_number_of_views():
    for views in range(1, 9):
        intercepts = [intercept(member, 30, 0.25, views) for member in range(30)]
        assert np.allclose(intercepts[::2], -np.array(intercepts[1::2]))
        assert sorted(np.abs(intercepts)) == pytest.approx(sorted(abs(intercept(member, 30, 0.25)) for member in range(30)))


@pytest.mark.parametrize("views", range(1, 9))
def test_in_every_view_the_mean_answer_is_the_answer_itself(views):
    members = 8 * views
    for view in range(views):
        intercepts = [intercept(member, members, 0.25, views) for member in range(members) if view_of(member, views) == view]
        mean = sum(with_intercept(P, 0.25, lean) for lean in intercepts) / len(intercepts)
        assert torch.allclose(mean, P, atol=0.11)


def test_attenuation_goes_from_the_same_answer_for_all_to_a_mask_for_each():
    assert torch.equal(with_intercept(P, 1.0, intercept(3, 30, 1.0)), P)
    for member in range(6):
        mask = with_intercept(P, 0.01, intercept(member, 6, 0.01))
        assert ((mask < 0.01) | (mask > 0.99)).sum() >= len(P) - 1


def test_answers_of_certainty_stay_certain_and_finite():
    certain = torch.tensor([0.0, 1.0])
    for member in range(30):
        answer = with_intercept(certain, 0.25, intercept(member, 30, 0.25))
        assert torch.isfinite(answer).all() and answer[0] < 1e-3 and answer[1] > 1 - 1e-3


@pytest.fixture(scope="module")
def attenuated_bundle(tmp_path_factory) -> Path:
    """A small untrained bundle whose conditioning network answers too."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("attenuated") / "bundle"
    save_bundle(folder, replace(tiny_specification(), name="attenuated"), configurations(), built(configurations()))
    return folder


def loaded(folder: Path, **changes) -> Model:
    bundle = read_bundle(folder)
    mode = replace(bundle.specification.mode(), direct=0.5, **changes)
    return Model(bundle, mode, choose_device("cpu", "float32"))


def some_mri(model: Model) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, *model.specification.grid.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def drawn(attenuated_bundle) -> dict[float, torch.Tensor]:
    """The members (30, R, X, Y, Z) by attenuation; half of each is the head's answer."""
    members = {}
    for attenuation in (1.0, 0.25):
        model, found = loaded(attenuated_bundle, members=30, views=2, attenuation=attenuation), []
        draw(model, read(model, some_mri(model)), model.specification.grid.shape, 0, 8, lambda _, p, into=found: into.append(p))
        members[attenuation] = torch.stack(found)
    return members


def stopped(model: Model, after: int, answer: float | None = None) -> tuple[EnsembleRun, dict[int, torch.Tensor]]:
    """A run that was stopped after so many members; the head answers `answer` everywhere."""
    cancellation, got = Cancellation(), {}

    class Stops(Silent):
        def progress(self, fraction, member, step, steps, **details):
            if member > after:  # the next one has begun
                cancellation.request()

    readings = read(model, some_mri(model))
    if answer is not None:
        readings = [replace(one, answer=torch.full_like(one.answer, answer)) for one in readings]
    run = draw(model, readings, model.specification.grid.shape, 0, 1, got.__setitem__, Stops(), cancellation)
    return run, got


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8, 9])
def test_a_stopped_run_is_the_run_of_as_many_members_and_leaves_one_half_where_it_is(attenuated_bundle, after):
    run, got = stopped(loaded(attenuated_bundle, members=30, views=8, attenuation=0.25), after, 0.5)
    assert run.partial and run.finished == after and list(got) == list(range(after))
    mean = torch.stack(list(got.values())).mean(0)
    _, plain = stopped(loaded(attenuated_bundle, members=30, views=8, attenuation=1.0), after, 0.5)
    torch.testing.assert_close(mean, torch.stack(list(plain.values())).mean(0), atol=1e-5, rtol=0)
    _, asked = stopped(loaded(attenuated_bundle, members=after, views=8, attenuation=0.25), 99, 0.5)
    assert list(asked) == list(range(after))
    for member, one in got.items():
        torch.testing.assert_close(one, asked[member], atol=1e-5, rtol=0)


def test_a_stopped_run_over_views_says_what_it_rests_on(attenuated_bundle):
    cancellation = Cancellation()

    class Stops(Silent):
        def progress(self, fraction, member, step, steps, **details):
            if member == 4:  # the third was handed over
                cancellation.request()

    images = {name: Volume(array, small_affine()) for name, array in small_images().items()}
    model = loaded(attenuated_bundle, members=30, views=8, attenuation=0.25)
    result = segment(Case("made_up", images, "t1c"), model, Settings(batch_size=1), Stops(), cancellation)
    sampling = result.provenance["sampling"]
    assert (sampling["members_finished"], sampling["views"], sampling["views_requested"]) == (3, 3, 8)
    assert [(one["mirrored"], one["members"]) for one in sampling["members_by_view"]] == [([], 1), ([0], 1), ([1], 1)]
    assert any("3 of 30 members were finished when it was stopped, in 3 of 8 views" in warning for warning in result.warnings)
    assert "3 of 30 members, in 3 of 8 views" in segmentation_text(result, {"labels": Path("labels.nii.gz")})
    event = segmentation_event(result, "made_up", Path("out"), {})
    assert (event["views"], event["views_requested"]) == (3, 8)
    assert "3 of 30 members were finished, in 3 of 8 views" in RunOutcome.judge([RunEvent("result", event)], 130, True, "").sentence


def test_leaning_members_have_the_same_mean_and_more_variance(drawn):
    assert torch.allclose(drawn[0.25].mean(0), drawn[1.0].mean(0), atol=0.02)
    assert (drawn[0.25].var(0) > drawn[1.0].var(0)).all()


def test_the_volume_of_members_spreads_with_them(drawn):
    alike, apart = (members.sum((2, 3, 4)).std(0) for members in (drawn[1.0], drawn[0.25]))
    assert (apart > 5 * alike).all()


def test_an_impossible_attenuation_is_refused():
    with pytest.raises(BundleError, match="attenuation of 0, expected above 0 and at most 1"):
        tiny_specification(modes={"solver": Mode("dpmpp_2m", 3, 4, attenuation=0.0)})
