"""Where the model fails, as pictures: each case's slice with the most wrong voxels, the worst case first.

    python -m Testing.benchmarks.worst_cases -o FOLDER [--bundle B] [--mode M] [--cases ID ...] [--members N]

The pictures show patients: they are written where you say, and are no part of the repository. A row holds the T1c and the
FLAIR with the truth's outlines (dashed) and the result's (drawn), and the variance of the whole tumour in the brain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.results.provenance import RESEARCH_USE
from LDMSegLib.specification import Region
from Testing.benchmarks.common import labelled_cases, load_model, parser
from Testing.benchmarks.real_data import validation_folders


@dataclass(frozen=True, eq=False)
class Row:
    """One case's slice: grey images and variance (X, Y), masks (R, X, Y)."""

    name: str
    scores: tuple[float, ...]
    images: tuple[np.ndarray, ...]
    variance: np.ndarray
    found: np.ndarray
    expected: np.ndarray


def main() -> None:
    command = parser(__doc__, "mode", "members", "seed", "cases")
    command.add_argument("-o", "--output", type=Path, required=True)
    arguments = command.parse_args()
    model = load_model(arguments)
    spec = model.specification
    rows = []
    for case, expected in labelled_cases(validation_folders(tuple(arguments.cases)), spec):
        result = segment(case, model, Settings(arguments.seed))
        found = result.masks()
        z = int((found != expected).sum(axis=(0, 1, 2)).argmax())
        rows.append(
            Row(
                name=case.id,
                scores=tuple(dice(a, b) for a, b in zip(found, expected, strict=True)),
                images=tuple(case.volumes[name].array[:, :, z] for name in ("t1c", "t2f")),
                variance=result.variance[-1][:, :, z],
                found=found[..., z],
                expected=expected[..., z],
            )
        )
    rows.sort(key=lambda row: np.mean(row.scores))
    arguments.output.mkdir(parents=True, exist_ok=True)
    target = arguments.output / f"worst_cases_{model.bundle.name}.png"
    drawn(rows, spec.regions).savefig(target, dpi=130)
    for row in rows:
        print(row.name, "  ".join(f"{region.name} {score:.3f}" for region, score in zip(spec.regions, row.scores, strict=True)))
    print(target)


def drawn(rows: list[Row], regions: tuple[Region, ...]) -> Figure:
    """Worst first, three pictures each; the slice is shown with x to the right and y upwards, as stored."""
    figure = Figure(figsize=(9, 3.2 * len(rows) + 0.5), facecolor="black")
    axes = figure.subplots(len(rows), 3, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        pictures = [(image, "gray", float(np.percentile(image, 99.5))) for image in row.images] + [(row.variance, "inferno", 0.25)]
        for ax, (picture, colours, top) in zip(line, pictures, strict=True):
            ax.imshow(picture.T, cmap=colours, vmin=0, vmax=max(top, 1e-6), origin="lower")
            for masks, style in ((row.expected, "dashed"), (row.found, "solid")):
                for mask, region in zip(masks, regions, strict=True):
                    if mask.any() and not mask.all():
                        colour = np.asarray(region.color) / 255
                        ax.contour(mask.T, levels=[0.5], colors=[colour], linewidths=0.9, linestyles=style)
            ax.set_axis_off()
        scores = "  ".join(f"{region.name} {score:.2f}" for region, score in zip(regions, row.scores, strict=True))
        line[0].set_title(f"{row.name}   Dice {scores}", color="white", fontsize=9, loc="left")
    figure.text(0.02, 0.005, RESEARCH_USE, color="white", fontsize=7)
    figure.subplots_adjust(0.01, 0.02, 0.99, 0.97, 0.02, 0.1)
    return figure


if __name__ == "__main__":
    main()
