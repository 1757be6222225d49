"""One page that a radiologist can read: where the lesion is, how large, and where the ensemble doubts itself.

Three planes through the largest cross-sections, shown in the radiological convention (the patient's right on the
left of axial and coronal views), in the volumes' own axes brought to the nearest RAS order, with true proportions.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from LDMSegLib.postprocessing.uncertainty import HIGHEST_P, LOWEST_P
from LDMSegLib.results.figures.planes import PLANES, Canonical, Cut, Plane
from LDMSegLib.results.provenance import RESEARCH_USE
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.sequences.identified import lines_of

PAGE_INCHES = (8.27, 11.69)
DPI = 200

PLACES = 5
"""How many doubted places are shown."""

INK, FAINT, RULE = "#16202a", "#5d6b78", "#d5dbe1"
ALARM, SYNTHETIC, NOTE = "#b3261e", "#6a3fa0", "#8a5a00"

_VOLUMES_HEIGHT, _VOLUME_ROW, _PLACES_HEIGHT, _NO_PLACES_HEIGHT, _FOOTER_HEIGHT = 0.54, 0.205, 1.93, 0.25, 0.62
_WARNING_LINES = 8
_INPUT_LINES = 12
_NAME_SIZES, _BESIDE_TITLE = (9.0, 17.0), 0.25

_PROBABILITY = LinearSegmentedColormap.from_list("probability", ["#1b2a6b", "#2f6fb5", "#4fc3c7", "#c8e87a", "#fff4b0"])
_VARIANCE = LinearSegmentedColormap.from_list("variance", ["#3b0f52", "#8c1f6b", "#d9434e", "#f9933e", "#fdf0a0"])


@dataclass(frozen=True)
class ReportImage:
    """An image shown under the contours: `array` (X, Y, Z) on the segmentation's grid."""

    title: str
    array: np.ndarray


