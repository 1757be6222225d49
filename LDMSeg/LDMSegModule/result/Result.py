"""A segmentation in the scene: its nodes, and what the segmentation node stores of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from LDMSegLib.errors import BundleError
from LDMSegLib.specification import Label, Region, from_dict, to_dict
from LDMSegModule.result.ResultPlace import REFERENCE_ATTRIBUTE
from LDMSegModule.result.SubjectFolder import SubjectFolder
from LDMSegModule.result.UncertainRegions import UncertainRegions
from LDMSegModule.scene.Nodes import nodes_of
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE

NOTICE = "Research use only, not a medical device."

THRESHOLD_ATTRIBUTE = "LDMSeg.Threshold"
_MEANING, _PROVENANCE = "LDMSeg.Meaning", "LDMSeg.Provenance"
_PROBABILITY, _VARIANCE, _TRANSFORM = "LDMSeg.probability.", "LDMSeg.variance.", "LDMSeg.transform."
_ORIGINAL, _TABLE = "LDMSeg.original", "LDMSeg.table"


@dataclass(frozen=True, eq=False)
class Result:
    """The nodes of one result and what they mean.

    `store` writes it into the segmentation node, which scenes save; `of` reads it from there.

    Attributes:
        name: Of the folder in the subject hierarchy.
        segmentation: vtkMRMLSegmentationNode with one segment for each label; the segment's ID is the label's name.
        probabilities, variances: Region name → vtkMRMLScalarVolumeNode, float32.
        original: Hidden vtkMRMLLabelMapVolumeNode: the labels as the program made them, which edits are counted against.
        table: vtkMRMLTableNode of volumes in mL.
        labels, regions: With names, titles and colours; a label's value is the one in the label maps of this result.
        provenance: The content of provenance.json, without what `SceneRecord` keeps out of scenes.
        smallest_mm3: Components smaller than this were dropped.
    """

    name: str
    segmentation: Any
    probabilities: Mapping[str, Any]
    variances: Mapping[str, Any]
    original: Any
    table: Any
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    smallest_mm3: float = 0.0

    @classmethod
    def of(cls, segmentation: Any) -> Result | None:
        """Return the result that a segmentation node belongs to.

        None where it is none, where one of its nodes has been deleted, and where another version of LDMSeg has stored it in a
        form that this one cannot read.
        """
        stored = segmentation.GetAttribute(_MEANING) if segmentation is not None and segmentation.GetScene() is not None else None
        if not stored:
            return None
        try:
            meaning = json.loads(stored)
            labels = tuple(from_dict(Label, label) for label in meaning["labels"])
            regions = tuple(from_dict(Region, region) for region in meaning["regions"])
            smallest_mm3 = float(meaning["smallest_mm3"])
            provenance = json.loads(segmentation.GetAttribute(_PROVENANCE) or "{}")
        except (BundleError, KeyError, TypeError, ValueError):
            return None
        if not isinstance(provenance, dict):
            return None
        probabilities = {region.name: segmentation.GetNodeReference(_PROBABILITY + region.name) for region in regions}
        variances = {region.name: segmentation.GetNodeReference(_VARIANCE + region.name) for region in regions}
        original, table = segmentation.GetNodeReference(_ORIGINAL), segmentation.GetNodeReference(_TABLE)
        if None in (*probabilities.values(), *variances.values(), original, table) or original.GetImageData() is None:
            return None
        name = segmentation.GetAttribute(RESULT_ATTRIBUTE) or segmentation.GetName()
        return cls(name, segmentation, probabilities, variances, original, table, labels, regions, provenance, smallest_mm3)

    @classmethod
    def all_in(cls, scene: Any) -> list[Result]:
        """Return the whole results of a scene, in the order in which they were made."""
        return [result for result in map(cls.of, nodes_of(scene, "vtkMRMLSegmentationNode")) if result is not None]

    def store(self, threshold: float, transforms: Mapping[str, Any]) -> None:
        """Write the result into its segmentation node.

        Args:
            threshold: The probability at or above which a region is on.
            transforms: Name, e.g. "t1n_to_t1c", → vtkMRMLLinearTransformNode; of raw scans only.
        """
        node = self.segmentation
        meaning = {
            "labels": [to_dict(label) for label in self.labels],
            "regions": [to_dict(region) for region in self.regions],
            "smallest_mm3": self.smallest_mm3,
        }
        attributes = {RESULT_ATTRIBUTE: self.name, THRESHOLD_ATTRIBUTE: repr(threshold), _MEANING: json.dumps(meaning)}
        for name, value in {**attributes, **_provenance_attributes(self.provenance)}.items():
            node.SetAttribute(name, value)
        references = {_ORIGINAL: self.original, _TABLE: self.table}
        for role, nodes in ((_PROBABILITY, self.probabilities), (_VARIANCE, self.variances), (_TRANSFORM, transforms)):
            references |= {role + name: referred for name, referred in nodes.items()}
        for role, referred in references.items():
            node.SetNodeReferenceID(role, referred.GetID())

    @property
    def threshold(self) -> float:
        """The probability at or above which a region is on, as it is now."""
        return float(self.segmentation.GetAttribute(THRESHOLD_ATTRIBUTE) or 0.5)

    @property
    def uncertain_regions(self) -> UncertainRegions:
        """Where to look first."""
        return UncertainRegions(self.segmentation, self.original)

    @property
    def folder(self) -> SubjectFolder:
        """The result's folder in the subject hierarchy."""
        return SubjectFolder.of(self.segmentation)

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
        """Whether the images were computed and are no patient's."""
        return bool(self.provenance.get("synthetic_input"))

    @property
    def preparation(self) -> tuple[str, ...]:
        """What was done to raw scans before, a line for each step; empty where the images were prepared already."""
        return tuple((self.provenance.get("preparation") or {}).get("steps", ()))

    @property
    def transforms(self) -> dict[str, Any]:
        """Name, e.g. "t1n_to_t1c", → vtkMRMLLinearTransformNode, as far as they are still in the scene; of raw scans only."""
        names = (self.provenance.get("preparation") or {}).get("matrices_ras_mm", {})
        found = {name: self.segmentation.GetNodeReference(_TRANSFORM + name) for name in names}
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
        """Return the region of that name."""
        return next(region for region in self.regions if region.name == name)


def _provenance_attributes(provenance: Mapping[str, Any]) -> dict[str, str]:
    """The record as it goes into a scene, and what a person looks for first each under a name of its own."""
    bundle, sampling = provenance.get("bundle", {}), provenance.get("sampling", {})
    first = {
        "LDMSeg.IntendedUse": provenance.get("intended_use", NOTICE),
        "LDMSeg.Bundle": f"{bundle.get('name', '')} {bundle.get('version', '')}".strip(),
        "LDMSeg.WeightsSha256": bundle.get("weights_sha256", ""),
        "LDMSeg.Mode": sampling.get("mode", ""),
        "LDMSeg.Seed": sampling.get("seed", ""),
        "LDMSeg.Members": f"{sampling.get('members_finished', '')} of {sampling.get('members_requested', '')}",
        "LDMSeg.FinishedAt": provenance.get("finished_at", ""),
        "LDMSeg.SyntheticInput": "yes" if provenance.get("synthetic_input") else "no",
        "LDMSeg.Warnings": "\n".join(provenance.get("warnings", [])),
    }
    return {**{name: str(value) for name, value in first.items()}, _PROVENANCE: json.dumps(dict(provenance), ensure_ascii=True)}
