"""The picture of how training went: what was stopped is joined, what began again stands beside it, what was copied is drawn once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from Training.curves import legs, main


def write(run: Path, phase: str, steps: range, value: float, suffix: str) -> None:
    with SummaryWriter(run / phase, filename_suffix=suffix) as writer:
        for step in steps:
            writer.add_scalar(f"{phase}/loss", value, step)
        writer.add_scalar(f"{phase}/validation_dice_WT", value / 10, steps[-1])


def test_a_run_that_was_stopped_and_went_on_is_one_leg_and_what_was_done_twice_counts_once(tmp_path):
    write(tmp_path / "a", "conditioning", range(25, 201, 25), 3.0, ".1")
    write(tmp_path / "a", "conditioning", range(150, 401, 25), 2.0, ".2")
    (leg,) = legs([tmp_path / "a"], "conditioning")
    assert [step for step, _ in leg.scalars["loss"]] == list(range(25, 401, 25)) and leg.steps == 400
    assert dict(leg.scalars["loss"])[125] == 3.0 and dict(leg.scalars["loss"])[150] == 2.0


def test_what_began_again_is_another_leg_and_a_copy_none(tmp_path):
    write(tmp_path / "a", "conditioning", range(25, 201, 25), 3.0, ".1")
    write(tmp_path / "a", "conditioning", range(25, 101, 25), 2.0, ".2")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    write(tmp_path / "b", "conditioning", range(25, 51, 25), 1.0, ".3")
    found = legs([tmp_path / "a", tmp_path / "b"], "conditioning")
    assert [(leg.name, leg.steps) for leg in found] == [("a", 200), ("a", 100), ("b", 50)]
    assert legs([tmp_path / "a"], "diffusion") == []


def test_a_picture_is_drawn_of_the_phases_there_are(tmp_path, monkeypatch):
    write(tmp_path / "a", "conditioning", range(25, 501, 25), 3.0, ".1")
    write(tmp_path / "a", "diffusion", range(25, 51, 25), 1.0, ".2")
    monkeypatch.setattr("sys.argv", ["curves", "--runs", str(tmp_path / "a"), "--output", str(tmp_path / "curves.png")])
    main()
    assert Image.open(tmp_path / "curves.png").size[0] > 500


def test_folders_without_curves_end_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["curves", "--runs", str(tmp_path), "--output", str(tmp_path / "curves.png")])
    with pytest.raises(SystemExit):
        main()
    assert "hold no curves, expected run folders of trained phases" in capsys.readouterr().err
