"""Open Slicer's Segment Editor on a result."""

from __future__ import annotations

from typing import Any

import slicer


class SegmentEditor:
    """Opens the Segment Editor, set up for a segmentation and the image it belongs to."""

    def open(self, segmentation: Any, source: Any) -> None:
        """Open a vtkMRMLSegmentationNode over a vtkMRMLScalarVolumeNode, or over None where the image is gone."""
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(segmentation)
        if source is not None:
            editor.setSourceVolumeNode(source)
