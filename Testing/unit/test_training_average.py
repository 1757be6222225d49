"""Weights half way between those of two runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from LDMSegLib.errors import InputError
from Training import average
from Training.average import between
from Training.checkpoints import trained_steps, trained_weights


def trained(run: Path, weights: dict[str, torch.Tensor], averaged: dict[str, torch.Tensor] | None = None) -> Path:
    (run / "conditioning").mkdir(parents=True)
    state = {"step": 5, "steps": 5, "model": weights, "averaged": averaged, "updates": 5, "optimiser": {}, "extras": {}}
    torch.save(state, run / "conditioning" / "checkpoint.pt")
    return run


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["average", *map(str, words)])
    average.main()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (1.0, 3.0)])
def test_each_weight_lies_between_those_of_the_two_runs(share, expected):
    first, second = {"a": torch.ones(2, 3), "count": torch.tensor(4)}, {"a": torch.full((2, 3), 3.0), "count": torch.tensor(9)}
    mean = between(first, second, share)
    assert torch.equal(mean["a"], torch.full((2, 3), expected)) and int(mean["count"]) == 4


@pytest.mark.parametrize("other", [{"a": torch.ones(3)}, {"b": torch.ones(2)}, {}, {"a": torch.ones(2), "b": torch.ones(2)}])
def test_networks_of_two_architectures_are_refused_by_the_weight_that_differs(other):
    with pytest.raises(InputError, match="weight '[ab]' is .* expected one architecture"):
        between({"a": torch.ones(2)}, other, 0.5)


def test_the_mean_of_two_runs_is_a_finished_phase_of_a_third(tmp_path, monkeypatch, capsys):
    first = trained(tmp_path / "first", {"a": torch.zeros(2)}, averaged={"a": torch.ones(2)})
    second = trained(tmp_path / "second", {"a": torch.full((2,), 3.0)})
    call(monkeypatch, "--from", first, second, "--run", tmp_path / "mean")
    weights, _ = trained_weights(tmp_path / "mean", "conditioning")
    assert torch.equal(weights["a"], torch.full((2,), 2.0)) and trained_steps(tmp_path / "mean", "conditioning") == (5, 5)
    assert "0.5 of" in capsys.readouterr().out and not list((tmp_path / "mean" / "conditioning").glob("*.part"))
    with pytest.raises(SystemExit):
        call(monkeypatch, "--from", first, second, "--run", tmp_path / "mean")
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "said"), [(("--share", "1.5"), "expected 0 to 1"), ((), "holds no trained conditioning")])
def test_what_cannot_be_averaged_is_said_in_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    with pytest.raises(SystemExit):
        call(monkeypatch, "--from", trained(tmp_path / "one", {}), tmp_path / "none", "--run", tmp_path / "mean", *words)
    assert said in capsys.readouterr().err and not (tmp_path / "mean").exists()
