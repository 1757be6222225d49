"""A finished bundle gets a backbone that has learnt more, and nothing else in it changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_bundle import save_tiny_bundle, tiny_configurations, tiny_specification

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import Bundle, read_bundle, save_bundle, verify
from LDMSegLib.models.networks import build_all
from Training.backbone import PREFIX, main, rounded, with_backbone


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    """With a conditioning network that has a backbone."""
    specification = tiny_specification()
    configurations = tiny_configurations(specification) | {
        "conditioning": {
            "_target_": "LDMSegLib.models.conditioning.ConditioningEncoder",
            "in_channels": 4,
            "regions": 3,
            "out_channels": 8,
            "downsampling": 2,
            "init_filters": 8,
            "blocks_down": [1, 1],
            "blocks_up": [1],
        }
    }
    return save_bundle(tmp_path_factory.mktemp("bundles") / "whole", specification, configurations, build_all(configurations))


def trained(bundle: Bundle, run: Path, by: float = 0.1) -> dict[str, torch.Tensor]:
    """A run folder whose conditioning network is the bundle's, a little further."""
    stored = load_file(bundle.weights)
    prefix = f"conditioning.{PREFIX}"
    weights = {key.removeprefix(prefix): value.float() + by for key, value in stored.items() if key.startswith(prefix)}
    state = {"step": 5, "steps": 5, "model": weights, "averaged": None, "updates": 0, "optimiser": {}, "extras": {}}
    (run / "conditioning").mkdir(parents=True)
    torch.save(state, run / "conditioning" / "checkpoint.pt")
    return weights


def test_the_backbone_is_the_runs_and_every_other_tensor_stays_as_it_was(bundle, tmp_path):
    learnt = trained(bundle, tmp_path / "run")
    made = with_backbone(bundle, tmp_path / "run", tmp_path / "on")
    assert verify(made) and made.specification.modes == bundle.specification.modes
    before, after = load_file(bundle.weights), load_file(made.weights)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {f"conditioning.{PREFIX}{key}" for key in learnt}
    assert all(torch.equal(after[f"conditioning.{PREFIX}{key}"], value.half()) for key, value in learnt.items())


@pytest.mark.parametrize("mantissa", range(1, 11))
def test_a_rounded_weight_is_the_nearest_with_so_many_bits(mantissa):
    values = torch.randn(5000, generator=torch.Generator().manual_seed(0)).half()
    near = rounded(values, mantissa)
    whole, exponent = torch.frexp(near.double())
    kept = whole.abs() * 2 ** (mantissa + 1)
    assert torch.equal(kept, kept.round()), "nothing is left below the last bit"
    assert ((near.double() - values.double()).abs() <= torch.exp2((exponent - mantissa - 2).double())).all()
    assert torch.equal(near[values < 0], -rounded(-values[values < 0], mantissa))


def test_rounding_meets_ties_evenly_and_carries_into_the_exponent():
    assert rounded(torch.tensor([1.25, 1.75, 1.9, 0.0, -1.9]), 1).tolist() == [1.0, 2.0, 2.0, 0.0, -2.0]


def test_another_architecture_is_refused(bundle, tmp_path):
    trained(bundle, tmp_path / "run")
    plain = read_bundle(save_tiny_bundle(tmp_path / "plain"))
    with pytest.raises(InputError, match="another conditioning network than bundle 'tiny', expected the same architecture"):
        with_backbone(plain, tmp_path / "run", tmp_path / "on")


@pytest.mark.parametrize(
    "words, said", [([], "holds no trained conditioning network"), (["--mantissa", "11"], "--mantissa is 11, expected 1 to 10")]
)
def test_what_the_user_can_mend_ends_in_one_sentence(bundle, tmp_path, monkeypatch, capsys, words, said):
    given = ["backbone", "--bundle", bundle.folder, "--run", tmp_path / "none", "--output", tmp_path / "on", *words]
    monkeypatch.setattr("sys.argv", [str(word) for word in given])
    with pytest.raises(SystemExit):
        main()
    assert said in capsys.readouterr().err and not (tmp_path / "on").exists()
