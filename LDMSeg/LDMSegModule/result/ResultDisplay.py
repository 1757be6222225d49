"""Initial display of a result: windows, thresholds, colours, legends, outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer

from LDMSegLib.specification import Label, Region
from LDMSegModule.scene.ColourTable import PROBABILITY, VARIANCE, ColourTable

LOWEST_PROBABILITY = 0.05
"""Below it a probability is not shown: most of a brain has 0.001 of something."""

_BRIGHTEST_PERCENTILE = 99.5
_SAMPLE = 500_000


class ResultDisplay:
    """Window, threshold, colour table and legend of probability and variance volumes; outlines of the segmentation."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    def probability(self, node: Any, region: str) -> None:
        """Show all of 0 to 1, hide what is next to nothing."""
        self._map(node, PROBABILITY, 0.0, 1.0, LOWEST_PROBABILITY, f"Probability {region}", "%.2f")

    def variance(self, node: Any, region: str) -> None:
        """Window from 0 to the 99.5th percentile of what is above 0: a single hot voxel must not darken the rest."""
        array = slicer.util.arrayFromVolume(node)
        step = max(1, round((array.size / _SAMPLE) ** (1 / 3)))
        sample = array[::step, ::step, ::step]
        positive = sample[sample > 1e-4]
        high = float(np.percentile(positive, _BRIGHTEST_PERCENTILE)) if positive.size else 1e-3
        self._map(node, VARIANCE, 0.0, high, 0.05 * high, f"Variance {region}", "%.3f")

    def segmentation(self, node: Any, labels: Sequence[Label] = (), regions: Sequence[Region] = ()) -> None:
        """Clear outlines over a light fill, so that the image below can be judged; in 3D, outer labels let the inner ones through."""
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetVisibility2DFill(True)
        display.SetVisibility2DOutline(True)
        display.SetOpacity2DFill(0.25)
        display.SetOpacity2DOutline(1.0)
        for label in labels:
            # A label that only one region holds is the outermost one, which the others lie in.
            outermost = sum(label.name in region.labels for region in regions) == 1
            display.SetSegmentOpacity3D(label.name, 0.2 if outermost else 0.7)

    def _map(self, node: Any, colours: ColourTable, low: float, high: float, threshold: float, title: str, labels: str) -> None:
        # Not CreateDefaultDisplayNodes: it looks for a window in every voxel, only to be told this one.
        display = self._scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAutoWindowLevel(False)
        node.SetAndObserveDisplayNodeID(display.GetID())
        display.SetAndObserveColorNodeID(colours.node(self._scene).GetID())
        display.SetWindowLevelMinMax(low, high)
        # The upper end is left open: float maps may exceed 1 by rounding, and a hidden hottest voxel would be a lie.
        display.SetThreshold(threshold, max(high, float(node.GetImageData().GetScalarRange()[1])) + 1.0)
        display.SetApplyThreshold(True)
        display.SetInterpolate(True)
        legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
        legend.SetTitleText(title)
        legend.SetLabelFormat(labels)
        legend.SetNumberOfLabels(5)
        legend.SetMaxNumberOfColors(256)
        legend.SetSize(0.08, 0.4)
        legend.SetPosition(0.97, 0.5)
        legend.SetVisibility(False)
