"""What the ControlNet is told of the MRI: features, the head's prediction, and the latent of that prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bundle import tiny_configurations, tiny_specification

from LDMSegLib.errors import BundleError
from LDMSegLib.models.bundle import load_networks, read_bundle, save_bundle
from LDMSegLib.models.conditioning import ConditioningEncoder
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.models.networks import build_all

CONDITIONING = {
    "in_channels": 4,
    "regions": 3,
    "out_channels": 8,
    "downsampling": 2,
    "init_filters": 8,
    "blocks_down": [1, 1],
    "blocks_up": [1],
    "latent_channels": 2,
}


def configurations() -> dict[str, dict]:
    target = "LDMSegLib.models.conditioning.ConditioningEncoder"
    return {**tiny_configurations(tiny_specification()), "conditioning": {"_target_": target, **CONDITIONING}}


def test_an_untrained_guess_changes_nothing():
    torch.manual_seed(0)
    network, mri = ConditioningEncoder(**CONDITIONING), torch.randn(1, 4, 8, 8, 8)
    guesses = [torch.randn(1, 2, 4, 4, 4) for _ in range(2)]
    one, other = (network(mri, lambda _, guess=guess: guess) for guess in guesses)
    assert torch.equal(one, other)


def test_the_guess_is_the_latent_of_the_heads_own_probabilities(tmp_path):
    torch.manual_seed(0)
    spec = replace(tiny_specification(), name="guessing")
    networks = build_all(configurations())
    torch.nn.init.normal_(networks["conditioning"].guess.weight)
    save_bundle(tmp_path / "guessing", spec, configurations(), networks)
    bundle = read_bundle(tmp_path / "guessing")
    model = Model(bundle, spec.mode(), choose_device("cpu", "float32"))
    mri = np.random.default_rng(0).normal(size=(4, *spec.grid.shape)).astype(np.float32)
    network = load_networks(bundle, names=["conditioning"])["conditioning"]
    with torch.inference_mode():
        at_latent, logits = network.features(torch.from_numpy(mri)[None])
        guess = model.encode(torch.sigmoid(logits)[0].numpy())
        expected = network.embed(at_latent, logits, guess)
    assert torch.allclose(model.embed(mri), expected, atol=1e-4)
    assert not torch.allclose(expected, network.embed(at_latent, logits, torch.zeros_like(guess)))


def test_a_guess_of_another_latent_space_is_refused(tmp_path):
    wrong = configurations()
    wrong["conditioning"]["latent_channels"] = 5
    with pytest.raises(BundleError, match="latent_channels = 5, expected 2 for its latent channels"):
        save_bundle(tmp_path / "wrong", tiny_specification(), wrong, build_all(wrong))
