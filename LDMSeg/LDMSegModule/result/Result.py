"""A finished segmentation as it lies in the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from LDMSegLib.specification import Label, Region
from LDMSegModule.result.ResultPlace import REFERENCE_ATTRIBUTE
from LDMSegModule.result.UncertainRegions import UncertainRegions

THRESHOLD_ATTRIBUTE = "LDMSeg.Threshold"
TRANSFORM_ROLE = "LDMSeg.transform."


@dataclass(frozen=True, eq=False)
class Result:
    """The nodes of one result and what they mean.

    Attributes:
        name: Of the folder in the subject hierarchy.
        folder_item: Its subject hierarchy item.
        segmentation: vtkMRMLSegmentationNode with one segment for each label; the segment's ID is the label's name.
        probabilities, variances: Region name → vtkMRMLScalarVolumeNode, float32.
        original: Hidden vtkMRMLLabelMapVolumeNode: the labels as the program made them, which edits are counted against.
        table: vtkMRMLTableNode of volumes in mL.
        uncertain_regions: Where to look first.
        labels, regions: With names, titles and colours; a label's value is the one in the label maps of this result.
        provenance: The content of provenance.json, without what `SceneRecord` keeps out of scenes.
        smallest_mm3: Components smaller than this were dropped.
    """

    name: str
    folder_item: int
    segmentation: Any
    probabilities: Mapping[str, Any]
    variances: Mapping[str, Any]
    original: Any
    table: Any
    uncertain_regions: UncertainRegions
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    smallest_mm3: float = 0.0

    @property
    def threshold(self) -> float:
        """The probability at or above which a region is on, as it is now."""
        return float(self.segmentation.GetAttribute(THRESHOLD_ATTRIBUTE) or 0.5)

    @property
    def run_threshold(self) -> float:
        """The threshold the program ran with; the members' spread of volumes belongs to it."""
        return float(self.provenance.get("sampling", {}).get("threshold", 0.5))

    @property
    def reference(self) -> Any:
        """The volume that the result lies on; None where it was deleted or there was none."""
        id = self.original.GetAttribute(REFERENCE_ATTRIBUTE)
        return self.original.GetScene().GetNodeByID(id) if id and self.original.GetScene() is not None else None

    @property
    def partial(self) -> bool:
        """Whether the ensemble was stopped before all its members had finished."""
        return bool(self.provenance.get("partial"))

    @property
    def synthetic_input(self) -> bool:
        """Whether the images were computed and are nobody's."""
        return bool(self.provenance.get("synthetic_input"))

    @property
    def preparation(self) -> tuple[str, ...]:
        """What was done to raw scans before, a line for each step; empty where the images were prepared already."""
        return tuple((self.provenance.get("preparation") or {}).get("steps", ()))

    @property
    def transforms(self) -> dict[str, Any]:
        """Name, e.g. "t1n_to_t1c", → vtkMRMLLinearTransformNode, as far as they are still in the scene; of raw scans only."""
        names = (self.provenance.get("preparation") or {}).get("matrices_ras_mm", {})
        found = {name: self.segmentation.GetNodeReference(TRANSFORM_ROLE + name) for name in names}
        return {name: node for name, node in found.items() if node is not None}

    @property
    def nodes(self) -> tuple[Any, ...]:
        """All nodes that the result cannot be without, the segmentation first."""
        return (self.segmentation, *self.probabilities.values(), *self.variances.values(), self.original, self.table)

    @property
    def exists(self) -> bool:
        """Whether all of it is still in the scene."""
        scene = self.segmentation.GetScene()
        return scene is not None and all(node.GetScene() is scene for node in self.nodes)

    def region(self, name: str) -> Region:
        """The region of that name."""
        return next(region for region in self.regions if region.name == name)
