"""A wider network begins where a narrower one ended; small lesions are set beside large ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import training_tiny
from monai.networks.nets import SegResNet

from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import build
from Training.checkpoints import START, begin
from Training.specks import speck
from Training.widen import beginning, widen


def network(width: int) -> SegResNet:
    torch.manual_seed(width)
    return SegResNet(spatial_dims=3, init_filters=width, in_channels=4, out_channels=3, blocks_down=(1, 2), blocks_up=(1,)).eval()


@pytest.mark.parametrize("times", [2, 3])
def test_the_widened_network_computes_what_the_narrow_one_did(times):
    narrow, wide = network(8), network(8 * times)
    wide.load_state_dict(widen(narrow.state_dict(), wide))
    mri = torch.randn(1, 4, 16, 16, 16)
    with torch.no_grad():
        assert torch.allclose(wide(mri), narrow(mri), atol=1e-5)


def test_copies_of_a_channel_do_not_learn_the_same():
    narrow, wide = network(8), network(16)
    wide.load_state_dict(widen(narrow.state_dict(), wide))
    wide(torch.randn(1, 4, 16, 16, 16)).square().mean().backward()
    gradient = wide.convInit.conv.weight.grad
    assert not torch.allclose(gradient[0::2], gradient[1::2])


def test_widths_that_are_no_multiples_are_refused():
    with pytest.raises(InputError, match="whole multiples"):
        widen(network(16).state_dict(), network(8))


def test_a_phase_begins_with_the_weights_put_into_its_folder(tmp_path):
    given, fresh = network(8), network(16)
    begin(tmp_path, fresh)  # nothing there: nothing happens
    torch.save(given.state_dict(), tmp_path / START)
    with pytest.raises(InputError, match="other networks"):
        begin(tmp_path, fresh)
    other = network(8)
    torch.nn.init.zeros_(other.convInit.conv.weight)
    begin(tmp_path, other)
    assert torch.equal(other.convInit.conv.weight, given.convInit.conv.weight)


def keep(folder: Path, model: torch.nn.Module) -> None:
    folder.mkdir(parents=True)
    state = {"step": 1, "steps": 1, "model": model.state_dict(), "averaged": None, "updates": 0, "optimiser": None, "extras": {}}
    torch.save(state, folder / "checkpoint.pt")


@pytest.mark.parametrize("phase", ["diffusion", "conditioning"])
def test_diffusion_and_conditioning_go_on_from_the_weights_of_another_run(phase, tmp_path):
    configuration = training_tiny.configuration(tmp_path / "configuration")
    torch.manual_seed(1)
    network = build(configuration.networks["unet"]) if phase == "diffusion" else build(configuration.networks["conditioning"]).backbone
    keep(tmp_path / "learnt" / phase, network)
    weights = beginning(configuration, phase, tmp_path / "learnt", tmp_path / "new")
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], weight) for name, weight in network.state_dict().items())


def test_a_controlnet_that_goes_on_looks_through_the_backbone_of_its_new_run(tmp_path):
    configuration = training_tiny.configuration(tmp_path / "configuration")
    learnt, new = tmp_path / "learnt", tmp_path / "new"
    conditioning, controlnet = (build(configuration.networks[name]) for name in ("conditioning", "controlnet"))
    steering = torch.nn.ModuleDict({"conditioning": conditioning, "controlnet": controlnet})
    keep(learnt / "controlnet", steering)
    with pytest.raises(InputError, match="no trained conditioning"):
        beginning(configuration, "controlnet", learnt, new)
    backbone = build(configuration.networks["conditioning"]).backbone
    keep(new / "conditioning", backbone)
    weights = beginning(configuration, "controlnet", learnt, new)
    for name, weight in backbone.state_dict().items():
        assert torch.equal(weights[f"conditioning.backbone.{name}"], weight)
    for name, weight in controlnet.state_dict().items():
        assert torch.equal(weights[f"controlnet.{name}"], weight)
    assert torch.equal(weights["conditioning.project.0.weight"], conditioning.project[0].weight)


def lesion() -> np.ndarray:
    regions = np.zeros((3, 32, 32, 32), np.float32)
    for channel, radius in enumerate((4, 7, 11)):
        regions[channel, 16 - radius : 16 + radius, 16 - radius : 16 + radius, 16 - radius : 16 + radius] = 1
    return regions


def test_a_speck_is_small_nested_and_where_it_should_be():
    empty = np.zeros((3, 32, 32, 32), np.float32)
    for seed in range(20):
        out = speck(empty, lesion(), np.array([8, 20, 12]), np.random.default_rng(seed))
        inside = np.argwhere(out[2] > 0)
        assert np.ptp(inside, axis=0).max() + 1 <= 10
        assert np.abs(inside.mean(axis=0) - [8, 20, 12]).max() <= 1
        assert (out[0] <= out[1]).all() and (out[1] <= out[2]).all() and out.max() <= 1


def test_a_speck_takes_nothing_away_and_may_leave_the_volume():
    host = lesion()
    for where in ([16, 16, 16], [0, 31, 16], [40, 16, 16]):
        out = speck(host, lesion(), np.array(where), np.random.default_rng(1))
        assert (out >= host).all() and out.shape == host.shape


def test_an_empty_label_map_gives_no_speck():
    empty = np.zeros((3, 32, 32, 32), np.float32)
    assert not speck(empty, empty, np.array([16, 16, 16]), np.random.default_rng(0)).any()
