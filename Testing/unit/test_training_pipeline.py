"""The pipeline: every phase in order to a bundle, in time slots, resumed, and rebuilt from half-precision weights."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch
from training_tiny import make_data, write_configuration

from LDMSegLib.models.bundle import read_bundle
from Training import pipeline
from Training.checkpoints import START, read_checkpoint, trained_weights
from Training.configuration import read_configuration
from Training.pipeline import UNFINISHED, Record, Stage, run_stages, stages
from Training.weights import restore_weights, save_weights

PHASES = ("autoencoder", "decoder", "diffusion", "conditioning", "conditioning_without_0", "conditioning_without_1", "controlnet")


def call(folder, *more):
    """`python -m Training.pipeline` without the stages that need real patients; its exit status."""
    words = ("--config", folder / "tiny.json", "--data", folder / "dataset", "--run", folder / "run", *more)
    before, sys.argv = sys.argv, ["pipeline", *map(str, words)]
    try:
        pipeline.main()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with tiny.json, dataset/, run/, weights/ after two calls, the first of which had time for one step."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("pipeline")
    write_configuration(folder)
    make_data(folder / "dataset")
    assert call(folder, "--minutes", "0.0001") == UNFINISHED
    assert call(folder, "--weights", folder / "weights") == 0
    return folder


def test_it_trains_every_phase_and_each_head_without_its_fold(finished):
    for phase in PHASES:
        state = read_checkpoint(finished / "run" / phase)
        assert state["step"] == state["steps"] == 8
    assert {path.name for path in (finished / "run" / "data" / "out_of_fold").glob("*")} == {f"Tiny_00{n}.npz" for n in (1, 2, 3, 4)}


def test_called_again_it_does_nothing(finished, capsys):
    before = {phase: (finished / "run" / phase / "checkpoint.pt").stat().st_mtime_ns for phase in PHASES}
    assert call(finished) == 0
    assert "$ python" not in capsys.readouterr().out
    assert before == {phase: (finished / "run" / phase / "checkpoint.pt").stat().st_mtime_ns for phase in PHASES}


def test_a_lost_run_folder_is_restored_from_half_precision_weights(finished, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    for name in ("tiny.json", "glioma.json", "folds.json"):
        shutil.copy(finished / name, folder)
    assert set(restore_weights(finished / "weights", folder / "run")) == set(PHASES)
    for phase in PHASES:
        (before, extras), (after, restored) = (trained_weights(where / "run", phase) for where in (finished, folder))
        assert all(torch.allclose(before[key], after[key], atol=2e-3, rtol=2e-3) for key in before)
        assert restored.keys() == extras.keys()
    record = Record(read_configuration(folder / "tiny.json"), folder / "run")
    todo = [
        stage
        for stage in stages(read_configuration(folder / "tiny.json"), folder / "tiny.json", folder, folder / "run", None)
        if stage.phase
    ]
    assert len(todo) == len(PHASES) and all(record.finished(stage) for stage in todo)


def test_an_unfinished_phase_is_restored_as_what_training_begins_with(finished, tmp_path):
    shutil.copytree(finished / "run" / "autoencoder", tmp_path / "one" / "autoencoder")
    state = read_checkpoint(tmp_path / "one" / "autoencoder")
    torch.save({**state, "step": 5}, tmp_path / "one" / "autoencoder" / "checkpoint.pt")
    save_weights(tmp_path / "one", "autoencoder", tmp_path / "kept")
    assert restore_weights(tmp_path / "kept", tmp_path / "two") == ["autoencoder"]
    assert (tmp_path / "two" / "autoencoder" / START).exists() and read_checkpoint(tmp_path / "two" / "autoencoder") is None
    assert restore_weights(tmp_path / "kept", tmp_path / "two") == []


def test_a_bundle_is_made_after_every_phase_and_made_anew_when_one_was_trained_further(finished, tmp_path):
    settings = read_configuration(finished / "tiny.json")
    shutil.copytree(finished / "run", tmp_path / "run")
    record = Record(settings, tmp_path / "run")
    todo = list(stages(settings, finished / "tiny.json", finished / "dataset", tmp_path / "run", tmp_path / "bundle"))
    assert [stage.name for stage in todo if not record.finished(stage)] == ["assemble", "calibration", "plausibility", "shape_odds"]
    assemble = next(stage for stage in todo if stage.name == "assemble")
    assert pipeline.execute(assemble.command) == 0 and read_bundle(tmp_path / "bundle")
    record.finish(assemble)
    assert record.finished(assemble)
    state = read_checkpoint(tmp_path / "run" / "controlnet")
    torch.save({**state, "step": 9}, tmp_path / "run" / "controlnet" / "checkpoint.pt")
    assert not record.finished(assemble)


def test_a_stage_that_fails_ends_the_pipeline_there(tmp_path, finished):
    settings = read_configuration(finished / "tiny.json")
    ran = []

    def fails(command):
        ran.append(command[0])
        return 65

    first, second = Stage("one", ("a",)), Stage("two", ("b",))
    assert run_stages([first, second], Record(settings, tmp_path), fails, 1.0, lambda _: None) is first
    assert ran == ["a"]


def test_nothing_is_begun_when_no_time_is_left(tmp_path, finished):
    stage = Stage("one", ("a",))
    assert run_stages([stage], Record(read_configuration(finished / "tiny.json"), tmp_path), lambda _: 1 / 0, 0.0, lambda _: None) is stage
