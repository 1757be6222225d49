"""From a data set to a bundle, command by command, as Training/README.md tells it."""

from __future__ import annotations

import runpy
import sys
import warnings

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_tiny import HELD_OUT, make_data, write_configuration

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.inference.segment import segment
from LDMSegLib.models.bundle import load_networks, read_bundle, verify
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.sequences.naming import find_case
from Training.checkpoints import read_checkpoint, trained_weights
from Training.configuration import read_configuration
from Training.controlnet import ControlNetTask
from Training.engine import Options

PHASES = ("autoencoder", "diffusion", "conditioning", "controlnet", "decoder")


def command(module, *arguments):
    """`python -m module arguments` in this process."""
    before, sys.argv = sys.argv, [module, *map(str, arguments)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # runpy's, of modules that are imported already
            runpy.run_module(module, run_name="__main__")
    finally:
        sys.argv = before


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with tiny.json, dataset/, run/ and bundle/, made by the commands of the README."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    config, run = write_configuration(folder), folder / "run"
    data = make_data(folder / "dataset")
    command("Training.prepare", "--config", config, "--data", data, "--run", run)
    for phase in PHASES:
        command(f"Training.{phase}", "--config", config, "--run", run, "--accelerator", "cpu", "--devices", 1, "--workers", 0)
    command("Training.assemble", "--config", config, "--run", run, "--output", folder / "bundle")
    return folder


@pytest.fixture
def steering(trained):
    """Phase 3 before its first step."""
    configuration = read_configuration(trained / "tiny.json")
    torch.manual_seed(0)
    return ControlNetTask(configuration, Options(trained / "run"), Fabric(accelerator="cpu", devices=1))


def curves(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_the_commands_of_the_guide_give_a_bundle_that_verifies_and_segments(trained):
    bundle = read_bundle(trained / "bundle")
    assert set(verify(bundle)) == {"autoencoder", "unet", "conditioning", "controlnet"}
    specification = bundle.specification
    case = load_case(find_case(trained / "dataset" / "cases" / HELD_OUT, specification.sequences), specification)
    result = segment(case, Model(bundle, sampling_mode(specification, None, None, None), choose_device("cpu", "float32")))
    assert result.members_finished == 2
    assert result.label_map.shape == case.grid.shape and result.probabilities.shape == (3, *case.grid.shape)
    assert np.isfinite(result.probabilities).all() and (result.probabilities[:, ~case.foreground()] == 0).all()


def test_the_bundle_holds_the_averaged_weights_and_the_measured_latent(trained):
    bundle = read_bundle(trained / "bundle")
    networks = load_networks(bundle)
    averaged, extras = trained_weights(trained / "run", "diffusion")
    assert bundle.specification.latent.scale == pytest.approx(extras["latent"]["scale"])
    last = read_checkpoint(trained / "run" / "diffusion")["model"]
    stored = networks["unet"].state_dict()
    assert all(torch.allclose(stored[key], averaged[key], atol=1e-3) for key in averaged)
    assert any(not torch.equal(last[key], averaged[key]) for key in averaged)


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_draws_its_curve_and_pictures_for_tensorboard(trained, phase):
    events = curves(trained / "run" / phase)
    assert f"{phase}/loss" in events.Tags()["scalars"]
    assert any(tag.startswith(f"{phase}/validation_") for tag in events.Tags()["scalars"])
    assert events.Tags()["images"]


@pytest.mark.parametrize("phase", ["diffusion", "conditioning", "controlnet"])
def test_a_phase_learns(trained, phase):
    losses = [point.value for point in curves(trained / "run" / phase).Scalars(f"{phase}/validation_loss")]
    assert len(losses) == 2 and losses[1] < losses[0]


@pytest.mark.parametrize("phase", PHASES)
def test_a_checkpoint_counts_steps_for_the_optimiser_and_the_average(trained, phase):
    state = read_checkpoint(trained / "run" / phase)
    assert state["step"] == state["steps"] == state["updates"] == 8
    assert {float(parameter["step"]) for parameter in state["optimiser"]["state"].values()} == {8.0}
    assert state["averaged"].keys() == state["model"].keys()


def test_a_finished_phase_is_left_as_it_is(trained, capsys):
    path = trained / "run" / "autoencoder" / "checkpoint.pt"
    before = path.stat().st_mtime_ns
    for steps in (8, 5):
        command(
            "Training.autoencoder", "--config", trained / "tiny.json", "--run", trained / "run", "--steps", steps, "--accelerator", "cpu"
        )
        assert f"at step 8 of {steps}: nothing to do" in capsys.readouterr().out
    assert path.stat().st_mtime_ns == before


def test_the_controlnet_starts_as_a_copy_of_the_unets_encoder(steering):
    unet, controlnet = steering._unet.state_dict(), steering.model.controlnet.state_dict()
    shared = [key for key in controlnet if key in unet]
    assert any(key.startswith("down_blocks") for key in shared) and any(key.startswith("middle_block") for key in shared)
    assert all(torch.equal(controlnet[key], unet[key]) for key in shared)


def test_before_its_first_step_the_controlnet_steers_nothing(steering):
    x, t = torch.randn(2, 4, 6, 6, 4), torch.tensor([3, 40])
    with torch.no_grad():
        embedding = steering.model.embedding(torch.randn(2, 4, 24, 24, 16))
        down, middle = steering.model.controlnet(x, t, embedding)
        assert all((residual == 0).all() for residual in (*down, middle))
        assert torch.equal(steering.model.steer(steering._unet, embedding, x, t), steering._unet(x, t))


def test_after_training_the_mri_steers(trained, steering):
    weights, _ = trained_weights(trained / "run", "controlnet")
    steering.model.load_state_dict(weights)
    x, t = torch.randn(1, 4, 6, 6, 4), torch.tensor([40])
    with torch.no_grad():
        one, other = (steering.model.embedding(torch.randn(1, 4, 24, 24, 16)) for _ in range(2))
        steered = steering.model.steer(steering._unet, one, x, t)
        assert not torch.equal(steered, steering._unet(x, t))
        assert not torch.equal(steered, steering.model.steer(steering._unet, other, x, t))


def test_phase_3_leaves_the_unet_and_the_pretrained_encoder_alone(trained, steering):
    frozen = {"unet": steering._unet, "backbone": steering.model.conditioning.backbone}
    before = {name: {k: v.clone() for k, v in module.state_dict().items()} for name, module in frozen.items()}
    optimiser = torch.optim.Adam([p for p in steering.model.parameters() if p.requires_grad], lr=0.01)
    batch = {key: value[None] for key, value in steering.dataset[0].items()}
    changed = steering.model.controlnet.conv_in.conv.weight.detach().clone()
    for step in range(2):
        loss, _ = steering.loss(steering.model, batch, torch.Generator().manual_seed(step))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert not torch.equal(changed, steering.model.controlnet.conv_in.conv.weight)
    for name, module in frozen.items():
        assert all(torch.equal(value, before[name][key]) for key, value in module.state_dict().items()), name
        assert all(parameter.grad is None for parameter in module.parameters()), name
    pretrained, _ = trained_weights(trained / "run", "conditioning")
    left = trained_weights(trained / "run", "controlnet")[0]
    assert all(torch.equal(left[f"conditioning.backbone.{key}"], value) for key, value in pretrained.items())


def test_training_the_autoencoder_on_makes_its_old_latents_unusable(trained, tmp_path, capsys):
    run = tmp_path / "run"
    for name in ("data", "autoencoder", "diffusion"):
        (run / name).mkdir(parents=True)
    for path in (trained / "run").rglob("*"):
        if path.is_file() and path.relative_to(trained / "run").parts[0] in ("data", "autoencoder", "diffusion"):
            target = run / path.relative_to(trained / "run")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    common = ("--config", trained / "tiny.json", "--run", run, "--accelerator", "cpu", "--workers", 0)
    command("Training.autoencoder", *common, "--steps", 9)
    with pytest.raises(SystemExit) as end:
        command("Training.diffusion", *common, "--steps", 9)
    assert end.value.code == 2
    assert "made with the autoencoder of step 8, which is now at step 9" in capsys.readouterr().err


def test_a_phase_without_the_one_before_it_ends_in_one_sentence(trained, tmp_path, capsys):
    (tmp_path / "data").symlink_to(trained / "run" / "data")
    for phase, missing in (("diffusion", "autoencoder"), ("controlnet", "diffusion")):
        with pytest.raises(SystemExit) as end:
            command(f"Training.{phase}", "--config", trained / "tiny.json", "--run", tmp_path, "--accelerator", "cpu")
        assert end.value.code == 2
        sentence = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"no trained {missing}; run Training.{missing}" in sentence
    with pytest.raises(SystemExit) as end:
        command("Training.assemble", "--config", trained / "tiny.json", "--run", tmp_path, "--output", tmp_path / "bundle")
    assert end.value.code == 2 and not (tmp_path / "bundle").exists()
