"""Two processes under torchrun (gloo, CPU) train one model: what several GPUs do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_tiny import ROOT, make_data, write_configuration

from Training.checkpoints import read_checkpoint

PHASES = ("autoencoder", "diffusion", "conditioning", "controlnet", "decoder")
# What each process does: the phases' own command line, watched. Process 1 alone runs out of time in the last call.
DRIVER = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch
from Training import autoencoder, conditioning, controlnet, decoder, diffusion, engine

torch.set_num_threads(1)
tasks = (
    autoencoder.AutoencoderTask,
    diffusion.DiffusionTask,
    conditioning.ConditioningTask,
    controlnet.ControlNetTask,
    decoder.DecoderTask,
)
notes = Path(sys.argv.pop())
for task in tasks:
    for clock in ("same", "different"):
        seen, made = [], []

        class Watched(task):
            def __init__(self, configuration, options, fabric):
                super().__init__(configuration, options, fabric)
                made.append((self, fabric))
                take = type(self.dataset).__getitem__
                self.dataset.__class__ = type("Seen", (type(self.dataset),), {"__getitem__": lambda s, i: (seen.append(i), take(s, i))[1]})

            def validate(self, model):
                before = len(seen)
                try:
                    return super().validate(model)
                finally:
                    del seen[before:]

        configuration, options = engine.parse("")
        if clock == "different":  # goes on for two more steps, if it were not for the clock of process 1
            rank = torch.distributed.get_rank()
            options = replace(options, steps=6, max_minutes=0.0 if rank == 1 else 60.0)
        outcome = engine.train(Watched, configuration, options)
        model, fabric = made[0][0].model, made[0][1]
        torch.save(
            {"items": seen, "weights": model.state_dict(), "done": outcome.done, "strategy": type(fabric.strategy).__name__},
            notes / f"{task.name}.{clock}.{fabric.global_rank}.pt",
        )
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(run folder, notes of both processes) after all phases were trained for 4 steps and once more until the clock struck."""
    folder = tmp_path_factory.mktemp("torchrun")
    config = write_configuration(folder, {f"phases.{phase}.steps": 4 for phase in PHASES})
    (folder / "driver.py").write_text(DRIVER)
    (folder / "notes").mkdir()
    arguments = ["--config", config, "--data", make_data(folder / "dataset"), "--run-folder", folder / "run"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    command = [*launcher, folder / "driver.py", *arguments, "--accelerator", "cpu", "--workers", 0, folder / "notes"]
    process = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=420,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return folder / "run", folder / "notes"


def notes(folder: Path, phase: str, clock: str = "same") -> list[dict]:
    return [torch.load(folder / f"{phase}.{clock}.{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("phase", PHASES)
def test_both_processes_train_one_model_on_different_items(watched, phase):
    run, folder = watched
    zero, one = notes(folder, phase)
    assert zero["strategy"] == one["strategy"] == "DDPStrategy"
    batch = 1 if phase in ("controlnet", "decoder") else 2
    assert len(zero["items"]) == len(one["items"]) == 4 * batch
    assert sorted(zero["items"] + one["items"]) == list(range(8 * batch))


@pytest.mark.parametrize("phase", PHASES)
def test_both_processes_end_with_the_same_weights_and_write_one_checkpoint(watched, phase):
    run, folder = watched
    zero, one = notes(folder, phase)
    assert zero["weights"].keys() == one["weights"].keys()
    assert all(torch.equal(zero["weights"][key], one["weights"][key]) for key in zero["weights"])
    assert [path.name for path in (run / phase).glob("checkpoint*")] == ["checkpoint.pt"]
    assert len(list((run / phase).glob("events.*"))) == 2  # one of each call, of process 0 alone


@pytest.mark.parametrize("phase", PHASES)
def test_the_checkpoint_holds_the_bare_models_last_and_averaged_weights(watched, phase):
    run, folder = watched
    state, last = read_checkpoint(run / phase), notes(folder, phase, "different")[0]["weights"]
    assert state["model"].keys() == state["averaged"].keys() == last.keys()  # no "module." of a wrapper
    assert all(torch.equal(state["model"][key], last[key]) for key in last)
    assert any(not torch.equal(state["averaged"][key], last[key]) for key in last)


@pytest.mark.parametrize("phase", PHASES)
def test_when_one_process_has_to_stop_both_stop_at_the_same_step(watched, phase):
    run, folder = watched
    assert [note["done"] for note in notes(folder, phase, "different")] == [5, 5]
    assert read_checkpoint(run / phase)["step"] == 5
