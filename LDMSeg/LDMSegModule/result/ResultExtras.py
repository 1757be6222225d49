"""Surfaces, region segments and label map volumes made from a result on demand."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.specification import Label
from LDMSegModule.result.LiveThreshold import SURFACES_ATTRIBUTE
from LDMSegModule.result.Result import NOTICE, Result
from LDMSegModule.scene.SegmentLabels import CLOSED_SURFACE, SegmentLabels
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE
from LDMSegModule.scene.Terminology import Terminology


class ResultExtras:
    """Each makes new nodes beside the result, from its segmentation as it is now, edits included; the result stays as it is."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self._scene = result.segmentation.GetScene()

    def toggle_surfaces(self) -> bool:
        """Show or hide the segmentation's surfaces in 3D; returns whether they are shown now."""
        node = self._result.segmentation
        shown = node.GetAttribute(SURFACES_ATTRIBUTE) != "yes"
        node.SetAttribute(SURFACES_ATTRIBUTE, "yes" if shown else "no")
        if shown:
            node.CreateClosedSurfaceRepresentation()
        elif node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE):
            node.RemoveClosedSurfaceRepresentation()
        node.CreateDefaultDisplayNodes()  # where the user has removed it
        node.GetDisplayNode().SetVisibility3D(shown)
        return shown

    def label_map(self) -> Any:
        """A vtkMRMLLabelMapVolumeNode on the result's grid, its colours and names those of the labels."""
        result = self._result
        node = self._add("vtkMRMLLabelMapVolumeNode", f"{result.name} labels")
        self._place(node)
        slicer.util.updateVolumeFromArray(node, self._labels())
        node.CreateDefaultDisplayNodes()
        colours = self._add("vtkMRMLColorTableNode", f"{result.name} label colours")
        colours.SetTypeToUser()
        colours.SetNumberOfColors(max(label.value for label in result.labels) + 1)
        colours.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
        for label in result.labels:
            colours.SetColor(label.value, label.name, *(c / 255.0 for c in label.color), 1.0)
        node.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
        self._result.folder.put([node])
        return node

    def regions(self) -> Any:
        """A vtkMRMLSegmentationNode with one segment for each region; they overlap, as regions do."""
        result = self._result
        node = self._add("vtkMRMLSegmentationNode", f"{result.name} regions")
        node.SetAndObserveTransformNodeID(result.segmentation.GetTransformNodeID())
        node.CreateDefaultDisplayNodes()
        masks = region_masks(self._labels(), result.labels, result.regions)
        terminology = Terminology()
        for region, mask in sorted(zip(result.regions, masks, strict=True), key=lambda pair: -int(np.count_nonzero(pair[1]))):
            label = Label(region.name, 1, region.title, region.color, terminology=region.terminology)
            # one image for each segment, because regions lie within each other
            SegmentLabels(node, result.original, (label,)).create(mask.astype(np.uint8), terminology)
        node.GetDisplayNode().SetVisibility2DFill(False)  # filled, the outermost region would hide the others
        self._result.folder.put([node])
        return node

    def _labels(self) -> np.ndarray:
        """(Z, Y, X) uint8."""
        result = self._result
        return SegmentLabels(result.segmentation, result.original, result.labels).read()

    def _add(self, kind: str, name: str) -> Any:
        node = self._scene.AddNewNodeByClass(kind, self._scene.GenerateUniqueName(name))
        node.SetAttribute(RESULT_ATTRIBUTE, self._result.name)
        node.SetDescription(NOTICE)
        return node

    def _place(self, node: Any) -> None:
        matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
        self._result.original.GetIJKToRASMatrix(matrix)
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveTransformNodeID(self._result.original.GetTransformNodeID())