def render_report(
    segmentation: Segmentation,
    images: Sequence[ReportImage],
    bundle: str,
    case: str = "",
    synthetic: bool = False,
    details: str = "",
    prepared: bool = False,
    map_region: str | None = None,
    dpi: int = DPI,
) -> bytes:
    """Draw the report.

    Args:
        segmentation: The result.
        images: One or two images on its grid: the reference sequence and one more.
        bundle: Name (and version) of the bundle.
        case: Name of the case.
        synthetic: The input is not a patient; said loudly.
        details: One line on how it was made, e.g. "fast: 10 members x 8 steps, seed 1, CPU, 34 s".
        prepared: The images were raw and prepared; says where the pictures of that are.
        map_region: Region whose probability is mapped; by default the one with the most labels.
        dpi: Resolution; the page is A4.

    Returns:
        A PNG.

    Raises:
        ValueError: No image, more than two, or one that is not on the segmentation's grid.
    """
    shape = segmentation.label_map.shape
    if not 1 <= len(images) <= 2 or any(image.array.shape != shape for image in images):
        raise ValueError(f"images of shapes {[i.array.shape for i in images]} given, expected one or two of shape {shape}")
    view = _View(segmentation, images, map_region)
    figure = Figure(figsize=PAGE_INCHES, dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    warnings = _warning_lines(figure, segmentation.warnings)
    used = _input_lines(figure, segmentation.provenance.get("identification", {}))
    needed = (
        *(0.22, _VOLUMES_HEIGHT + _VOLUME_ROW * len(segmentation.regions)),
        *(0.20, _PLACES_HEIGHT if view.places else _NO_PLACES_HEIGHT),
        *((0.20 + 0.14 * len(warnings)) if warnings else 0.0, (0.06 + 0.115 * len(used)) if used else 0.0, _FOOTER_HEIGHT),
    )
    y = _header(figure, segmentation, bundle, case, synthetic, details, prepared)
    y = _pictures(figure, view, y, sum(needed))
    _rule(figure, y)
    y = _volumes(figure, segmentation, view, y - needed[0])
    _rule(figure, y)
    y = _places(figure, view, y - needed[2])
    _inputs(figure, used, _warnings(figure, warnings, y))
    _footer(figure, view)
    png = io.BytesIO()
    figure.savefig(
        png,
        format="png",
        dpi=dpi,
        pil_kwargs={"compress_level": 4},
        metadata={"Title": f"LDMSeg report {case}".strip(), "Description": RESEARCH_USE},
    )
    return png.getvalue()


class _View:
    """What to show of a segmentation: its volumes in canonical order and the places to cut them."""

    def __init__(self, segmentation: Segmentation, images: Sequence[ReportImage], map_region: str | None) -> None:
        self.canonical = canonical = Canonical(segmentation.affine, segmentation.label_map.shape)
        self.spacing = canonical.spacing
        self.regions = segmentation.regions
        self.threshold = segmentation.threshold
        self.images = [(image.title, canonical.turn(image.array)) for image in images]
        self.masks = [canonical.turn(mask) for mask in segmentation.masks()]
        self.probabilities = [canonical.turn(p) for p in segmentation.probabilities]
        self.variances = [canonical.turn(v) for v in segmentation.variance]
        sizes = [len(region.labels) for region in self.regions]
        names = [region.name for region in self.regions]
        self.mapped = names.index(map_region) if map_region in names else int(np.argmax(sizes))
        self.anything = np.any(self.masks, axis=0)
        self.empty = not self.anything.any()
        self.center = self._center()
        self.box = self._box()
        self.windows = [_window(array) for _, array in self.images]
        self.variance_top = self._variance_top()
        self.places = [(place, canonical.voxel(place.voxel)) for place in segmentation.uncertain_regions[:PLACES]]

    def _center(self) -> tuple[int, ...]:
        """Per axis, the slice with the largest cross-section of the regions, else the middle of the head."""
        if not self.empty:
            return tuple(_middle_of_largest(_areas(self.anything, axis)) for axis in range(3))
        head = self.images[0][1] != 0
        if not head.any():
            return tuple(n // 2 for n in head.shape)
        return tuple(int(np.median(np.flatnonzero(_areas(head, axis)))) for axis in range(3))

    def _box(self) -> list[tuple[int, int]]:
        """What every plane shows: the head with a margin of 8 mm."""
        array = self.images[0][1]
        shown = (array > array.min()) | self.anything
        box = []
        for axis, size in enumerate(array.shape):
            line = np.flatnonzero(_areas(shown, axis))
            margin = math.ceil(8 / self.spacing[axis])
            low, high = (int(line[0]), int(line[-1])) if line.size else (0, size - 1)
            box.append((max(low - margin, 0), min(high + margin, size - 1)))
        return box

    def _variance_top(self) -> float:
        """Brightest colour of the variance: the 99.5th percentile of where there is any, at least 0.02."""
        highest = 0.02
        for variance in self.variances:
            seen = variance[variance > 1e-3]
            if seen.size:
                highest = max(highest, float(np.percentile(seen[:: max(1, seen.size // 100_000)], 99.5)))
        return math.ceil(highest * 100) / 100

    def cut(self, plane: Plane) -> Cut:
        """The slice through the largest cross-section."""
        return Cut(plane, self.center[plane.axis], self.box, self.spacing)

    def close_up(self, voxel: Sequence[int], across_mm: float, up_mm: float) -> Cut:
        """The axial surroundings of a voxel; cut off where the volume ends."""
        box = []
        for axis, size in enumerate(self.anything.shape):
            half = max(1, round((across_mm if axis == 0 else up_mm) / 2 / self.spacing[axis]))
            box.append((max(voxel[axis] - half, 0), min(voxel[axis] + half, size - 1)))
        return Cut(PLANES[0], voxel[2], box, self.spacing)


def _areas(mask: np.ndarray, axis: int) -> np.ndarray:
    return np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis))


def _middle_of_largest(areas: np.ndarray) -> int:
    best = np.flatnonzero(areas == areas.max())
    return int(best[len(best) // 2])


def _window(array: np.ndarray) -> tuple[float, float]:
    step = max(1, round((array.size / 300_000) ** (1 / 3)))  # a sample is enough for percentiles
    array = array[::step, ::step, ::step]
    head = array[array > array.min()]
    head = head[np.isfinite(head)]
    if head.size == 0:
        return 0.0, 1.0
    low, high = (float(x) for x in np.percentile(head, (1, 99.6)))
    return (min(low, 0.0) if array.min() >= 0 else low), max(high, low + 1e-6)


# The page, in inches from its lower left corner.


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    w, h = PAGE_INCHES
    axes = figure.add_axes((left / w, bottom / h, width / w, height / h))
    axes.set_axis_off()
    return axes


def _text(figure: Figure, x: float, y: float, text: str, size: float, color: str = INK, weight: str = "normal", align: str = "left"):
    w, h = PAGE_INCHES
    return figure.text(x / w, y / h, text, fontsize=size, color=color, fontweight=weight, ha=align, va="center", family="DejaVu Sans")


def _rule(figure: Figure, y: float) -> None:
    w, h = PAGE_INCHES
    figure.add_artist(Rectangle((0.45 / w, y / h), (w - 0.9) / w, 0.008 / h, color=RULE, transform=figure.transFigure))


def _banner(figure: Figure, y: float, text: str, color: str) -> float:
    w, h = PAGE_INCHES
    box = FancyBboxPatch(
        (0.45 / w, (y - 0.27) / h),
        (w - 0.9) / w,
        0.27 / h,
        boxstyle="square,pad=0",
        facecolor=color,
        edgecolor="none",
        transform=figure.transFigure,
    )
    figure.add_artist(box)
    _text(figure, w / 2, y - 0.14, text, 9.5, "white", "bold", "center")
    return y - 0.33


def _header(figure: Figure, segmentation: Segmentation, bundle: str, case: str, synthetic: bool, details: str, prepared: bool) -> float:
    w, h = PAGE_INCHES
    members = f"{segmentation.members_finished} of {segmentation.members_requested} members"
    right = (
        _text(figure, w - 0.45, h - 0.43, f"LDMSeg · {bundle}", 9, INK, "bold", "right"),
        _text(figure, w - 0.45, h - 0.60, " · ".join(part for part in (members, details) if part), 7.5, FAINT, "normal", "right"),
    )
    _case_name(figure, case or "Segmentation", w - 0.9 - max(_width(figure, text) for text in right) - _BESIDE_TITLE)
    y = h - 0.78
    if prepared:
        where = "These images were prepared from raw scans; preparation.png shows each step: look at it before using the result."
        _text(figure, 0.45, y - 0.02, where, 7.5, NOTE)
        y -= 0.17
    if segmentation.partial:
        seen = f", in {segmentation.views} of {segmentation.views_requested} views" if segmentation.views_requested > 1 else ""
        text = f"PARTIAL RESULT — only {members} finished{seen}; the maps and volumes rest on these alone"
        y = _banner(figure, y, text, ALARM)
    if synthetic:
        y = _banner(figure, y, "SYNTHETIC INPUT — a computed image, not a patient", SYNTHETIC)
    return y


def _case_name(figure: Figure, name: str, width: float) -> None:
    """The name in at most `width` inches: smaller where it is long, and without its middle where that is not enough."""
    artist = _text(figure, 0.45, PAGE_INCHES[1] - 0.50, name, _NAME_SIZES[1], INK, "bold")
    artist.set_fontsize(max(_NAME_SIZES[0], min(_NAME_SIZES[1], _NAME_SIZES[1] * width / _width(figure, artist))))
    kept = len(name)
    while _width(figure, artist) > width and kept > 2:
        kept -= 1
        artist.set_text(f"{name[: (kept + 1) // 2]}…{name[-(kept // 2) :]}")


def _pictures(figure: Figure, view: _View, top: float, needed_below: float) -> float:
    """Three rows of planes, up to four columns; returns where the space below begins."""
    w, _ = PAGE_INCHES
    columns = [("image", i) for i in range(len(view.images))] + [("probability", 0), ("variance", 0)]
    left, right, gap, title, bars = 0.70, 0.45, 0.05, 0.22, 0.44
    width = (w - left - right - gap * (len(columns) - 1)) / len(columns)
    cuts = [view.cut(plane) for plane in PLANES]
    heights = [width * min(cut.size[1] / cut.size[0], 1.3) for cut in cuts]
    available = top - needed_below - title - bars - 2 * gap
    heights = [height * min(1.0, available / sum(heights)) for height in heights]

    titles = [name for name, _ in view.images]
    titles += [f"Probability of {view.regions[view.mapped].name}", "Variance" if len(view.regions) == 1 else "Variance, highest region"]
    for c, text in enumerate(titles):
        _text(figure, left + c * (width + gap) + width / 2, top - title / 2, text, 8, INK, "bold", "center")
    y = top - title + gap
    for cut, height in zip(cuts, heights, strict=True):
        y -= height + gap
        _text(figure, 0.54, y + height / 2, cut.plane.name, 8, FAINT, "bold", "center").set_rotation(90)
        for c, (kind, i) in enumerate(columns):
            axes = _axes(figure, left + c * (width + gap), y, width, height)
            box = _panel(axes, cut, height / width)
            _picture(axes, view, cut, kind, i)
            if c == 0:
                _letters(axes, cut.plane, box)
    for c, (kind, _) in enumerate(columns):
        x = left + c * (width + gap)
        if kind == "probability":
            _colour_bar(figure, x, y, width, _PROBABILITY, (0.0, 1.0), [0, 0.25, 0.5, 0.75, 1])
        elif kind == "variance":
            highest = view.variance_top
            _colour_bar(figure, x, y, width, _VARIANCE, (0.0, highest), [0, highest / 2, highest])
    _legend(figure, view, left, y - 0.17)
    return y - bars


def _panel(axes: Axes, cut: Cut, aspect: float) -> tuple[float, float, float, float]:
    """Black around a picture of true proportions; returns the panel's x, y, width and height in the picture's mm."""
    across, up = cut.size
    width, height = max(across, up / aspect), max(up, across * aspect)
    x, y = (across - width) / 2, (up - height) / 2
    axes.set_xlim(x, x + width)
    axes.set_ylim(y, y + height)
    axes.add_patch(Rectangle((x, y), width, height, color="black", zorder=0))
    return x, y, width, height


def _picture(axes: Axes, view: _View, cut: Cut, kind: str, i: int) -> None:
    shown = i if kind == "image" else 0
    low, high = view.windows[shown]
    if kind != "image":
        high = low + (high - low) * 1.7  # dimmed under a map
    grey = cut.of(view.images[shown][1]).astype(np.float32)
    axes.imshow(
        grey, cmap="gray", vmin=low, vmax=high, extent=_extent(cut), origin="lower", interpolation="bilinear", aspect="auto", zorder=1
    )
    if kind == "image":
        _contours(axes, view, cut)
    elif kind == "probability":
        _overlay(axes, cut, cut.of(view.probabilities[view.mapped]), _PROBABILITY, 1.0)
    else:
        _overlay(axes, cut, np.max([cut.of(variance) for variance in view.variances], axis=0), _VARIANCE, view.variance_top)
        _markers(axes, view, cut)


def _extent(cut: Cut) -> tuple[float, float, float, float]:
    return 0.0, cut.size[0], 0.0, cut.size[1]


def _overlay(axes: Axes, cut: Cut, values: np.ndarray, colours: Colormap, top: float) -> None:
    share = np.clip(values / top, 0, 1)
    rgba = colours(share)
    rgba[..., 3] = np.clip((share - 0.02) / 0.13, 0, 1) * 0.92  # nothing where there is nothing
    axes.imshow(rgba, extent=_extent(cut), origin="lower", interpolation="bilinear", aspect="auto", zorder=2)


def _contours(axes: Axes, view: _View, cut: Cut) -> None:
    """Regions' outlines, outer ones wider and below, so that both colours show where two coincide."""
    order = sorted(range(len(view.regions)), key=lambda r: len(view.regions[r].labels))
    for rank, r in enumerate(order):
        mask = cut.of(view.masks[r])
        if not mask.any() or min(mask.shape) < 2:
            continue
        # the probability gives a smooth line; where the label map differs from it, the label map is what counts
        p = cut.of(view.probabilities[r]).astype(np.float64)
        t = view.threshold
        p = np.where(mask, np.maximum(p, t + 0.02), np.minimum(p, t - 0.02))
        x, y = _centres(cut, mask.shape)
        width = 0.7 + 0.4 * min(rank, 3)
        for under in (True, False):
            lines = {"linewidths": width + 0.7, "colors": "black", "zorder": 3} if under else {"linewidths": width, "zorder": 10 - rank}
            axes.contour(x, y, p, levels=[t], **({"colors": [_colour(view.regions[r].color)]} | lines))


def _doubt(axes: Axes, view: _View, cut: Cut, region: str) -> None:
    """Where one region's probability passes from doubt to certainty on either side."""
    p = cut.of(view.probabilities[[r.name for r in view.regions].index(region)])
    if min(p.shape) < 2:
        return
    x, y = _centres(cut, p.shape)
    levels = [level for level in (LOWEST_P, HIGHEST_P) if p.min() < level < p.max()]
    if levels:
        axes.contour(x, y, p, levels=levels, colors="white", linewidths=0.6, linestyles=[(0, (2.5, 1.5))], zorder=11)


def _centres(cut: Cut, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Positions in mm of the columns' and rows' voxel centres."""
    rows, columns = shape
    return (np.arange(columns) + 0.5) * cut.size[0] / columns, (np.arange(rows) + 0.5) * cut.size[1] / rows


def _markers(axes: Axes, view: _View, cut: Cut) -> None:
    """Numbers of the listed places that lie within 5 mm of the plane."""
    axis = cut.plane.axis
    reach = max(5.0, float(view.spacing[axis]))
    for place, voxel in view.places:
        if abs(voxel[axis] - cut.index) * view.spacing[axis] > reach:
            continue
        x, y = cut.point(voxel)
        axes.plot(x, y, "o", ms=8, mfc="#000000aa", mec="white", mew=0.7, zorder=12)
        axes.text(x, y, str(place.rank), fontsize=5.5, color="white", ha="center", va="center_baseline", fontweight="bold", zorder=13)


def _letters(axes: Axes, plane: Plane, box: tuple[float, float, float, float]) -> None:
    x, y, width, height = box
    left, right, top, bottom = plane.letters
    inset = 0.045 * width
    for text, px, py in (
        (left, x + inset, y + height / 2),
        (right, x + width - inset, y + height / 2),
        (top, x + width / 2, y + height - inset),
        (bottom, x + width / 2, y + inset),
    ):
        artist = axes.text(px, py, text, fontsize=7, color="white", ha="center", va="center", fontweight="bold", zorder=14)
        artist.set_path_effects([effects.withStroke(linewidth=1.6, foreground="black")])


def _colour_bar(
    figure: Figure, x: float, y: float, width: float, colours: Colormap, limits: tuple[float, float], ticks: Sequence[float]
) -> None:
    w, h = PAGE_INCHES
    axes = figure.add_axes(((x + 0.12) / w, (y - 0.17) / h, (width - 0.24) / w, 0.09 / h))
    bar = figure.colorbar(ScalarMappable(Normalize(*limits), colours), cax=axes, orientation="horizontal", ticks=list(ticks))
    bar.outline.set_visible(False)
    bar.ax.set_xticklabels([f"{tick:.3g}" for tick in ticks])
    bar.ax.tick_params(labelsize=6, length=2, width=0.5, color=FAINT, labelcolor=FAINT, pad=1.5)


def _legend(figure: Figure, view: _View, x: float, y: float) -> None:
    for region in sorted(view.regions, key=lambda region: -len(region.labels)):
        _swatch(figure, x, y, region.color)
        name = region.title if region.title.lower() != region.name.lower() else ""
        artist = _text(figure, x + 0.16, y, f"{region.name}  {name}".strip(), 7, INK)
        x += 0.16 + _width(figure, artist) + 0.18


def _volumes(figure: Figure, segmentation: Segmentation, view: _View, y: float) -> float:
    w, _ = PAGE_INCHES
    _text(figure, 0.45, y, "Volumes", 10, INK, "bold")
    if view.empty:
        _text(figure, 1.30, y, f"— nothing found at or above the threshold of {segmentation.threshold:g}", 9, ALARM, "bold")
    edges = (2.75, 3.60, 4.65, 5.85)  # right edges of the columns; the drawing of the spread takes the rest
    y -= 0.20
    for text, edge in zip(("Result", "Expected", "Mean ± SD", "Spread"), edges, strict=True):
        _text(figure, edge, y, f"{text} (mL)", 7, FAINT, "normal", "right")
    left, right = 6.10, w - 0.45
    _text(figure, (left + right) / 2, y, "members: range, spread, mean  ◆ result", 6, FAINT, "normal", "center")
    top = max([1e-6] + [max(v.ensemble, 0.0 if math.isnan(v.highest) else v.highest) for v in segmentation.volumes])
    by_name = {volume.region: volume for volume in segmentation.volumes}
    for region in sorted(segmentation.regions, key=lambda region: -len(region.labels)):
        y -= _VOLUME_ROW
        _swatch(figure, 0.45, y, region.color)
        _text(figure, 0.61, y, region.name, 8.5, INK, "bold")
        volume = by_name.get(region.name)
        if volume is None:
            continue
        spread = "—" if volume.members < 2 else f"{_ml(volume.spread_low)} – {_ml(volume.spread_high)}"
        mean = "—" if volume.members < 2 else f"{_ml(volume.mean)} ± {_ml(volume.sd)}"
        cells = (_ml(volume.ensemble), _ml(volume.expected), mean, spread)
        for k, (text, edge) in enumerate(zip(cells, edges, strict=True)):
            _text(figure, edge, y, text, 8.5, INK, "bold" if k == 0 else "normal", "right")
        axes = _axes(figure, left, y - 0.09, right - left, 0.18)
        axes.set_xlim(-0.03 * top, 1.03 * top)
        axes.set_ylim(-1, 1)
        axes.plot([0, top], [0, 0], color=RULE, lw=0.8, zorder=0)
        if volume.members > 1:
            axes.plot([volume.lowest, volume.highest], [0, 0], color=INK, lw=0.9, zorder=1)
            axes.plot([volume.spread_low, volume.spread_high], [0, 0], color=_colour(region.color), lw=5, solid_capstyle="butt", zorder=2)
            axes.plot([volume.mean] * 2, [-0.75, 0.75], color=INK, lw=1.0, zorder=3)
        axes.plot(volume.ensemble, 0, marker="D", ms=3.6, color=INK, mec="white", mew=0.5, zorder=4)
    note = (
        "Result: the label map. Expected: sum of probabilities. Spread: 2.5th to 97.5th percentile of the members' own volumes; "
        "it shows how far they disagree and is not a confidence interval."
    )
    _text(figure, 0.45, y - 0.19, note, 5.9, FAINT)
    return y - 0.34


def _places(figure: Figure, view: _View, y: float) -> float:
    """Axial close-ups of the most doubtful places, 50 mm across."""
    w, _ = PAGE_INCHES
    title = _text(figure, 0.45, y, "Where to look first", 10, INK, "bold")
    x = 0.45 + _width(figure, title) + 0.14
    if not view.places:
        _text(figure, x, y, "no place where the members disagree markedly", 8, FAINT)
        return y - _NO_PLACES_HEIGHT
    note = (
        "largest volume × ambiguity, which is 4p(1 − p): 1 at p = 0.5. White dashes: p = 0.2 and 0.8. "
        "Numbers in the variance maps: within 5 mm."
    )
    _text(figure, x, y, note, 5.9, FAINT)
    gap = 0.10
    width = (w - 0.9 - gap * (PLACES - 1)) / PLACES
    height = 1.16
    y -= 0.15 + height
    for k, (place, voxel) in enumerate(view.places):
        left = 0.45 + k * (width + gap)
        axes = _axes(figure, left, y, width, height)
        cut = view.close_up(voxel, 50.0 * width / height, 50.0)
        x0, y0, across, up = _panel(axes, cut, height / width)
        _picture(axes, view, cut, "image", 0)
        _doubt(axes, view, cut, place.region)
        cx, cy = cut.point(voxel)
        for points in (
            ([x0, cx - 6], [cy, cy]),
            ([cx + 6, x0 + across], [cy, cy]),
            ([cx, cx], [y0, cy - 6]),
            ([cx, cx], [cy + 6, y0 + up]),
        ):
            axes.plot(*points, color="white", lw=0.5, alpha=0.75, zorder=12)
        _text(figure, left, y - 0.10, f"{place.rank}  {place.region} boundary", 7.5, INK, "bold")
        _text(figure, left, y - 0.23, f"{_ml(place.volume)} mL · ambiguity {place.ambiguity:.2f}", 6.3, FAINT)
        r, a, s = (f"{x:.0f}".replace("-", "−") for x in place.position)
        _text(figure, left, y - 0.345, f"RAS {r}, {a}, {s} mm", 6.3, FAINT)
    return y - 0.345 - 0.28


def _warning_lines(figure: Figure, sentences: Sequence[str]) -> list[tuple[bool, str]]:
    """(begins a sentence, text) line by line, wrapped to the page; no more than fit."""
    lines = []
    for sentence in sentences:
        wrapped = _wrap(figure, sentence, 7, PAGE_INCHES[0] - 0.9 - 0.95)
        lines += [(k == 0, line) for k, line in enumerate(wrapped)]
    if len(lines) > _WARNING_LINES:
        lines = [*lines[: _WARNING_LINES - 1], (False, "… all warnings are in provenance.json")]
    return lines


def _warnings(figure: Figure, lines: Sequence[tuple[bool, str]], y: float) -> float:
    if not lines:
        return y
    _text(figure, 0.45, y, "Warnings", 10, NOTE, "bold")
    for first, line in lines:
        if first:
            _text(figure, 1.28, y, "▪", 7, NOTE)
        _text(figure, 1.40, y, line, 7, INK)
        y -= 0.14
    return y - 0.06


def _input_lines(figure: Figure, identification: Mapping[str, Any]) -> list[str]:
    """Which image became which sequence, and what was not used, wrapped to the page; no more than fit."""
    lines = [line for sentence in lines_of(identification) for line in _wrap(figure, sentence, 5.9, PAGE_INCHES[0] - 0.9 - 0.95)]
    if len(lines) > _INPUT_LINES:
        return [*lines[: _INPUT_LINES - 1], "… all images are in provenance.json"]
    return lines


def _inputs(figure: Figure, lines: Sequence[str], y: float) -> None:
    if not lines:
        return
    _text(figure, 0.45, y, "Images", 8, INK, "bold")
    for line in lines:
        _text(figure, 1.40, y, line, 5.9, FAINT)
        y -= 0.115


def _footer(figure: Figure, view: _View) -> None:
    w, _ = PAGE_INCHES
    _rule(figure, 0.52)
    _text(figure, 0.45, 0.38, RESEARCH_USE, 8, ALARM, "bold")
    shown = "Radiological convention: the patient's right is on the left of axial and coronal views."
    if view.canonical.tilt > 3:
        shown += f" Planes follow the scan's own axes, tilted by {view.canonical.tilt:.0f}°."
    _text(figure, 0.45, 0.23, shown, 6, FAINT)
    millimetres = " × ".join(f"{s:.3g}" for s in view.spacing)
    _text(figure, w - 0.45, 0.23, f"voxel {millimetres} mm (R × A × S)", 6, FAINT, "normal", "right")


def _swatch(figure: Figure, x: float, y: float, color: Sequence[int]) -> None:
    w, h = PAGE_INCHES
    patch = Rectangle((x / w, (y - 0.04) / h), 0.1 / w, 0.1 / h, facecolor=_colour(color), edgecolor=INK, lw=0.4)
    patch.set_transform(figure.transFigure)
    figure.add_artist(patch)


def _width(figure: Figure, artist) -> float:
    return artist.get_window_extent(figure.canvas.get_renderer()).width / figure.dpi


def _wrap(figure: Figure, sentence: str, size: float, width: float) -> list[str]:
    """Lines that fit a width in inches, measured with the real font."""
    lines, line = [], ""
    for word in sentence.split():
        longer = f"{line} {word}".strip()
        probe = _text(figure, 0, 0, longer, size)
        fits = _width(figure, probe) <= width
        probe.remove()
        if not fits and line:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


def _colour(rgb: Sequence[int]) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in rgb)


def _ml(value: float) -> str:
    if math.isnan(value):
        return "—"
    return f"{value:.1f}" if round(value, 2) >= 10 else f"{value:.2f}"
