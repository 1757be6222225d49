"""Import a result folder into the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer

from LDMSegLib.specification import Specification
from LDMSegModule.result.AllOrNothing import all_or_nothing
from LDMSegModule.result.Result import NOTICE, Result
from LDMSegModule.result.ResultDisplay import ResultDisplay
from LDMSegModule.result.ResultFolder import ResultFolder
from LDMSegModule.result.ResultPlace import REFERENCE_ATTRIBUTE, place
from LDMSegModule.result.SceneRecord import for_scene
from LDMSegModule.result.SubjectFolder import SubjectFolder
from LDMSegModule.result.VolumesTable import VolumesTable
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE
from LDMSegModule.scene.Terminology import Terminology

_TRANSFORM = "Found while the raw scans were prepared: put over {0} as it lay in the scene, it moves it onto {1}. {notice}"


class ResultImport:
    """Loads results. Each gets nodes and a folder of its own, so that an earlier, perhaps edited, result is never touched."""

    def __init__(self, scene: Any, specification: Specification | None = None, terminology: Terminology | None = None) -> None:
        """Take the MRML scene, the specification of the bundle that ran (for titles and colours), and the terminology."""
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
        VolumesTable(table).fill(files.volumes, files.threshold)

        result = Result(
            name, segmentation, probabilities, variances, original, table,
            files.labels, files.regions, for_scene(files.provenance), files.smallest_mm3,
        )  # fmt: skip
        result.store(files.threshold, transforms)
        result.uncertain_regions.store(files.uncertain_rows)
        shown = (segmentation, *probabilities.values(), *variances.values(), table, *transforms.values())
        SubjectFolder.new(self._scene, name).put(shown)
        return result
