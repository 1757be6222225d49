"""Masks that `ldmseg synthesize` drew, into the scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from LDMSegLib.errors import InputError
from LDMSegLib.specification import Specification
from LDMSegModule.result.AllOrNothing import all_or_nothing
from LDMSegModule.result.ResultDisplay import ResultDisplay
from LDMSegModule.result.ResultFolder import meaning, read_provenance
from LDMSegModule.result.ResultPlace import place
from LDMSegModule.scene.NiftiFile import NiftiFile
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE
from LDMSegModule.scene.Terminology import Terminology

NOTICE = "SYNTHETIC mask: computed, nobody's tumour. Research use only, not a medical device."


@dataclass(frozen=True, eq=False)
class SyntheticMasks:
    """The nodes of one drawing: the folder's subject hierarchy item and one vtkMRMLSegmentationNode for each mask."""

    name: str
    folder_item: int
    segmentations: tuple[Any, ...]


class SyntheticImport:
    """Loads the label maps of a folder of synthetic masks as segmentation nodes, all called synthetic."""

    def __init__(self, scene: Any, specification: Specification | None = None, terminology: Terminology | None = None) -> None:
        self._scene = scene
        self._specification = specification
        self._terminology = terminology or Terminology()

    def load(self, folder: str | Path, reference_node: Any = None, name: str = "LDMSeg synthetic masks") -> SyntheticMasks:
        """Bring every mask of the folder into the scene, or none. Only the first is shown, lest they hide each other.

        Args:
            folder: that `ldmseg synthesize` wrote.
            reference_node: The volume the masks were drawn over, if any: they take its geometry and parent transform.
            name: For the folder in the subject hierarchy; a number is added where it is taken.

        Raises:
            InputError: A file is missing or damaged, or there is no mask. The scene is as before.
        """
        folder = Path(folder)
        provenance = read_provenance(folder)
        labels, regions = meaning(provenance, self._specification)
        masks = [(Path(row["mask"]).name, NiftiFile.read(folder / Path(row["mask"]).name)) for row in provenance.get("masks", [])]
        if not masks:
            raise InputError(f"{folder} holds no masks, expected at least one; draw more, or lower the smallest volume")
        name = self._scene.GenerateUniqueName(name)
        with all_or_nothing(self._scene):
            made = [self._mask(f"{name} {file.split('.')[0]}", mask, (labels, regions), reference_node) for file, mask in masks]
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        item = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
        for node in made:
            own = hierarchy.GetItemByDataNode(node)
            if own:
                hierarchy.SetItemParent(own, item)
            else:
                hierarchy.CreateItem(item, node)
        for node in made[1:]:
            node.GetDisplayNode().SetVisibility(False)
        return SyntheticMasks(name, item, tuple(made))

    def _mask(self, title: str, mask: NiftiFile, meant: tuple, reference: Any) -> Any:
        node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", title)
        node.SetAttribute(RESULT_ATTRIBUTE, title)
        node.SetAttribute("LDMSeg.Synthetic", "yes")
        node.SetDescription(NOTICE)
        grid = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(grid, np.ascontiguousarray(mask.array.astype(np.uint8, copy=False)))
        if place(grid, mask.affine, mask.array.shape, reference):
            node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
        SegmentLabels(node, grid, meant[0]).create(mask.array, self._terminology)
        ResultDisplay(self._scene).segmentation(node, *meant)
        return node
