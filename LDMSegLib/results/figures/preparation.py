"""What was done to raw scans, one row of pictures a step, so that a step that failed is seen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from LDMSegLib.results.figures.planes import PLANES, Canonical, Cut
from LDMSegLib.results.provenance import RESEARCH_USE
from LDMSegLib.spatial.boxes import bounding_box

INK, FAINT, ALARM, OUTLINE = "#16202a", "#5d6b78", "#b3261e", "#ffb000"
_PICTURE, _TITLE, _HEAD, _FOOT = 2.1, 0.3, 0.5, 0.35  # inches


@dataclass(frozen=True, eq=False)
class StepPicture:
    """`image` (X, Y, Z) with `outline` (bool) drawn on it, both on the grid of `affine`; `measure` says how well it went."""

    title: str
    measure: str
    image: np.ndarray
    outline: np.ndarray
    affine: np.ndarray


def render_steps(steps: Sequence[StepPicture], case: str, dpi: int = 110) -> bytes:
    """Draw the page; returns a PNG."""
    width, height = 0.6 + 3 * (_PICTURE + 0.05), _HEAD + len(steps) * (_PICTURE + _TITLE) + _FOOT
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(
        0.3 / width,
        1 - 0.2 / height,
        f"Preparation of {case}",
        fontsize=min(12, 620 / (15 + len(case))),
        fontweight="bold",
        color=INK,
        va="center",
    )
    note = "The outline is the brain's and should follow it in every picture; that of a brain it is turned like fits only roughly."
    figure.text(0.3 / width, 1 - 0.4 / height, note, fontsize=7, color=FAINT, va="center")
    figure.text(0.3 / width, 0.17 / height, RESEARCH_USE, fontsize=7, fontweight="bold", color=ALARM, va="center")
    for row, step in enumerate(steps):
        bottom = height - _HEAD - (row + 1) * (_PICTURE + _TITLE)
        where = (bottom + _PICTURE + 0.4 * _TITLE) / height
        figure.text(0.3 / width, where, step.title, fontsize=8.5, fontweight="bold", color=INK, va="center")
        figure.text(1 - 0.3 / width, where, step.measure, fontsize=7.5, color=FAINT, va="center", ha="right")
        _row(figure, step, bottom, width, height)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, metadata={"Title": f"LDMSeg preparation {case}", "Description": RESEARCH_USE})
    return png.getvalue()


def _row(figure: Figure, step: StepPicture, bottom: float, width: float, height: float) -> None:
    canonical = Canonical(step.affine, step.image.shape)
    image, outline = canonical.turn(step.image), canonical.turn(step.outline)
    box = bounding_box(outline, [round(25 / s) for s in canonical.spacing]) or tuple(slice(0, n) for n in image.shape)
    shown = [(extent.start, extent.stop - 1) for extent in box]
    low, high = np.percentile(image[::3, ::3, ::1], (1, 99.5))
    for column, plane in enumerate(PLANES):
        cut = Cut(plane, sum(shown[plane.axis]) // 2, shown, canonical.spacing)
        left = 0.3 + column * (_PICTURE + 0.05)
        axes = figure.add_axes((left / width, bottom / height, _PICTURE / width, _PICTURE / height), facecolor="black")
        extent = (0, cut.size[0], 0, cut.size[1])
        axes.imshow(cut.of(image), cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower", extent=extent, aspect="equal")
        edge = cut.of(outline).astype(np.float32)
        if edge.any() and not edge.all() and min(edge.shape) > 1:
            rows, columns = edge.shape
            x, y = (np.arange(columns) + 0.5) * extent[1] / columns, (np.arange(rows) + 0.5) * extent[3] / rows
            axes.contour(x, y, edge, levels=[0.5], colors=OUTLINE, linewidths=0.8)
        axes.set_xticks([])
        axes.set_yticks([])
