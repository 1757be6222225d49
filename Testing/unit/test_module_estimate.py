"""The estimate before a run, against what was measured, and after a run by what the run took."""

from __future__ import annotations

import pytest
from LDMSegModule.checks.Estimate import Estimate, in_words
from LDMSegModule.checks.Pace import Pace, bundle_parameters, units

from LDMSegLib.models.bundle import find_bundle, read_bundle

BUNDLE = find_bundle()
HERE = {"cores": 2, "total_memory_gib": 16.0}

# The model card's speed table: mode, members → wall seconds and GiB on two cores.
MEASURED = [("fast", 1, 11.5, 1.30), ("fast", 10, 18.7, 1.29), ("fast", 30, 19.0, 1.31), ("solver", 30, 24.6, 1.27)]


@pytest.mark.parametrize("mode, members, seconds, gib", MEASURED)
def test_the_estimate_is_near_what_was_measured(mode, members, seconds, gib):
    estimate = Estimate.of(BUNDLE, mode, members, device="cpu", **HERE)
    assert estimate.seconds == pytest.approx(seconds, rel=0.3) and estimate.memory_gib == pytest.approx(gib, rel=0.2)


def test_the_bundles_own_members_and_steps_count_where_none_are_chosen():
    assert Estimate.of(BUNDLE, **HERE) == Estimate.of(BUNDLE, "fast", 30, 4, **HERE)
    assert Estimate.of(BUNDLE, "paper", **HERE).seconds > 20 * Estimate.of(BUNDLE, **HERE).seconds


def test_memory_is_that_of_the_members_of_one_view_which_alone_are_sampled_together():
    """30 members in 8 views are never more than 4 at once, whatever the batch size allows."""
    mode = BUNDLE.specification.modes["fast"]
    assert (mode.members, mode.views) == (30, 8)

    def gib(members, batch):
        return Estimate.of(BUNDLE, "fast", members, batch_size=batch, **HERE).memory_gib

    large = 64  # where the steps and not the decoder need the most
    assert gib(30, 8) == gib(30, 4) and gib(8 * large, 2 * large) == gib(8 * large, large) > gib(8 * large, large // 2)


def test_more_cores_are_faster_up_to_a_point():
    seconds = [Estimate.of(BUNDLE, device="cpu", cores=cores, total_memory_gib=16.0).seconds for cores in (1, 2, 8, 64)]
    assert seconds[0] > seconds[1] > seconds[2] == seconds[3]


def test_a_device_that_was_never_measured_gets_an_upper_bound_and_says_so():
    assert Estimate.of(BUNDLE, device="cuda", **HERE).at_most
    assert Estimate.of(BUNDLE, device="cuda", **HERE).text.startswith("At most about")
    assert not Estimate.of(BUNDLE, device="cpu", **HERE).at_most


def test_a_run_on_this_computer_sets_the_pace_for_the_next():
    provenance = {
        "sampling": {"mode": "solver", "members_finished": 10, "steps": 8},
        "timings_s": {"sample": 0.5},
        "device": {"kind": "cuda"},
    }
    pace = Pace.measured(provenance, BUNDLE, seconds=4.5, cores=16)
    assert Pace.from_text(pace.to_text()) == pace
    estimate = Estimate.of(BUNDLE, "solver", 20, 8, "cuda", pace=pace, **HERE)
    assert estimate.seconds == pytest.approx(4.0 + 1.0) and estimate.measured_here and not estimate.at_most
    assert "last run here" in estimate.text
    other = Estimate.of(BUNDLE, "solver", 20, 8, "cpu", pace=pace, **HERE)
    assert not other.measured_here, "a GPU's pace says nothing of the CPU"


def test_preparing_raw_scans_does_not_count_as_pace():
    provenance = {
        "sampling": {"mode": "solver", "members_finished": 10, "steps": 8},
        "timings_s": {"sample": 0.5},
        "device": {"kind": "cpu"},
        "preparation": {"seconds": {"brain": 20.0, "register_t1n": 10.0}},
    }
    assert Pace.measured(provenance, BUNDLE, seconds=34.5, cores=16).seconds_around == pytest.approx(4.0)


@pytest.mark.parametrize("provenance", [{}, {"sampling": None}, {"sampling": {"mode": "x", "members_finished": 1, "steps": 1}}])
def test_a_provenance_that_does_not_tell_sets_no_pace(provenance):
    assert Pace.measured(provenance, BUNDLE, 1.0, 2) is None


@pytest.mark.parametrize("text", ["", "[]", "null", '{"device": "cpu"}', "{"])
def test_settings_that_are_no_pace_are_left_aside(text):
    assert Pace.from_text(text) is None


def test_parameters_are_counted_as_the_verification_counts_them(tiny_bundle):
    from LDMSegLib.models.bundle import verify

    bundle = read_bundle(tiny_bundle)
    assert bundle_parameters(bundle) == verify(bundle)


def test_unreadable_weights_leave_the_time_unknown(tiny_bundle, tmp_path):
    import shutil

    copy = shutil.copytree(tiny_bundle, tmp_path / "copy")
    (copy / "models" / "model.safetensors").write_bytes(b"\xff" * 64)
    bundle = read_bundle(copy)
    assert units(bundle, "solver", 1, 1) is None
    assert Estimate.of(bundle, **HERE).text.startswith("Time unknown")


def test_too_little_memory_is_said_before_the_run():
    assert "choose smaller batches" in Estimate.of(BUNDLE, cores=2, total_memory_gib=1.0).warning
    assert Estimate.of(BUNDLE, **HERE).warning == ""


def test_seconds_are_said_as_a_person_says_them():
    assert [in_words(s) for s in (0.2, 15.2, 200, 9000)] == ["1 s", "15 s", "3 min", "2.5 h"]
