"""How the phases went, as one picture: training loss and validation scores of each, through all run folders that led to a bundle.

    python -m Training.curves --runs runs/narrow runs/small runs/again ... --output curves.png

The folders are given in the order in which they were trained; where one holds what another has learnt (`cp -r`), it is drawn once.
The lines are those that TensorBoard shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import itertools

import matplotlib.pyplot as plt
import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from LDMSegLib.errors import InputError
from Training.command import one_sentence

PHASES = ("autoencoder", "decoder", "diffusion", "conditioning", "controlnet", "distillation")
COLOURS = {"ET": "#d9a400", "TC": "#d03a2b", "WT": "#2f8f4e", "loss": "#3b6fb6"}
SMOOTHED = 9
"""Points of the training loss that are averaged; there is one every 25 steps."""


@dataclass
class Leg:
    """From one fresh learning rate to the end or to the next: what it is called, and scalar → [(step, value)], rising."""

    name: str
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """The last step that it recorded."""
        return max((points[-1][0] for points in self.scalars.values()), default=0)


def legs(runs: Sequence[Path], phase: str) -> list[Leg]:
    """All legs of a phase, in the order of the runs, each event file once.

    A run that was stopped and went on is one leg; of what was done twice after a kill, the second time counts. One that began again at
    its first steps is another leg.
    """
    found: list[Leg] = []
    seen: set[str] = set()
    for run in runs:
        files = sorted((run / phase).glob("events.out.tfevents.*"))
        fresh = True
        for file in files:
            if file.name in seen:
                continue
            seen.add(file.name)
            read = _scalars(file)
            if not read:
                continue
            begins = min(points[0][0] for points in read.values())
            every = min((b - a for points in read.values() for (a, _), (b, _) in itertools.pairwise(points)), default=begins)
            if fresh or begins <= every:
                found.append(Leg(run.name))
                fresh = False
            for name, points in read.items():
                kept = [point for point in found[-1].scalars.get(name, []) if point[0] < points[0][0]]
                found[-1].scalars[name] = kept + points
    return found


def _scalars(file: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(file), size_guidance={"scalars": 0})
    events.Reload()
    return {tag.split("/", 1)[-1]: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def draw(runs: Sequence[Path], output: Path) -> None:
    """Write the picture, one panel for each phase that any of the runs has.

    Raises:
        InputError: none has any.
    """
    phases = {phase: found for phase in PHASES if (found := legs(runs, phase))}
    if not phases:
        raise InputError(f"{', '.join(map(str, runs))} hold no curves, expected run folders of trained phases; give others")
    rows = (len(phases) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(11, 2.9 * rows), squeeze=False, layout="constrained")
    for axis, (phase, found) in zip(axes.flat, phases.items(), strict=False):
        _panel(axis, phase, found)
    for axis in axes.flat[len(phases) :]:
        axis.set_axis_off()
    figure.savefig(output, dpi=90)
    plt.close(figure)


def _panel(axis: plt.Axes, phase: str, found: list[Leg]) -> None:
    dice, begin, named = axis.twinx(), 0, set()
    for leg in found:
        steps, losses = (np.array(values, dtype=float) for values in zip(*leg.scalars["loss"], strict=True))
        width = min(SMOOTHED, len(losses))
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        axis.plot(begin + steps[width // 2 :][: len(smooth)], smooth, color="0.75", linewidth=1.0)
        if "validation_loss" in leg.scalars:
            axis.plot(*_points(leg, "validation_loss", begin), color=COLOURS["loss"], marker=".", linewidth=1.2)
        for region in ("ET", "TC", "WT"):
            if f"validation_dice_{region}" in leg.scalars:
                dice.plot(*_points(leg, f"validation_dice_{region}", begin), color=COLOURS[region], marker=".", linewidth=1.2)
        if begin:
            axis.axvline(begin, color="0.85", linewidth=0.8)
        if len(found) > 1 and leg.name not in named:
            named.add(leg.name)
            # A short last run has no room for its name at its right.
            short = leg is found[-1] and leg.steps < 0.1 * sum(each.steps for each in found)
            offset, side = ((-2, -10), "right") if short else ((2, -2), "left")
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top", "ha": side}
            axis.annotate(leg.name, (begin, 1.0), offset, fontsize=7, **where)
        begin += leg.steps
    axis.set_title(phase, loc="left", fontsize=10)
    axis.set_xlabel("steps", fontsize=8)
    axis.set_ylabel("loss: training (grey), validation (blue)", fontsize=7)
    axis.set_yscale("log")
    axis.tick_params(which="both", labelsize=7)
    if any(name.startswith("validation_dice") for leg in found for name in leg.scalars):
        dice.set_ylim(0.0, 1.0)
        dice.set_ylabel("validation Dice: ET yellow, TC red, WT green", fontsize=7)
        dice.tick_params(labelsize=7)
    else:
        dice.set_axis_off()


def _points(leg: Leg, name: str, begin: int) -> tuple[np.ndarray, np.ndarray]:
    steps, values = zip(*leg.scalars[name], strict=True)
    return begin + np.array(steps), np.array(values)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run folders, in the order in which they were trained")
    parser.add_argument("--output", type=Path, required=True, help="the picture, .png")
    arguments = parser.parse_args()
    with one_sentence():
        draw(arguments.runs, arguments.output)
        print(arguments.output)


if __name__ == "__main__":
    main()
