"""What the user sees, rendered off-screen and compared with kept pictures.

Made anew, to be looked at before they are kept:  LDMSEG_KEEP_PICTURES=1 python -m pytest Testing/mrml/test_rendering.py
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import slicer
from LDMSegModule.result.LiveThreshold import LiveThreshold
from LDMSegModule.result.Overlay import Overlay
from LDMSegModule.result.ResultExtras import ResultExtras
from offscreen import FourUp, SliceView, grab, read_png, write_png

PICTURES = Path(__file__).parent / "pictures"

# Fonts and rounding differ between computers: blocks of 8 × 8 pixels may differ by this much of 255, on average over the picture
# and in the worst hundredth of it. Another colour table, a lost outline or a shifted map is far beyond.
MEAN_TOLERANCE, WORST_TOLERANCE = 2.0, 40.0


def blocks(pixels: np.ndarray) -> np.ndarray:
    height, width = (n // 8 * 8 for n in pixels.shape[:2])
    return pixels[:height, :width].reshape(height // 8, 8, width // 8, 8, 3).astype(float).mean(axis=(1, 3))


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean, and 99th percentile, of the differences between blocks."""
    apart = np.abs(blocks(a) - blocks(b)).max(axis=-1)
    return float(apart.mean()), float(np.percentile(apart, 99))


@pytest.fixture
def view(world, t1c):
    """An axial view with the T1c as background, made before the result comes."""
    display = t1c.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 700)
    view = SliceView(world.scene, "Red", world.application, size=(320, 320))
    view.show(t1c)
    return view


def compare(view, name: str) -> np.ndarray:
    pixels = view.pixels()
    file = PICTURES / f"{name}.png"
    if os.environ.get("LDMSEG_KEEP_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        write_png(pixels, file)
    mean, worst = difference(pixels, read_png(file))
    assert mean <= MEAN_TOLERANCE and worst <= WORST_TOLERANCE, f"{name}: differs by {mean:.2f} on average, {worst:.1f} in the worst 1 %"
    return pixels


def look_at_tumour(view, result) -> None:
    view.node.JumpSliceByOffsetting(*result.uncertain_regions.position(0))


@pytest.mark.parametrize("kind", ["none", "probability", "variance"])
def test_the_slice_view_looks_as_kept(view, result, kind):
    look_at_tumour(view, result)
    Overlay(result).show(kind, "WT")
    compare(view, f"slice_{kind}")


def test_the_four_views_look_as_kept(world, result, t1c):
    display = t1c.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 700)
    views = FourUp(world.scene, world.application, size=(200, 200))
    views.show(t1c)
    result.uncertain_regions.jump(0)
    ResultExtras(result).toggle_surfaces()
    overlay = Overlay(result)
    for kind in ("none", "probability", "variance"):
        overlay.show(kind, "WT")
        pixels = compare(views, f"four_up_{kind}")
    corner = pixels[:200, -200:].astype(int)
    assert (corner.max(axis=-1) - corner.min(axis=-1) > 40).sum() > 2000  # the coloured surfaces, not the grey ground alone


def test_the_comparison_notices_what_it_is_for(view, result):
    look_at_tumour(view, result)
    overlay = Overlay(result)
    overlay.show("probability", "WT")
    shown = compare(view, "slice_probability")
    changes = {}
    result.probabilities["WT"].GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    changes["colour table"] = view.pixels()
    overlay.show("none")
    changes["no overlay"] = view.pixels()
    for what, pixels in changes.items():
        mean, worst = difference(shown, pixels)
        assert mean > MEAN_TOLERANCE or worst > WORST_TOLERANCE, what


def test_a_variance_map_shows_more_than_one_colour(view, result):
    look_at_tumour(view, result)
    before = view.pixels().astype(int)
    overlay = Overlay(result, opacity=1.0)
    overlay.show("variance", "WT")
    result.segmentation.GetDisplayNode().SetVisibility(False)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(overlay.node)
    legend.SetVisibility(False)
    shown = view.pixels()
    magenta = shown[(np.abs(shown.astype(int) - before).max(axis=-1) > 25) & (shown[..., 0].astype(int) > shown[..., 1].astype(int) + 15)]
    assert len(magenta) > 300 and np.ptp(magenta[:, 0].astype(int)) > 100


def test_outlines_follow_the_threshold_on_the_screen(view, result):
    look_at_tumour(view, result)
    live = LiveThreshold(result)
    areas = []
    for threshold in (0.1, 0.5, 0.9):
        live.set(threshold)
        with_segments = view.pixels().astype(int)
        result.segmentation.GetDisplayNode().SetVisibility(False)
        areas.append(int((np.abs(with_segments - view.pixels().astype(int)).max(axis=-1) > 8).sum()))
        result.segmentation.GetDisplayNode().SetVisibility(True)
    assert areas[0] > areas[1] > areas[2] > 100


def test_a_view_that_draws_only_what_has_changed_shows_the_new_outlines(view, result):
    look_at_tumour(view, result)
    live = LiveThreshold(result)
    live.set(0.5)
    before = view.pixels().astype(int)
    live.set(0.1)
    view.redraw()
    shown = grab(view.window).astype(int)
    assert (np.abs(shown - before).max(axis=-1) > 8).sum() > 100
    assert np.abs(shown - view.pixels()).max() <= 8  # nothing was left out


def test_a_result_under_a_transform_is_drawn_over_its_input(world, view, result, t1c):
    look_at_tumour(view, result)
    Overlay(result).show("probability", "WT")
    here = view.pixels()
    matrix = np.eye(4)
    matrix[:3, 3] = (17, -9, 4)
    transform = world.transform(matrix)
    for node in (t1c, *result.probabilities.values(), result.segmentation, result.original):
        node.SetAndObserveTransformNodeID(transform.GetID())
    view.show(t1c)
    look_at_tumour(view, result)
    mean, worst = difference(here, view.pixels())
    assert mean < 3 and worst < 60
