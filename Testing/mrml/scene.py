"""A MRML scene set up as the application sets up its own, on slicer-core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer


@dataclass(frozen=True, eq=False)
class SceneWithLogics:
    """A scene and the logics that must outlive it. `logics` keeps the others alive."""

    scene: Any
    application: Any
    colours: Any
    logics: tuple[Any, ...]

    def volume(self, array: np.ndarray, affine: np.ndarray, name: str = "volume") -> Any:
        """A scalar volume of (X, Y, Z) voxels and a (4, 4) voxel to RAS matrix."""
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(affine, dtype=float)))
        slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array.T))
        node.CreateDefaultDisplayNodes()
        return node

    def transform(self, matrix: np.ndarray, name: str = "transform") -> Any:
        """A linear transform to the parent, (4, 4), RAS in mm."""
        node = self.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", name)
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.asarray(matrix, dtype=float)))
        return node


def new_scene(folder: Any) -> SceneWithLogics:
    """A fresh scene that `slicer.mrmlScene` names from now on; `folder` is where it may cache what it unpacks."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(scene)
    application.SetTemporaryPath(str(folder))
    colours = slicer.vtkSlicerColorLogic()
    colours.SetMRMLApplicationLogic(application)
    colours.SetMRMLScene(scene)
    application.SetColorLogic(colours)
    segmentations = slicer.vtkSlicerSegmentationsModuleLogic()
    segmentations.SetMRMLApplicationLogic(application)
    segmentations.SetMRMLScene(scene)
    hierarchy = slicer.vtkSlicerSubjectHierarchyModuleLogic()
    hierarchy.SetMRMLScene(scene)
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(folder))
    cache.SetMRMLScene(scene)
    io = slicer.vtkDataIOManager()
    io.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(io)
    return SceneWithLogics(scene, application, colours, (segmentations, hierarchy, cache, io))
