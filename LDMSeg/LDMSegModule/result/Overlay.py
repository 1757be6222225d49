"""Show a probability or variance map over the images, or none."""

from __future__ import annotations

from typing import Any

import slicer

from LDMSegModule.result.Result import Result
from LDMSegModule.scene.Nodes import nodes_of
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE

PROBABILITY, VARIANCE, NONE = "probability", "variance", "none"
KINDS = (PROBABILITY, VARIANCE, NONE)


class Overlay:
    """Shows one of a result's maps as foreground of every slice view; backgrounds are left as the user has them."""

    def __init__(self, result: Result, opacity: float = 0.6) -> None:
        self._result = result
        self._opacity = opacity
        self.kind = NONE
        self.region = result.regions[-1].name

    def show(self, kind: str, region: str | None = None) -> None:
        """Put a map over the images; "none" takes ours away, and leaves a foreground that is not ours.

        Args:
            kind: one of KINDS.
            region: Whose map; the one last shown by default.
        """
        if kind not in KINDS:
            raise ValueError(f"the overlay '{kind}' is unknown, expected one of {', '.join(KINDS)}")
        self.kind, self.region = kind, region or self.region
        shown = self.node
        # A fill over a map would change the colours that its legend explains: only outlines then.
        segments = self._result.segmentation.GetDisplayNode()
        if segments is not None:
            segments.SetVisibility2DFill(shown is None)
        for node in (*self._result.probabilities.values(), *self._result.variances.values()):
            legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
            if legend is not None:
                legend.SetVisibility(node is shown)
        for composite in self._composites():
            if shown is not None:
                composite.SetForegroundVolumeID(shown.GetID())
                composite.SetForegroundOpacity(self._opacity)
            elif self._ours(composite.GetForegroundVolumeID()):
                composite.SetForegroundVolumeID(None)

    @property
    def node(self) -> Any:
        """The volume shown, None for "none"."""
        if self.kind == PROBABILITY:
            return self._result.probabilities[self.region]
        return self._result.variances[self.region] if self.kind == VARIANCE else None

    @property
    def opacity(self) -> float:
        """Of the foreground, 0 to 1."""
        return self._opacity

    @opacity.setter
    def opacity(self, value: float) -> None:
        self._opacity = float(min(max(value, 0.0), 1.0))
        for composite in self._composites():
            if self._ours(composite.GetForegroundVolumeID()):
                composite.SetForegroundOpacity(self._opacity)

    @property
    def highest(self) -> float:
        """The upper end of the shown map's window: what a threshold slider should reach to. 1 for "none"."""
        return 1.0 if self._display is None else float(self._display.GetWindowLevelMax())

    @property
    def threshold(self) -> float:
        """Values of the shown map below this are transparent; 0 for "none"."""
        return 0.0 if self._display is None else float(self._display.GetLowerThreshold())

    @threshold.setter
    def threshold(self, value: float) -> None:
        if self._display is not None:
            self._display.SetThreshold(float(value), self._display.GetUpperThreshold())
            self._display.SetApplyThreshold(True)

    @property
    def _display(self) -> Any:
        """Of the volume shown; None for "none", and where the user has removed it."""
        return self.node.GetScalarVolumeDisplayNode() if self.node is not None else None

    def _composites(self) -> list[Any]:
        return nodes_of(self._result.segmentation.GetScene(), "vtkMRMLSliceCompositeNode")

    def _ours(self, node_id: str | None) -> bool:
        scene = self._result.segmentation.GetScene()
        node = scene.GetNodeByID(node_id) if scene is not None and node_id else None
        return node is not None and node.GetAttribute(RESULT_ATTRIBUTE) is not None
