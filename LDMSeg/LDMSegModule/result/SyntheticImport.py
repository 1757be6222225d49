"""Import masks of `ldmseg synthesize` into the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from LDMSegLib.errors import InputError
from LDMSegLib.specification import Label, Region, Specification
from LDMSegModule.result.AllOrNothing import all_or_nothing
from LDMSegModule.result.ResultDisplay import ResultDisplay
from LDMSegModule.result.ResultFolder import read_record
from LDMSegModule.result.ResultPlace import place
from LDMSegModule.result.SubjectFolder import SubjectFolder
from LDMSegModule.scene.NiftiFile import NiftiFile
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE
from LDMSegModule.scene.Terminology import Terminology

NOTICE = "SYNTHETIC mask: computed, no patient's tumour. Research use only, not a medical device."


@dataclass(frozen=True, eq=False)
class SyntheticMasks:
    """The nodes of one drawing: the folder in the subject hierarchy and one vtkMRMLSegmentationNode for each mask."""

    name: str
    folder: SubjectFolder
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
        provenance, labels, regions = read_record(folder, self._specification)
        masks = [(name, NiftiFile.read(folder / name)) for name in _files(folder, provenance)]
        if not masks:
            raise InputError(f"{folder} holds no masks, expected at least one; draw more, or lower the smallest volume")
        name = self._scene.GenerateUniqueName(name)
        with all_or_nothing(self._scene):
            made = [self._mask(f"{name} {file.split('.')[0]}", mask, (labels, regions), reference_node) for file, mask in masks]
        subject = SubjectFolder.new(self._scene, name)
        subject.put(made)
        for node in made[1:]:
            node.GetDisplayNode().SetVisibility(False)
        return SyntheticMasks(name, subject, tuple(made))

    def _mask(self, title: str, mask: NiftiFile, meant: tuple[tuple[Label, ...], tuple[Region, ...]], reference: Any) -> Any:
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


def _files(folder: Path, provenance: Mapping[str, Any]) -> list[str]:
    """The names of the masks' files."""
    try:
        return [Path(row["mask"]).name for row in provenance.get("masks", [])]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'provenance.json'} is damaged ({error}), expected a list of masks; draw them again") from None
