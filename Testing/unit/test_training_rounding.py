"""Weights with fewer bits: the nearest ones, in the networks that were named, in a bundle that is as whole as before."""

from __future__ import annotations

import zlib

import pytest
import torch
from tiny_bundle import save_tiny_bundle

from LDMSegLib.models.bundle import load_networks, read_bundle, verify
from Training import rounding
from Training.rounding import rounded


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["rounding", *map(str, words)])
    rounding.main()


@pytest.mark.parametrize("bits", [0, 1, 3, 4, 9])
def test_a_weight_becomes_the_nearest_one_with_so_many_bits(bits):
    weights = torch.randn(4000, generator=torch.Generator().manual_seed(bits)).to(torch.float16).double()
    weights = weights[weights.abs() > 6.2e-5]  # what float16 holds with all its bits
    found, scale = rounded(weights, bits), 2.0 ** (torch.floor(torch.log2(weights.abs())) - bits)
    assert ((found / scale) % 1 == 0).all(), "so many bits are enough for it"
    assert ((found - weights).abs() <= scale / 2).all(), "and none with so many is nearer"


def test_all_bits_change_nothing_nor_do_zeros_signs_and_counts():
    weights = torch.tensor([0.0, -0.0, 1.0, -2.5, 6e-8, 65504.0])
    assert torch.equal(rounded(weights, 10), weights.to(torch.float16).float())
    assert torch.equal(rounded(weights[:3], 0), weights[:3])
    assert torch.equal(rounded(torch.tensor(7), 2), torch.tensor(7))


def test_fewer_bits_cost_less_once_compressed():
    weights = torch.randn(20000, generator=torch.Generator().manual_seed(0))
    sizes = [len(zlib.compress(rounded(weights, bits).to(torch.float16).numpy().tobytes())) for bits in (10, 5, 3)]
    assert sizes[0] > 1.3 * sizes[1] > 1.3 * 1.15 * sizes[2]


def test_only_the_named_networks_of_a_bundle_are_rounded(tmp_path, monkeypatch, capsys):
    bundle = read_bundle(save_tiny_bundle(tmp_path / "tiny"))
    before = {name: network.state_dict() for name, network in load_networks(bundle).items()}
    licence = (bundle.folder / "LICENSE").read_text(encoding="utf-8")
    call(monkeypatch, "--bundle", bundle.folder, "--networks", "conditioning", "--bits", 3)
    after = read_bundle(bundle.folder)
    verify(after)
    assert "conditioning rounded to 3 bits" in capsys.readouterr().out
    assert (after.folder / "LICENSE").read_text(encoding="utf-8") == licence
    for name, network in load_networks(after).items():
        for key, weight in network.state_dict().items():
            expected = rounded(before[name][key], 3) if name == "conditioning" else before[name][key]
            assert torch.equal(weight, expected), (name, key)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--networks", "unset", "--bits", 4), "no network 'unset', expected some of"), (("--networks", "unet", "--bits", 11), "0 to 10")],
)
def test_what_cannot_be_rounded_is_told_in_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    bundle = save_tiny_bundle(tmp_path / "tiny")
    with pytest.raises(SystemExit):
        call(monkeypatch, "--bundle", bundle, *words)
    assert said in capsys.readouterr().err
