"""New masks at a glance: three planes through each, side by side on one page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from LDMSegLib.results.figures.planes import PLANES, Canonical, Cut
from LDMSegLib.results.provenance import RESEARCH_USE
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.specification import Label

MOST = 24
COLUMNS = 2
BRAIN_GREY = 0.2
_PICTURE, _TITLE, _HEAD, _FOOT = 1.25, 0.22, 0.55, 0.35  # inches
INK, FAINT, SYNTHETIC, ALARM = "#16202a", "#5d6b78", "#6a3fa0", "#b3261e"


@dataclass(frozen=True, eq=False)
class Tile:
    """A mask's three pictures, each (rows from below, columns, 3) in 0 to 1 with its width and height in mm."""

    title: str
    pictures: tuple[tuple[np.ndarray, tuple[float, float]], ...]


def make_tile(
    title: str,
    label_map: np.ndarray,
    affine: np.ndarray,
    labels: tuple[Label, ...],
    image: np.ndarray | None = None,
    brain: np.ndarray | None = None,
) -> Tile:
    """Cut a label map where each plane meets most of it.

    Args:
        title: what stands above it.
        label_map: (X, Y, Z) in the labels' own values, not empty.
        affine: (4, 4), voxel to world RAS in mm.
        labels: for their colours.
        image: (X, Y, Z), shown below in grey.
        brain: (X, Y, Z) bool, without an image shown below in dark grey: where in a head the mask lies.
    """
    canonical = Canonical(affine, label_map.shape)
    turned = canonical.turn(label_map)
    below = image if image is not None else brain
    grey = np.zeros_like(turned, dtype=np.float32) if below is None else canonical.turn(below.astype(np.float32))
    top = max(float(np.percentile(grey[grey != 0], 99.5)) if grey.any() else 0.0, 1e-6)
    if image is None:
        top /= BRAIN_GREY
    colours = np.zeros((256, 3), np.float32)
    for label in labels:
        colours[label.value] = np.asarray(label.color) / 255.0
    shown = bounding_box((turned > 0) | (grey != 0), margin=4) if below is not None else [slice(0, n) for n in turned.shape]
    box = [(extent.start, extent.stop - 1) for extent in shown]
    pictures = []
    for plane in PLANES:
        areas = np.count_nonzero(turned, axis=tuple(a for a in range(3) if a != plane.axis))
        cut = Cut(plane, int(areas.argmax()), box, canonical.spacing)
        under, marked = np.clip(cut.of(grey) / top, 0.0, 1.0), cut.of(turned)
        pictures.append((np.where(marked[..., None] > 0, colours[marked], under[..., None].astype(np.float32)), cut.size))
    return Tile(title, tuple(pictures))


def render_montage(tiles: Sequence[Tile], heading: str, note: str, dpi: int = 150) -> bytes:
    """Draw up to `MOST` masks.

    Returns:
        A PNG.
    """
    tiles = tiles[:MOST]
    rows = math.ceil(len(tiles) / COLUMNS)
    strip = _PICTURE * len(PLANES)
    width, height = 0.5 + COLUMNS * (strip + 0.25), _HEAD + rows * (_PICTURE + _TITLE + 0.08) + _FOOT
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.3 / width, 1 - 0.22 / height, heading, fontsize=12, fontweight="bold", color=SYNTHETIC, va="center")
    figure.text(0.3 / width, 1 - 0.43 / height, note, fontsize=7, color=FAINT, va="center")
    figure.text(0.3 / width, 0.17 / height, RESEARCH_USE, fontsize=7, fontweight="bold", color=ALARM, va="center")
    for index, tile in enumerate(tiles):
        row, column = divmod(index, COLUMNS)
        left = 0.3 + column * (strip + 0.25)
        bottom = height - _HEAD - (row + 1) * (_PICTURE + _TITLE + 0.08)
        figure.text(left / width, (bottom + _PICTURE + 0.5 * _TITLE) / height, tile.title, fontsize=7.5, color=INK, va="center")
        for k, (picture, (across, up)) in enumerate(tile.pictures):
            axes = figure.add_axes(((left + k * _PICTURE) / width, bottom / height, _PICTURE / width, _PICTURE / height))
            axes.set_facecolor("black")
            axes.imshow(picture, origin="lower", extent=(0, across, 0, up), interpolation="nearest", aspect="equal")
            side = max(across, up)
            axes.set_xlim((across - side) / 2, (across + side) / 2)
            axes.set_ylim((up - side) / 2, (up + side) / 2)
            axes.set_xticks([])
            axes.set_yticks([])
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, metadata={"Title": heading, "Description": RESEARCH_USE})
    return png.getvalue()
