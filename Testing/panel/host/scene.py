"""The scene as Slicer has it when it starts."""

from __future__ import annotations

from typing import Any

import slicer

_kept: list[tuple[Any, ...]] = []


def make_scene(temporary: str) -> Any:
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    application = slicer.vtkMRMLApplicationLogic()
    application.SetMRMLScene(scene)
    application.SetTemporaryPath(temporary)
    # the logics make their node classes known to the scene, and it needs them as long as it lives
    colours, segmentations = slicer.vtkSlicerColorLogic(), slicer.vtkSlicerSegmentationsModuleLogic()
    application.SetColorLogic(colours)
    for logic in (colours, segmentations):
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
    hierarchy, cache, manager = slicer.vtkSlicerSubjectHierarchyModuleLogic(), slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    hierarchy.SetMRMLScene(scene)
    cache.SetRemoteCacheDirectory(temporary)
    cache.SetMRMLScene(scene)
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    _kept.append((application, colours, segmentations, hierarchy, cache, manager))
    for kind in ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode"):
        node = scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        node.SetSingletonTag("Singleton")
        scene.AddNode(node)
    for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
        view = slicer.vtkMRMLSliceNode()
        view.AddSliceOrientationPreset("Axial", _matrix((-1, 0, 0), (0, 1, 0)))
        view.AddSliceOrientationPreset("Sagittal", _matrix((0, -1, 0), (0, 0, 1)))
        view.AddSliceOrientationPreset("Coronal", _matrix((-1, 0, 0), (0, 0, 1)))
        view.SetLayoutName(name)
        view.SetName(name)
        view.SetSingletonTag(name)
        scene.AddNode(view)
        view.SetOrientation(orientation)
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetLayoutName(name)
        composite.SetSingletonTag(name)
        scene.AddNode(composite)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return scene


def _matrix(x: tuple[int, int, int], y: tuple[int, int, int]) -> Any:
    import vtk

    matrix = vtk.vtkMatrix3x3()
    z = (x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0])
    for column, axis in enumerate((x, y, z)):
        for row in range(3):
            matrix.SetElement(row, column, axis[row])
    return matrix
