"""The picture of how training went: what was stopped is joined, what was done twice is drawn once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from Training.curves import curves, main


def write(folder: Path, steps: range, value: float, suffix: str) -> None:
    with SummaryWriter(folder, filename_suffix=suffix) as writer:
        for step in steps:
            writer.add_scalar(f"{folder.name}/loss", value, step)
        writer.add_scalar(f"{folder.name}/validation_dice_WT", value / 10, steps[-1])


def call(monkeypatch, run: Path, output: Path) -> None:
    monkeypatch.setattr("sys.argv", ["curves", "--run", str(run), "--output", str(output)])
    main()


def test_what_was_stopped_goes_on_and_what_was_done_twice_after_a_kill_counts_once(tmp_path):
    folder = tmp_path / "conditioning"
    write(folder, range(25, 201, 25), 3.0, ".1")
    write(folder, range(150, 401, 25), 2.0, ".2")
    loss = curves(folder)["loss"]
    assert [step for step, _ in loss] == list(range(25, 401, 25))
    assert dict(loss)[125] == 3.0 and dict(loss)[150] == 2.0


def test_what_began_again_takes_the_place_of_what_was(tmp_path):
    folder = tmp_path / "conditioning"
    write(folder, range(25, 201, 25), 3.0, ".1")
    write(folder, range(25, 101, 25), 2.0, ".2")
    assert curves(folder)["loss"] == [(step, 2.0) for step in range(25, 101, 25)]
    assert curves(tmp_path / "diffusion") == {}


def test_a_picture_is_drawn_of_the_phases_and_folds_there_are(tmp_path, monkeypatch):
    sizes = []
    for name in ("conditioning", "diffusion", "conditioning_without_0"):
        write(tmp_path / name, range(25, 501, 25), 3.0, ".1")
        call(monkeypatch, tmp_path, tmp_path / "curves.png")
        sizes.append(Image.open(tmp_path / "curves.png").size)
    assert sizes[0] == sizes[1] and sizes[0][0] > 500 and sizes[2][1] > 1.5 * sizes[1][1], "two panels a row"


def test_a_folder_without_curves_ends_in_a_sentence(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(monkeypatch, tmp_path, tmp_path / "curves.png")
    assert "holds no curves, expected the run folder of trained phases" in capsys.readouterr().err
