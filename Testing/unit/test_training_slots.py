"""Training in short slots: a slot ends in time, the next goes on, and what is handed over is enough to go on elsewhere."""

from __future__ import annotations

import json
import shutil
import signal
import sys

import pytest
import torch
from training_tiny import HELD_OUT, make_data, write_configuration

from Training import slots
from Training.checkpoints import read_checkpoint, trained_weights
from Training.parcels import Limits, pack, unpack

PHASES = ("autoencoder", "diffusion", "conditioning", "controlnet", "decoder")


def slot(config, *arguments):
    """`python -m Training.slots` in this process; its exit code."""
    before, sys.argv = sys.argv, ["slots", "--config", str(config), "--accelerator", "cpu", "--workers", "0", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as end:
            slots.main()
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return end.value.code


def report(folder):
    return json.loads((folder / "slots.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with tiny.json, dataset/, run/ and out/ after one slot that was long enough."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("slots")
    config, data = write_configuration(folder), make_data(folder / "dataset")
    case = data / "cases" / HELD_OUT
    assert slot(config, "--data", data, "--run", folder / "run", "--output", folder / "out", "--case", case, "--members", 3) == 0
    return folder


def test_one_long_slot_trains_everything_and_measures_speed(finished):
    said = report(finished / "out")
    assert set(said["phases"]) == set(PHASES)
    for phase in said["phases"].values():
        assert phase["finished"] and phase["done"] == 8 and phase["minutes_left"] == 0
        assert phase["steps_per_second"] == pytest.approx(1 / phase["seconds_per_step"])
    assert {name: (m["steps"], m["members"]) for name, m in said["inference"].items()} == {"solver": (3, 3), "paper": (50, 3)}
    assert all(mode["seconds"]["in all"] >= mode["seconds"]["sample"] > 0 for mode in said["inference"].values())
    assert said["machine"]["kind"] == "cpu" and "error" not in said


def test_the_output_is_few_flat_files_within_the_limit(finished):
    files = list((finished / "out").iterdir())
    assert {path.name for path in files} == {"slots.json", "slots.log", *(f"{phase}.pt" for phase in PHASES)}
    assert all(path.stat().st_size <= 16 * 2**20 for path in files)
    log = (finished / "out" / "slots.log").read_text()
    assert all(f"{phase} 8/8" in log for phase in PHASES)


def test_a_slot_too_short_for_a_phase_stops_it_and_the_phases_that_need_it_wait(finished, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "data").symlink_to(finished / "run" / "data")
    budgets = ("--budget", "autoencoder=0.0001", "conditioning=0.0001")
    assert slot(finished / "tiny.json", "--run", run, "--output", out, *budgets) == 0
    said = report(out)["phases"]
    assert {name: phase["done"] for name, phase in said.items()} == {"autoencoder": 1, "conditioning": 1}
    assert "diffusion waits for autoencoder" in capsys.readouterr().out
    assert report(out)["files"] == {"autoencoder": "whole checkpoint", "conditioning": "whole checkpoint"}
    # The next slot is on a machine that has nothing but what the first handed over.
    assert slot(finished / "tiny.json", "--data", finished / "dataset", "--run", tmp_path / "new", "--input", out, "--output", out) == 0
    assert all(phase["finished"] for phase in report(out)["phases"].values())
    for phase in ("autoencoder", "conditioning"):
        here, there = trained_weights(tmp_path / "new", phase)[0], trained_weights(finished / "run", phase)[0]
        assert all(torch.equal(here[key], there[key]) for key in there)


def test_no_time_left_trains_nothing(finished, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data").symlink_to(finished / "run" / "data")
    assert slot(finished / "tiny.json", "--run", tmp_path / "run", "--output", tmp_path / "out", "--minutes", 1, "--reserve", 2) == 0
    assert "phases" not in report(tmp_path / "out") and not list((tmp_path / "out").glob("*.pt"))


def test_a_mistake_is_reported_and_what_exists_is_still_handed_over(finished, tmp_path):
    shutil.copytree(finished / "run", tmp_path / "run")
    # One more step for the autoencoder, and the diffusion's latents are no longer its own.
    assert slot(finished / "tiny.json", "--run", tmp_path / "run", "--steps", 9, "--output", tmp_path / "out") == 1
    said = report(tmp_path / "out")
    assert "diffusion" in said["error"] and (tmp_path / "out" / "controlnet.pt").exists()


def test_weights_too_large_travel_in_float16_and_in_pieces(finished, tmp_path):
    run, phases = finished / "run", ("controlnet",)
    size = (finished / "out" / "controlnet.pt").stat().st_size
    assert pack(run, phases, tmp_path, Limits(size - 1, 1)) == {"controlnet": "weights in float16"}
    assert pack(run, phases, tmp_path, Limits(size // 5, 4)) == {"controlnet": "weights in float16"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["controlnet.pt.0", "controlnet.pt.1", "controlnet.pt.2"]
    assert unpack(tmp_path, phases, tmp_path / "run") == ["controlnet"]
    there, here = trained_weights(run, "controlnet")[0], trained_weights(tmp_path / "run", "controlnet")[0]
    assert all(torch.equal(here[key].float(), there[key].half().float()) for key in there)
    assert "left out" in pack(run, phases, tmp_path, Limits(size // 5, 2))["controlnet"]
    assert not list(tmp_path.glob("*.pt*"))


def test_what_comes_in_never_replaces_what_went_further(finished, tmp_path):
    pack(finished / "run", ("autoencoder",), tmp_path, Limits(2**24, 8))
    before = read_checkpoint(finished / "run" / "autoencoder")
    assert unpack(tmp_path, PHASES, finished / "run") == []
    assert read_checkpoint(finished / "run" / "autoencoder")["optimiser"]["state"].keys() == before["optimiser"]["state"].keys() != set()
