"""Configurations: those that ship can be built and trained; a mistake is told in one sentence before hours are spent."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from training_tiny import ROOT, configuration, write_configuration

from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import start_from_unet
from LDMSegLib.models.weights import skeletons
from Training.autoencoder import AutoencoderTask
from Training.conditioning import ConditioningTask
from Training.configuration import read_configuration
from Training.engine import Options, train

SHIPPED = {name: ROOT / "Training" / "configs" / f"{name}.json" for name in ("paper", "medium", "small")}


@pytest.fixture(params=SHIPPED)
def shipped(request):
    return read_configuration(SHIPPED[request.param])


def test_a_shipped_configuration_takes_an_mri_through_all_networks(shipped):
    """On torch's meta device: shapes without numbers."""
    factor, channels = shipped.latent["downsampling"], shipped.latent["channels"]
    latent = (1, channels, *(n // factor for n in shipped.grid.shape))
    networks = skeletons(shipped.networks)
    with torch.device("meta"), torch.no_grad():
        regions = torch.empty(1, len(shipped.regions), *shipped.grid.shape)
        assert networks["autoencoder"].encode(regions)[0].shape == latent
        x, t = torch.empty(latent), torch.zeros(1, dtype=torch.int64)
        assert networks["autoencoder"].decode(x).shape == regions.shape
        mri = torch.empty(1, len(shipped.sequences), *shipped.grid.shape)
        guessing = shipped.networks["conditioning"].get("latent_channels")
        given = (lambda r: networks["autoencoder"].encode(r)[0],) if guessing else ()
        embedding = networks["conditioning"](mri, *given)
        down, middle = networks["controlnet"](x, t, embedding)
        steered = networks["unet"](x, t, down_block_additional_residuals=down, mid_block_additional_residual=middle)
        assert steered.shape == latent


def test_a_shipped_configuration_has_what_its_phases_need(shipped):
    assert {"autoencoder", "diffusion", "controlnet"} <= set(shipped.phases)
    assert ("conditioning" in shipped.phases) == shipped.networks["conditioning"]["_target_"].endswith("ConditioningEncoder")
    assert NoiseSchedule.from_specification(shipped.schedule).steps == 1000
    assert shipped.validation and not set(shipped.validation) & set(shipped.excluded)
    networks = skeletons({name: shipped.networks[name] for name in ("unet", "controlnet")})
    start_from_unet(networks["controlnet"], networks["unet"])  # raises where the two don't fit


def test_a_configuration_that_extends_another_says_only_what_differs(tmp_path):
    whole = json.loads(write_configuration(tmp_path).read_text())
    (tmp_path / "longer.json").write_text(json.dumps({"extends": "tiny.json", "phases": {"conditioning": {"steps": 99}}}))
    longer, tiny = read_configuration(tmp_path / "longer.json"), read_configuration(tmp_path / "tiny.json")
    assert whole["phases"]["conditioning"]["steps"] == 8 and longer.phases["conditioning"].steps == 99
    assert replace(longer, phases=tiny.phases) == tiny and longer.phases["autoencoder"] == tiny.phases["autoencoder"]


def test_the_paper_configuration_is_the_published_recipe():
    paper = read_configuration(SHIPPED["paper"])
    assert paper.grid.shape == (240, 240, 144) and paper.grid.spacing == (1.0, 1.0, 1.0)
    assert paper.networks["autoencoder"]["channels"] == [32, 96, 192]
    assert (paper.intensity.method, paper.intensity.lower, paper.intensity.upper) == ("percentile", 0.0, 99.5)
    found = {name: (phase.learning_rate, phase.epochs, phase.batch_size, phase.flips) for name, phase in paper.phases.items()}
    assert found == {"autoencoder": (1e-5, 250, 2, True), "diffusion": (1e-4, 250, 2, False), "controlnet": (1e-4, 700, 2, False)}
    mode = paper.modes[paper.default_mode]
    assert (mode["sampler"], mode["steps"], mode["members"]) == ("ddpm", 1000, 30)


MISTAKES = {
    "phases.diffusoin": ({"steps": 1, "batch_size": 1, "learning_rate": 0.1}, "'diffusoin' is no phase, expected autoencoder"),
    "phases.diffusion.learning_rat": (0.1, "'phases.diffusion.learning_rat' is not known"),
    "phases.diffusion.learning_rate": (None, "learning_rate"),
    "phases.diffusion.batch_size": ("two", "'phases.diffusion.batch_size' is 'two', expected int"),
    "phases.diffusion.epochs": (5, "steps is 8 and epochs is 5, expected one of them"),
    "phases.diffusion.steps": (0, "steps is 0 and epochs is 0"),
    "phases.diffusion.schedule": ("linear", "schedule is 'linear', expected constant or cosine"),
    "phases.diffusion.precision": ("16-mixed", "precision is '16-mixed', expected bf16-mixed or 32-true"),
    "phases.diffusion.ema": (1.0, "ema is 1.0"),
    "phases.diffusion.validate_every": (0, "validate_every is 0"),
    "phases.conditioning.crop": ([18, 16, 16], r"crop is \[18, 16, 16\], expected three sizes that divide by 4"),
    "grid.shape": ([24, 24, 20], r"grid.shape \[24, 24, 20\] does not divide by grid.multiple 8"),
    "grid.multiple": (4, "grid.multiple is 4, expected a multiple of 8"),
    "networks.autoencoder.latent_channels": (3, "networks.autoencoder.latent_channels is 3, expected 4"),
    "networks.autoencoder.channels": ([8, 8], "2 levels, which do not give latent.downsampling 4"),
    "networks.conditioning.in_channels": (3, "networks.conditioning.in_channels is 3, expected 4"),
    "networks.controlnet": (None, "the network 'controlnet' is missing"),
    "networks.unet.channels": (None, "has no entry 'channels'"),
    "modes.solver.sampler": (None, "modes.solver"),
    "default_mode": ("quick", "default_mode is 'quick', expected one of paper, solver"),
    "intensity.method": ("histogram", "intensity.method is 'histogram'"),
    "intensity": ({"method": "percentile", "lower": 0, "upper": 99.5}, "changes of images need intensity.method zscore"),
    "split": (None, "has no entry 'split'"),
    "vocabulary": (None, "has no entry 'vocabulary'"),
    "latent.channels": (None, "has no entry 'channels'"),
}


@pytest.mark.parametrize("entry", MISTAKES)
def test_a_mistake_is_told_in_one_sentence(tmp_path, entry):
    value, said = MISTAKES[entry]
    with pytest.raises(InputError, match=said) as caught:
        configuration(tmp_path, {entry: value})
    sentence = str(caught.value)
    assert sentence.startswith(f"the configuration {tmp_path / 'tiny.json'} ") and "\n" not in sentence and "bundle" not in sentence


def test_a_missing_broken_or_incomplete_file_is_told(tmp_path):
    with pytest.raises(InputError, match="nowhere.json does not exist"):
        read_configuration(tmp_path / "nowhere.json")
    path = write_configuration(tmp_path)
    (tmp_path / "glioma.json").unlink()
    with pytest.raises(InputError, match="glioma.json does not exist"):
        read_configuration(path)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match="is not valid JSON"):
        read_configuration(path)
    path.write_text(json.dumps({"vocabulary": "words.json"}))
    (tmp_path / "words.json").write_text("{}")
    with pytest.raises(InputError, match="has no entry"):
        read_configuration(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_configuration(tmp_path)


def test_a_phase_that_the_configuration_lacks_is_told(tmp_path):
    paper = read_configuration(SHIPPED["paper"])
    with pytest.raises(InputError, match="'ldmseg-paper' has no phase 'conditioning', it has autoencoder, diffusion, controlnet"):
        train(ConditioningTask, paper, Options(tmp_path, accelerator="cpu"))


def test_a_run_folder_without_data_is_told(tmp_path):
    with pytest.raises(InputError, match="holds no label map; run Training.prepare first"):
        train(AutoencoderTask, configuration(tmp_path), Options(tmp_path / "run", accelerator="cpu", devices="1"))


def test_a_script_ends_with_the_sentence_and_exit_code_2_without_a_traceback(tmp_path):
    path = write_configuration(tmp_path, {"phases.diffusoin": {"steps": 1}})
    command = [sys.executable, "-m", "Training.prepare", "--config", path, "--data", tmp_path, "--run", tmp_path / "run"]
    process = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("error: the configuration") and len(process.stderr.strip().splitlines()) == 1


def test_every_fold_of_the_shipped_configurations_keeps_validation_patients_out():
    settings = read_configuration(SHIPPED["small"])
    assert len(settings.folds) == 4 and not frozenset().union(*settings.folds) & settings.held_out
    assert max(map(len, settings.folds)) - min(map(len, settings.folds)) <= 8


@pytest.mark.parametrize("phase, entry", [("autoencoder", "specks"), ("conditioning", "satellites"), ("controlnet", "evened")])
def test_an_entry_of_an_older_configuration_is_refused_in_one_sentence(tmp_path, phase, entry):
    for file in SHIPPED["small"].parent.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "old.json").write_text(json.dumps({"extends": "small.json", "phases": {phase: {entry: 0.3}}}), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_configuration(tmp_path / "old.json")
    assert f"'phases.{phase}.{entry}' is not known to this version; correct it" in str(refused.value) and "\n" not in str(refused.value)
