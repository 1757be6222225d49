"""Stopped by the clock, by SIGTERM or by SIGKILL, and started again: the same weights, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from training_tiny import ROOT, configuration, prepared, write_configuration

from LDMSegLib.errors import InputError
from Training.autoencoder import AutoencoderTask
from Training.checkpoints import read_checkpoint
from Training.conditioning import ConditioningTask
from Training.configuration import read_configuration
from Training.controlnet import ControlNetTask
from Training.decoder import DecoderTask
from Training.diffusion import DiffusionTask
from Training.engine import Options, _move_state, train

TASKS = {task.name: task for task in (AutoencoderTask, DiffusionTask, ConditioningTask, ControlNetTask, DecoderTask)}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """(configuration, run folder) with all phases trained in one go."""
    torch.set_num_threads(1)
    path, run = prepared(tmp_path_factory.mktemp("uninterrupted"))
    settings = read_configuration(path)
    for task in TASKS.values():
        assert train(task, settings, options(run)).finished
    return settings, run


def options(run, **changes):
    return Options(run, accelerator="cpu", devices="1", **{"workers": 0, **changes})


def without(run, phase, folder):
    """A copy of a run folder as it was before a phase."""
    shutil.copytree(run, folder / "run", ignore=shutil.ignore_patterns("checkpoint.*", "events.*"))
    for other in TASKS:
        if other != phase and (run / other / "checkpoint.pt").exists():
            shutil.copy(run / other / "checkpoint.pt", folder / "run" / other)
    return folder / "run"


def differences(one, other, where=""):
    """Where two checkpoints are not bitwise the same."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: {one.keys() ^ other.keys()}"]
        return [d for key in one for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, (list, tuple)):
        return [d for i, pair in enumerate(zip(one, other, strict=True)) for d in differences(*pair, f"{where}[{i}]")]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [where]


@pytest.mark.parametrize("phase", TASKS)
def test_a_run_stopped_by_its_time_budget_goes_on_to_the_same_weights(uninterrupted, tmp_path, phase):
    settings, run = uninterrupted
    again = without(run, phase, tmp_path)
    first = train(TASKS[phase], settings, options(again, max_minutes=0.0))
    assert (first.done, first.finished) == (1, False)
    second = train(TASKS[phase], settings, options(again, max_minutes=0.0, workers=2))
    assert second.done == 2
    assert train(TASKS[phase], settings, options(again, workers=2)).finished
    assert not differences(read_checkpoint(again / phase), read_checkpoint(run / phase))


def test_another_seed_gives_other_weights(uninterrupted, tmp_path):
    settings, run = uninterrupted
    again = without(run, "autoencoder", tmp_path)
    train(AutoencoderTask, settings, options(again, seed=1))
    assert differences(read_checkpoint(again / "autoencoder"), read_checkpoint(run / "autoencoder"))


@pytest.mark.parametrize("phase", ["diffusion", "controlnet"])
def test_a_run_on_sampled_latents_in_bf16_resumes_to_the_same_weights(uninterrupted, tmp_path, phase):
    _, run = uninterrupted
    entries = {f"phases.{phase}.{key}": value for key, value in {"sample_latents": True, "precision": "bf16-mixed", "steps": 3}.items()}
    settings = configuration(tmp_path, entries)
    weights = []
    for name, budgets in (("whole", [60.0]), ("parts", [0.0, 0.0, 60.0])):
        again = without(run, phase, tmp_path / name)
        for minutes in budgets:
            train(TASKS[phase], settings, options(again, max_minutes=minutes))
        weights.append(read_checkpoint(again / phase))
    assert not differences(*weights)


