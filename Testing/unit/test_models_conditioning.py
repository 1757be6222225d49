"""What the ControlNet is told of the MRI: features, the head's prediction, and the latent of that prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_bundle import built, tiny_configurations, tiny_specification

from LDMSegLib.errors import BundleError
from LDMSegLib.inference.ensemble import draw, read
from LDMSegLib.models.bundle import load_networks, read_bundle, save_bundle
from LDMSegLib.models.conditioning import ConditioningEncoder
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.specification import Mode

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
    networks = built(configurations())
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
    assert torch.allclose(model.read(mri)[0], expected, atol=1e-4)
    assert not torch.allclose(expected, network.embed(at_latent, logits, torch.zeros_like(guess)))
    assert torch.allclose(model.read(mri)[1], torch.sigmoid(logits)[0], atol=1e-5)


def test_a_direct_share_of_a_member_is_the_heads_answer_in_the_same_view(tmp_path):
    torch.manual_seed(0)
    spec = replace(tiny_specification(), name="guessing")
    save_bundle(tmp_path / "guessing", spec, configurations(), built(configurations()))
    bundle, device = read_bundle(tmp_path / "guessing"), choose_device("cpu", "float32")
    mri = np.random.default_rng(0).normal(size=(4, *spec.grid.shape)).astype(np.float32)
    plain = replace(spec.mode(), members=3, views=2)
    drawn = {}
    for share in (0.0, 0.25):
        model = Model(bundle, replace(plain, direct=share), device)
        readings, members = read(model, mri), []
        draw(model, readings, spec.grid.shape, 0, 2, lambda _, p, into=members: into.append(p))
        drawn[share] = members
    answers = [reading.view.inverse(reading.answer) for reading in readings]
    for sample, member, answer in zip(drawn[0.0], drawn[0.25], [answers[0], answers[1], answers[0]], strict=True):
        assert torch.allclose(member, 0.75 * sample + 0.25 * answer, atol=1e-6)
    assert not torch.allclose(answers[0], answers[1])


def test_a_direct_share_needs_a_network_that_answers(tiny_bundle):
    bundle = read_bundle(tiny_bundle)
    with pytest.raises(BundleError, match="share of 0.5 of its conditioning network's own answer"):
        Model(bundle, replace(bundle.specification.mode(), direct=0.5), choose_device("cpu", "float32"))
    with pytest.raises(BundleError, match="direct share of 1, expected 0 to below 1"):
        tiny_specification(modes={"solver": Mode("dpmpp_2m", 3, 4, direct=1.0)})


def test_a_guess_of_another_latent_space_is_refused(tmp_path):
    wrong = configurations()
    wrong["conditioning"]["latent_channels"] = 5
    with pytest.raises(BundleError, match="latent_channels = 5, expected 2 for its latent channels"):
        save_bundle(tmp_path / "wrong", tiny_specification(), wrong, built(wrong))
