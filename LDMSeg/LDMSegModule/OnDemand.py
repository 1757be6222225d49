"""What not everybody wants of a result: regions as segments, the label map as a volume, surfaces."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from LDMSegLib.results.labels import region_masks
from LDMSegLib.specification import Label
from LDMSegModule.LiveThreshold import SURFACES_ATTRIBUTE
from LDMSegModule.Result import Result
from LDMSegModule.ResultDisplay import ResultDisplay
from LDMSegModule.SegmentLabels import SegmentLabels
from LDMSegModule.SequenceGuess import RESULT_ATTRIBUTE
from LDMSegModule.Terminology import Terminology

NOTICE = "Research use only, not a medical device."


class OnDemand:
    """Makes more nodes of a result, from its segments as they are now, edits included; each call makes a new node."""

    def __init__(self, result: Result, terminology: Terminology | None = None) -> None:
        self._result = result
        self._terminology = terminology or Terminology()
        self._segments = SegmentLabels(result.segmentation, result.original, result.labels)

    def regions(self) -> Any:
        """A vtkMRMLSegmentationNode with one segment for each region; they overlap, so each has an image of its own."""
        result = self._result
        node = self._add("vtkMRMLSegmentationNode", "regions")
        masks = region_masks(self._segments.read(), result.labels, result.regions)
        # Outermost first, so that the inner ones are drawn over it.
        for region, mask in sorted(zip(result.regions, masks, strict=True), key=lambda pair: -len(pair[0].labels)):
            label = Label(region.name, 1, region.title, region.color, terminology=region.terminology)
            SegmentLabels(node, result.original, (label,)).create(mask.astype(np.uint8), self._terminology)
        ResultDisplay(result.segmentation.GetScene()).segmentation(node)
        node.GetDisplayNode().SetVisibility2DFill(False)
        return node

    def label_map(self) -> Any:
        """A vtkMRMLLabelMapVolumeNode on the result's grid, in the values of its labels and in their colours."""
        result = self._result
        node = self._add("vtkMRMLLabelMapVolumeNode", "labels")
        node.CopyOrientation(result.original)
        slicer.util.updateVolumeFromArray(node, self._segments.read())
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(self._colours().GetID())
        return node

    def surfaces(self, shown: bool = True) -> None:
        """Make the segments' surfaces and show them in 3D, or take them away."""
        segmentation = self._result.segmentation
        segmentation.SetAttribute(SURFACES_ATTRIBUTE, "yes" if shown else "no")
        if shown:
            segmentation.CreateClosedSurfaceRepresentation()
        else:
            segmentation.RemoveClosedSurfaceRepresentation()
        segmentation.GetDisplayNode().SetVisibility3D(shown)

    def _colours(self) -> Any:
        node = self._add("vtkMRMLColorTableNode", "label colours")
        node.SetTypeToUser()
        node.SetNumberOfColors(max(label.value for label in self._result.labels) + 1)
        node.SetColor(0, "background", 0.0, 0.0, 0.0, 0.0)
        for label in self._result.labels:
            node.SetColor(label.value, label.name, *(c / 255.0 for c in label.color), 1.0)
        return node

    def _add(self, kind: str, what: str) -> Any:
        result = self._result
        scene = result.segmentation.GetScene()
        node = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(f"{result.name} {what}"))
        node.SetAttribute(RESULT_ATTRIBUTE, result.name)
        node.SetDescription(NOTICE)
        if node.IsA("vtkMRMLTransformableNode"):
            node.SetAndObserveTransformNodeID(result.original.GetTransformNodeID())
        if not node.IsA("vtkMRMLColorNode"):
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
            item = hierarchy.GetItemByDataNode(node)
            if item:
                hierarchy.SetItemParent(item, result.folder_item)
            else:
                hierarchy.CreateItem(result.folder_item, node)
        return node