def test_the_average_follows_its_formula_across_a_stop(uninterrupted, tmp_path):
    settings, run = uninterrupted
    again = without(run, "autoencoder", tmp_path)
    expected = None
    for _ in range(3):
        train(AutoencoderTask, settings, options(again, max_minutes=0.0))
        state = read_checkpoint(again / "autoencoder")
        last = {key: value.double() for key, value in state["model"].items()}
        expected = last if expected is None else {key: 0.8 * expected[key] + 0.2 * last[key] for key in last}
    assert state["updates"] == 3
    for key, value in state["averaged"].items():
        torch.testing.assert_close(value.double(), expected[key], rtol=1e-5, atol=1e-7)


def test_terminated_with_its_whole_group_and_then_killed_it_still_ends_at_the_same_weights(uninterrupted, tmp_path):
    _, run = uninterrupted
    # A constant rate does not depend on how many steps are asked for, so the killed run needs no end.
    path = write_configuration(tmp_path, {"phases.autoencoder.schedule": "constant"})
    again = without(run, "autoencoder", tmp_path / "killed")
    terminated = start(path, again)
    wait_for_step(again, 4, terminated)
    os.killpg(terminated.pid, signal.SIGTERM)  # as a scheduler does: the workers hear it too
    assert terminated.wait(300) == 0, terminated.stdout.read()
    after_term = read_checkpoint(again / "autoencoder")["step"]
    killed = start(path, again)
    wait_for_step(again, after_term + 1, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(300)
    after_kill = read_checkpoint(again / "autoencoder")["step"]
    assert after_kill % 4 == 0, "a kill leaves the last regular checkpoint"
    settings, end = read_configuration(path), after_kill + 2
    train(AutoencoderTask, settings, options(again, steps=end))
    whole = without(run, "autoencoder", tmp_path / "whole")
    train(AutoencoderTask, settings, options(whole, steps=end))
    assert not differences(read_checkpoint(again / "autoencoder"), read_checkpoint(whole / "autoencoder"))


def start(path, run):
    command = [sys.executable, "-m", "Training.autoencoder", "--config", path, "--run", run, "--steps", 100_000, "--workers", 2]
    return subprocess.Popen(
        [str(part) for part in (*command, "--accelerator", "cpu", "--devices", 1)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_step(run, step, process, seconds=300.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(process.stdout.read())
        state = read_checkpoint(run / "autoencoder")
        if state and state["step"] >= step:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"no checkpoint of step {step} in {seconds} s")


def test_weights_without_their_optimiser_are_not_trained_further(uninterrupted, tmp_path):
    settings, run = uninterrupted
    again = without(run, "autoencoder", tmp_path)
    state = read_checkpoint(run / "autoencoder")
    torch.save({**state, "optimiser": None}, again / "autoencoder" / "checkpoint.pt")
    with pytest.raises(InputError, match="without the optimiser's state"):
        train(AutoencoderTask, settings, options(again, steps=9))


def test_a_checkpoint_of_other_networks_is_refused(uninterrupted, tmp_path):
    _, run = uninterrupted
    other = configuration(tmp_path, {"networks.autoencoder.channels": [8, 8, 16]})
    with pytest.raises(InputError, match="holds other networks"):
        train(AutoencoderTask, other, options(run, steps=9))


def test_a_resumed_optimiser_has_its_moments_where_the_parameters_are():
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimiser = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(3)
    optimiser.step()
    _move_state(optimiser, torch.device("meta"))  # stands for a GPU
    state = optimiser.state[parameter]
    assert state["exp_avg"].device.type == state["exp_avg_sq"].device.type == "meta" and state["step"].device.type == "cpu"


def test_the_number_of_steps_follows_from_epochs_and_items(uninterrupted, tmp_path):
    settings, run = uninterrupted
    again = without(run, "autoencoder", tmp_path)
    phase = replace(settings.phases["autoencoder"], steps=0, epochs=3)
    outcome = train(AutoencoderTask, replace(settings, phases={"autoencoder": phase}), options(again, max_minutes=0.0))
    assert outcome.steps == 11  # 3 cases and 4 label maps, 3 times, in batches of 2
