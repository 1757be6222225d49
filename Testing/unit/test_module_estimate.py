"""The estimate before a run, against what was measured, and after a run by what the run took."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from LDMSegModule.checks.RunEstimate import estimate

from LDMSegLib.models.bundle import find_bundle, read_bundle, verify
from LDMSegLib.models.demands import parameter_counts, recorded_work, run_memory_gib, run_work
from LDMSegLib.remaining_time import REFERENCE, RemainingTime, duration

BUNDLE = find_bundle()
HERE = {"cores": 2, "total_memory_gib": 16.0}
VOXELS = 240 * 240 * 155

# The model card's speed table: mode, members → wall seconds and GiB on two cores.
MEASURED = [("fast", 1, 11.5, 1.30), ("fast", 10, 18.7, 1.29), ("fast", 30, 19.0, 1.31), ("solver", 30, 24.6, 1.27)]


def seconds_of(mode="fast", members=30, steps=None, cores=2):
    return REFERENCE.in_all(run_work(BUNDLE, mode, members, steps or BUNDLE.specification.modes[mode].steps), cores)


def record(preparation=None, mode="solver", members=10, steps=8, sample=0.5, device="cuda"):
    sampling = {"mode": mode, "members_finished": members, "steps": steps}
    return {"sampling": sampling, "timings_s": {"sample": sample}, "device": {"kind": device}, "preparation": preparation}


def pace_of(made, seconds, cores=16):
    return RemainingTime.measured(made, recorded_work(made, BUNDLE), seconds, cores)


@pytest.mark.parametrize("mode, members, seconds, gib", MEASURED)
def test_the_estimate_is_near_what_was_measured(mode, members, seconds, gib):
    assert seconds_of(mode, members) == pytest.approx(seconds, rel=0.3)
    assert run_memory_gib(BUNDLE, mode, members, 8, VOXELS) == pytest.approx(gib, rel=0.2)


def test_the_bundles_own_members_and_steps_count_where_none_are_chosen():
    assert estimate(BUNDLE, "fast", **HERE) == estimate(BUNDLE, "fast", 30, 4, **HERE) != estimate(BUNDLE, "fast", 30, 40, **HERE)
    assert seconds_of("paper") > 20 * seconds_of("fast")


def test_memory_is_that_of_the_members_of_one_view_which_alone_are_sampled_together():
    """30 members in 8 views are never more than 4 at once, whatever the batch size allows."""
    mode = BUNDLE.specification.modes["fast"]
    assert (mode.members, mode.views) == (30, 8)

    def gib(members, batch):
        return run_memory_gib(BUNDLE, "fast", members, batch, VOXELS)

    large = 64  # where the steps and not the decoder need the most
    assert gib(30, 8) == gib(30, 4) and gib(8 * large, 2 * large) == gib(8 * large, large) > gib(8 * large, large // 2)


def test_more_cores_are_faster_up_to_a_point():
    seconds = [seconds_of(cores=cores) for cores in (1, 2, 8, 64)]
    assert seconds[0] > seconds[1] > seconds[2] == seconds[3]


def test_a_device_that_was_never_measured_gets_an_upper_bound_and_says_so():
    assert estimate(BUNDLE, "fast", device="cuda", **HERE).startswith("At most about")
    assert estimate(BUNDLE, "fast", device="cpu", **HERE).startswith("About")


def test_a_run_on_this_computer_sets_the_pace_for_the_next():
    pace = pace_of(record(), seconds=4.5)
    assert RemainingTime.from_text(pace.to_text()) == pace
    assert pace.in_all(run_work(BUNDLE, "solver", 20, 8), cores=2) == pytest.approx(4.0 + 1.0)
    said = estimate(BUNDLE, "solver", 20, 8, "cuda", known=pace, **HERE)
    assert said.startswith("About 5 s") and "last run here" in said
    other = estimate(BUNDLE, "solver", 20, 8, "cpu", known=pace, **HERE)
    assert "last run here" not in other, "a GPU's pace says nothing of the CPU"


def test_preparing_raw_scans_does_not_count_as_pace():
    made = record({"seconds": {"brain": 20.0, "register_t1n": 10.0}}, device="cpu")
    assert pace_of(made, seconds=34.5).seconds_around == pytest.approx(4.0)


@pytest.mark.parametrize("made", [{}, {"sampling": None}, {"sampling": {"mode": "x", "members_finished": 1, "steps": 1}}, record(sample=9)])
def test_a_record_that_does_not_tell_sets_no_pace(made):
    assert pace_of(made, 1.0) is None


@pytest.mark.parametrize("text", ["", "[]", "null", '{"device": "cpu"}', "{"])
def test_settings_that_are_no_pace_are_left_aside(text):
    assert RemainingTime.from_text(text) is None


def test_parameters_are_counted_as_the_verification_counts_them(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    assert parameter_counts(bundle) == verify(bundle)


def test_unreadable_weights_leave_the_time_unknown(tiny_bundle, tmp_path):
    copy = shutil.copytree(tiny_bundle, tmp_path / "copy")
    (copy / "models" / "model.safetensors").write_bytes(b"\xff" * 64)
    bundle = read_bundle(copy)
    assert run_work(bundle, "solver", 1, 1) is None
    assert estimate(bundle, bundle.specification.default_mode, **HERE).startswith("Time unknown")


def test_too_little_memory_is_said_before_the_run():
    assert "choose smaller batches" in estimate(BUNDLE, "fast", cores=2, total_memory_gib=1.0)
    assert "choose smaller batches" not in estimate(BUNDLE, "fast", **HERE)


def test_seconds_are_said_as_a_person_says_them():
    assert [duration(s) for s in (0.2, 15.2, 200, 9000)] == ["1 s", "15 s", "3 min", "2.5 h"]


def test_the_time_is_told_by_a_python_without_any_package():
    script = (
        "import LDMSegLib.remaining_time, LDMSegLib.models.demands, sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-S", "-c", script], check=True)
