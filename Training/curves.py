"""How the phases went, as one picture: training loss and validation scores of each phase of a run folder.

    python -m Training.curves --run runs/small --output curves.png

The lines are those that TensorBoard shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")


import matplotlib.pyplot as plt
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from LDMSegLib.errors import InputError
from Training.checkpoints import WITHOUT
from Training.command import one_sentence, parser
from Training.configuration import PHASES

COLOURS = {"ET": "#d9a400", "TC": "#d03a2b", "WT": "#2f8f4e", "loss": "#3b6fb6"}
SMOOTHED = 9
"""Points of the training loss that are averaged; there is one every 25 steps."""

Curves = Mapping[str, list[tuple[int, float]]]
"""Scalar → [(step, value)], rising."""


def curves(folder: Path) -> Curves:
    """All scalars of a phase's folder. Of what was done twice, after a kill or from the beginning, the second time counts."""
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            points = [(event.step, event.value) for event in events.Scalars(tag)]
            name = tag.split("/", 1)[-1]
            found[name] = [point for point in found.get(name, []) if point[0] < points[0][0]] + points
    return found


def draw(run: Path, output: Path) -> None:
    """Write the picture, one panel for each phase that the run folder has, also for each fold's.

    Raises:
        InputError: it has none.
    """
    folders = [run / phase for phase in PHASES] + sorted(run.glob(f"*{WITHOUT}*"))
    phases = {folder.name: found for folder in folders if "loss" in (found := curves(folder))}
    if not phases:
        raise InputError(f"{run} holds no curves, expected the run folder of trained phases; give another --run")
    rows = (len(phases) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(11, 2.9 * rows), squeeze=False, layout="constrained")
    for axis, (phase, found) in zip(axes.flat, phases.items(), strict=False):
        _panel(axis, phase, found)
    for axis in axes.flat[len(phases) :]:
        axis.set_axis_off()
    figure.savefig(output, dpi=90)
    plt.close(figure)


def _panel(axis: plt.Axes, phase: str, found: Curves) -> None:
    dice = axis.twinx()
    steps, losses = (np.array(values, dtype=float) for values in zip(*found["loss"], strict=True))
    width = min(SMOOTHED, len(losses))
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    axis.plot(steps[width // 2 :][: len(smooth)], smooth, color="0.75", linewidth=1.0)
    if "validation_loss" in found:
        axis.plot(*zip(*found["validation_loss"], strict=True), color=COLOURS["loss"], marker=".", linewidth=1.2)
    scored = [region for region in ("ET", "TC", "WT") if f"validation_dice_{region}" in found]
    for region in scored:
        dice.plot(*zip(*found[f"validation_dice_{region}"], strict=True), color=COLOURS[region], marker=".", linewidth=1.2)
    axis.set_title(phase, loc="left", fontsize=10)
    axis.set_xlabel("steps", fontsize=8)
    axis.set_ylabel("loss: training (grey), validation (blue)", fontsize=7)
    axis.set_yscale("log")
    axis.tick_params(which="both", labelsize=7)
    if scored:
        dice.set_ylim(0.0, 1.0)
        dice.set_ylabel("validation Dice: ET yellow, TC red, WT green", fontsize=7)
        dice.tick_params(labelsize=7)
    else:
        dice.set_axis_off()


def main() -> None:
    """The command line."""
    command = parser(__doc__, "run")
    command.add_argument("--output", type=Path, required=True, help="the picture, .png")
    arguments = command.parse_args()
    with one_sentence():
        draw(arguments.run, arguments.output)
        print(arguments.output)


if __name__ == "__main__":
    main()
