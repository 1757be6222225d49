"""The odds of shapes: what they make of a known difference, from which half they learn, and into a bundle."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from test_training_plausibility import configuration
from tiny_bundle import save_tiny_bundle

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import read_bundle, verify
from LDMSegLib.synthesis.shape_prior import keeping_probability
from Training import shape_odds as script
from Training.shape_odds import fit, learnt_from, real_shapes


def shapes(flatness: np.ndarray, rng: np.random.Generator) -> list[dict[str, float]]:
    """Masks that differ in their flatness, not in their place, and in nothing that never varies."""
    return [
        {"flatness": float(f), "place": float(p), "outside": 0.0} for f, p in zip(flatness, rng.normal(size=len(flatness)), strict=True)
    ]


def test_what_is_kept_of_too_flat_masks_is_as_round_as_the_real_ones():
    rng = np.random.default_rng(0)
    real, drawn, fresh = (shapes(rng.normal(mean, 0.1, 2000), rng) for mean in (0.6, 0.5, 0.5))
    odds = fit(real, drawn, ridge=1.0, always=0.01)
    assert set(odds.terms) == {"flatness", "place"}
    assert odds.terms["flatness"].weight == pytest.approx(10.0, rel=0.1), "the log of two normal densities' quotient has this slope"
    assert abs(odds.terms["place"].weight) < 0.2
    kept = [keeping_probability(shape, odds) for shape in fresh]
    assert np.average([shape["flatness"] for shape in fresh], weights=kept) == pytest.approx(0.6, abs=0.015)
    assert np.mean(kept) == pytest.approx(odds.kept, rel=0.15)


def test_the_more_are_always_kept_the_more_are_kept():
    rng = np.random.default_rng(1)
    real, drawn = (shapes(rng.normal(mean, 0.1, 300), rng) for mean in (0.6, 0.5))
    kept = [fit(real, drawn, 1.0, always).kept for always in (0.02, 0.1, 0.5)]
    assert kept == sorted(kept) and kept[-1] > 0.7


def test_the_odds_learn_from_about_half_of_the_label_maps_and_always_from_the_same():
    names = [f"BraTS20_Training_{i:03d}" for i in range(400)]
    assert np.mean([learnt_from(name) for name in names]) == pytest.approx(0.5, abs=0.07)
    assert learnt_from("BraTS20_Training_074") == learnt_from("BraTS20_Training_074")


@pytest.fixture
def run(tmp_path):
    """Label maps of 30 patients and of one that is kept out, balls of several sizes."""
    grid = configuration().grid
    i = np.stack(np.meshgrid(*[np.arange(n) - n / 2 for n in grid.shape], indexing="ij"))
    ball = [(np.linalg.norm(i, axis=0) < radius) * np.uint8(255) for radius in np.linspace(3, 7, 30)]
    maps = np.stack([np.stack([one, one, one]) for one in [*ball, ball[-1]]])
    (tmp_path / "run" / "data").mkdir(parents=True)
    np.savez(tmp_path / "run" / "data" / "labelmaps.npz", name=[*(f"map{k}" for k in range(30)), "kept"], regions=maps)
    return tmp_path / "run"


def test_the_other_half_and_what_is_kept_out_are_not_looked_at(run, monkeypatch):
    assert len(real_shapes(configuration(), run)) == sum(learnt_from(f"map{k}") for k in range(30))
    monkeypatch.setattr(script, "learnt_from", lambda name: True)
    assert len(real_shapes(configuration(), run)) == 30


def test_without_label_maps_a_sentence_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"is not there, expected label maps; run Training\.prepare first"):
        real_shapes(configuration(), tmp_path)


def test_the_command_writes_the_odds_into_the_bundle_and_leaves_its_weights(run, tmp_path, monkeypatch, capsys):
    bundle = save_tiny_bundle(tmp_path / "tiny")
    before = read_bundle(bundle).weights.read_bytes()
    monkeypatch.setattr(script, "read_configuration", lambda _: configuration())
    monkeypatch.setattr(sys, "argv", ["shape_odds", "--config", "c", "--bundle", str(bundle), "--run", str(run), "--draws", "24"])
    script.main()
    odds = read_bundle(bundle).specification.shape_odds
    assert verify(read_bundle(bundle)) and read_bundle(bundle).weights.read_bytes() == before
    assert odds.terms["WT_volume_ml"].weight != 0.0 and 0.0 < odds.kept < 1.0
    assert "12 real masks" in capsys.readouterr().out
