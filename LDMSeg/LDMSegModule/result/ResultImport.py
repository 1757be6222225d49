"""A result folder into the scene, and back out of a scene that was saved and loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from LDMSegLib.specification import Label, Region, Specification, from_dict, to_dict
from LDMSegModule.result.AllOrNothing import all_or_nothing
from LDMSegModule.result.Result import THRESHOLD_ATTRIBUTE, TRANSFORM_ROLE, Result
from LDMSegModule.result.ResultDisplay import ResultDisplay
from LDMSegModule.result.ResultFolder import ResultFolder
from LDMSegModule.result.ResultPlace import REFERENCE_ATTRIBUTE, place
from LDMSegModule.result.SceneRecord import for_scene
from LDMSegModule.result.UncertainRegions import UncertainRegions
from LDMSegModule.result.VolumesTable import VolumesTable
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE
from LDMSegModule.scene.Terminology import Terminology

NOTICE = "Research use only, not a medical device."
_TRANSFORM = "Found while the raw scans were prepared: put over {0} as it lay in the scene, it moves it onto {1}. {notice}"
_PROVENANCE, _MEANING = "LDMSeg.Provenance", "LDMSeg.Meaning"


class ResultImport:
    """Loads results. Each gets nodes and a folder of its own, so that an earlier, perhaps edited, result is never touched."""

    def __init__(self, scene: Any, specification: Specification | None = None, terminology: Terminology | None = None) -> None:
        """Args: the MRML scene; the specification of the bundle that ran, for titles and colours; the terminology."""
        self._scene = scene
        self._specification = specification
        self._terminology = terminology or Terminology()
        self._display = ResultDisplay(scene)

    def load(self, result_folder: str | Path, reference_node: Any = None, name: str | None = None) -> Result:
        """Bring everything of a result folder into the scene, or nothing.

        Args:
            result_folder: that `ldmseg segment` wrote.
            reference_node: The volume whose grid the result lies on (the T1c that was exported). The result takes its exact
                geometry and its parent transform, so it stays on it when that is moved. Without one, or where it lies under a
                non-linear transform, the result lies where its files say in world space.
            name: For the folder; made from the reference's name by default. A number is added where it is taken.

        Raises:
            InputError: A file is missing or damaged. The scene is as before.
        """
        files = ResultFolder.read(result_folder, self._specification)
        # not the record's name of the case, which may be a patient's: the scene has only the names its own volumes have
        subject = name or f"LDMSeg {reference_node.GetName() if reference_node is not None else 'result'}"
        if files.provenance.get("synthetic_input") and "synthetic" not in subject.lower():
            subject += " (synthetic)"
        if files.provenance.get("partial"):
            subject += " (partial)"
        with all_or_nothing(self._scene):
            return self._build(files, reference_node, self._scene.GenerateUniqueName(subject))

    def restore(self) -> list[Result]:
        """All whole results of the scene, in the order they were made; for a scene that was saved and loaded."""
        found = []
        for k in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            result = self._restored(self._scene.GetNthNodeByClass(k, "vtkMRMLSegmentationNode"))
            if result is not None:
                found.append(result)
        return found

    def result_of(self, segmentation: Any) -> Result | None:
        """The result that a segmentation node belongs to; None where it is none, or no longer whole."""
        return self._restored(segmentation) if segmentation is not None and segmentation.GetScene() is self._scene else None

    def _build(self, files: ResultFolder, reference: Any, name: str) -> Result:
        def add(kind: str, title: str) -> Any:
            node = self._scene.AddNewNodeByClass(kind, title)
            node.SetAttribute(RESULT_ATTRIBUTE, name)
            node.SetDescription(NOTICE)
            return node

        def volume(kind: str, title: str, array: np.ndarray) -> Any:
            node = add(kind, title)
            place(node, files.affine, array.shape, reference)
            slicer.util.updateVolumeFromArray(node, array)
            return node

        probabilities, variances = {}, {}
        for region in files.regions:
            probabilities[region.name] = volume(
                "vtkMRMLScalarVolumeNode", f"{name} probability {region.name}", files.probabilities[region.name]
            )
            self._display.probability(probabilities[region.name], region.name)
            variances[region.name] = volume("vtkMRMLScalarVolumeNode", f"{name} variance {region.name}", files.variances[region.name])
            self._display.variance(variances[region.name], region.name)
        original = volume("vtkMRMLLabelMapVolumeNode", f"{name} labels as computed", files.labels_map)
        original.SetHideFromEditors(True)

        segmentation = add("vtkMRMLSegmentationNode", f"{name} segmentation")
        segmentation.SetAndObserveTransformNodeID(original.GetTransformNodeID())
        SegmentLabels(segmentation, original, files.labels).create(files.labels_map, self._terminology)
        self._display.segmentation(segmentation, files.labels, files.regions)
        if reference is not None and original.GetAttribute(REFERENCE_ATTRIBUTE):
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(reference)

        transforms = {key: add("vtkMRMLLinearTransformNode", f"{name} {key.replace('_', ' ')}") for key in files.transforms}
        for key, node in transforms.items():
            node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(files.transforms[key]))
            node.SetDescription(_TRANSFORM.format(*key.split("_to_", 1), notice=NOTICE))

        table = add("vtkMRMLTableNode", f"{name} volumes")
        threshold = float(files.provenance.get("sampling", {}).get("threshold", 0.5))
        VolumesTable(table).fill(files.volumes, threshold)

        for attribute, value in _provenance_attributes(for_scene(files.provenance)).items():
            segmentation.SetAttribute(attribute, value)
        segmentation.SetAttribute(THRESHOLD_ATTRIBUTE, repr(threshold))
        segmentation.SetAttribute(_MEANING, _meaning(files.labels, files.regions, files.smallest_mm3))
        for region in files.regions:
            segmentation.SetNodeReferenceID(f"LDMSeg.probability.{region.name}", probabilities[region.name].GetID())
            segmentation.SetNodeReferenceID(f"LDMSeg.variance.{region.name}", variances[region.name].GetID())
        for key, node in transforms.items():
            segmentation.SetNodeReferenceID(TRANSFORM_ROLE + key, node.GetID())
        segmentation.SetNodeReferenceID("LDMSeg.original", original.GetID())
        segmentation.SetNodeReferenceID("LDMSeg.table", table.GetID())
        UncertainRegions(segmentation, original).store(files.uncertain_rows)

        self._file(name, [segmentation, *probabilities.values(), *variances.values(), table, *transforms.values()])
        result = self._restored(segmentation)
        if result is None:
            raise RuntimeError(f"the result in {files.path} did not reach the scene whole")
        return result

    def _file(self, name: str, nodes: list[Any]) -> None:
        """Put the nodes under one folder of the subject hierarchy."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
        for node in nodes:
            # the application has made an item for each node already; without one (no Qt plug-ins) it is made here
            item = hierarchy.GetItemByDataNode(node)
            if item:
                hierarchy.SetItemParent(item, folder)
            else:
                hierarchy.CreateItem(folder, node)

    def _restored(self, segmentation: Any) -> Result | None:
        stored = segmentation.GetAttribute(_MEANING)
        if not stored:
            return None
        meaning = json.loads(stored)
        labels = tuple(from_dict(Label, label) for label in meaning["labels"])
        regions = tuple(from_dict(Region, region) for region in meaning["regions"])
        probabilities = {r.name: segmentation.GetNodeReference(f"LDMSeg.probability.{r.name}") for r in regions}
        variances = {r.name: segmentation.GetNodeReference(f"LDMSeg.variance.{r.name}") for r in regions}
        original, table = (segmentation.GetNodeReference(f"LDMSeg.{what}") for what in ("original", "table"))
        if None in (*probabilities.values(), *variances.values(), original, table) or original.GetImageData() is None:
            return None  # the user has deleted a part of it
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation))
        return Result(
            name=segmentation.GetAttribute(RESULT_ATTRIBUTE),
            folder_item=folder,
            segmentation=segmentation,
            probabilities=probabilities,
            variances=variances,
            original=original,
            table=table,
            uncertain_regions=UncertainRegions(segmentation, original),
            labels=labels,
            regions=regions,
            provenance=json.loads(segmentation.GetAttribute(_PROVENANCE) or "{}"),
            smallest_mm3=float(meaning["smallest_mm3"]),
        )


def _meaning(labels: tuple[Label, ...], regions: tuple[Region, ...], smallest_mm3: float) -> str:
    return json.dumps({"labels": [to_dict(x) for x in labels], "regions": [to_dict(x) for x in regions], "smallest_mm3": smallest_mm3})


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
