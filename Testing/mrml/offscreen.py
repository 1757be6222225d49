"""Slice and 3D views of a MRML scene rendered without a window, by the same logics and displayable managers as in Slicer."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SIZE = (420, 420)
_ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}


class SliceView:
    """One slice view: image layers, segment outlines, colour legend."""

    def __init__(self, scene: Any, name: str, app_logic: Any, size: tuple[int, int] = SIZE) -> None:
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(app_logic)
        self.logic.SetMRMLScene(scene)
        # the colour legend asks the application for the logic of its view
        known = app_logic.GetSliceLogics() or vtk.vtkCollection()
        known.AddItem(self.logic)
        app_logic.SetSliceLogics(known)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(_ORIENTATIONS[name])
        self.composite = self.logic.GetSliceCompositeNode()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(4)
        self.window.SetSize(*size)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()  # displayable managers ask for one, even where nobody interacts
        self.interactor.SetRenderWindow(self.window)
        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self.mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory()
        factory.SetMRMLApplicationLogic(app_logic)
        for manager in ("vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLColorLegendDisplayableManager"):
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.Initialize(factory, self.renderer)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)
        self.node.SetDimensions(*size, 1)

    def show(self, background: Any, field_of_view: float | None = None) -> None:
        """The volume as background, filling the view, or as many mm of it as `field_of_view` says."""
        self.composite.SetBackgroundVolumeID(background.GetID())
        width, height = self.window.GetSize()
        self.logic.FitSliceToBackground(width, height)
        if field_of_view:
            self.node.SetFieldOfView(field_of_view, field_of_view * height / width, 1)
        self.node.UpdateMatrices()

    def redraw(self) -> None:
        """Draw again what has been told to have changed, as a view in the application does."""
        self.window.Render()

    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8, first row on top; everything is drawn anew."""
        self.node.Modified()
        scene = self.node.GetScene()
        for k in range(scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode")):
            # In the application an event loop brings legends up to date; here nobody runs one.
            scene.GetNthNodeByClass(k, "vtkMRMLColorLegendDisplayNode").Modified()
        self.logic.UpdateImageData()
        connection = self.logic.GetImageDataConnection()
        if connection is not None:
            self.mapper.SetInputConnection(connection)
        return grab(self.window)


class ThreeDView:
    """One 3D view: the surfaces of segmentations."""

    def __init__(self, scene: Any, app_logic: Any, size: tuple[int, int] = SIZE) -> None:
        self.node = scene.AddNewNodeByClass("vtkMRMLViewNode", "View1")
        self.node.SetBackgroundColor(0.05, 0.06, 0.09)
        self.node.SetBackgroundColor2(0.15, 0.17, 0.22)
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(4)
        self.window.SetSize(*size)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkGenericRenderWindowInteractor()  # displayable managers ask for one, even where nobody interacts
        self.interactor.SetRenderWindow(self.window)
        self.renderer.GradientBackgroundOn()
        self.renderer.SetBackground(0.05, 0.06, 0.09)
        self.renderer.SetBackground2(0.15, 0.17, 0.22)
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory()
        factory.SetMRMLApplicationLogic(app_logic)
        if not factory.IsDisplayableManagerRegistered("vtkMRMLSegmentationsDisplayableManager3D"):
            factory.RegisterDisplayableManager("vtkMRMLSegmentationsDisplayableManager3D")
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.Initialize(factory, self.renderer)
        self.group.SetMRMLDisplayableNode(self.node)

    def pixels(self) -> np.ndarray:
        """(height, width, 3) uint8, seen from the patient's left front."""
        self.renderer.ResetCamera()
        camera = self.renderer.GetActiveCamera()
        focus = np.array(camera.GetFocalPoint())
        direction = np.array([-0.75, 0.85, 0.35])
        camera.SetPosition(*(focus + direction / np.linalg.norm(direction) * camera.GetDistance()))
        camera.SetViewUp(0, 0, 1)
        self.renderer.ResetCamera()
        camera.Zoom(1.45)
        self.renderer.ResetCameraClippingRange()
        return grab(self.window)


def grab(window: Any) -> np.ndarray:
    window.Render()
    reader = vtk.vtkWindowToImageFilter()
    reader.SetInput(window)
    reader.ReadFrontBufferOff()
    reader.ShouldRerenderOff()
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()


class FourUp:
    """The conventional four views of one scene: axial and 3D above, coronal and sagittal below."""

    def __init__(self, scene: Any, app_logic: Any, size: tuple[int, int] = SIZE) -> None:
        self.slices = {name: SliceView(scene, name, app_logic, size) for name in _ORIENTATIONS}
        self.three_d = ThreeDView(scene, app_logic, size)

    def show(self, background: Any, field_of_view: float | None = None) -> None:
        for view in self.slices.values():
            view.show(background, field_of_view)

    def caption(self, text: str) -> None:
        """One line below the 3D view."""
        if not hasattr(self, "_caption"):
            self._caption = vtk.vtkTextActor()
            self._caption.GetTextProperty().SetFontSize(11)
            self._caption.GetTextProperty().SetColor(0.75, 0.78, 0.82)
            self._caption.SetPosition(8, 8)
            self.three_d.renderer.AddViewProp(self._caption)
        self._caption.SetInput(text)

    def pixels(self, gap: int = 4) -> np.ndarray:
        """(height, width, 3) uint8."""
        red, green, yellow = (self.slices[name].pixels() for name in ("Red", "Green", "Yellow"))
        strip = np.full((red.shape[0], gap, 3), 60, np.uint8)
        rows = [np.hstack([red, strip, self.three_d.pixels()]), np.hstack([green, strip, yellow])]
        bar = np.full((gap, rows[0].shape[1], 3), 60, np.uint8)
        return np.vstack([rows[0], bar, rows[1]])


def write_png(pixels: np.ndarray, path: Any) -> None:
    """Save (height, width, 3) uint8."""
    image = vtk.vtkImageData()
    image.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(pixels.shape)[...] = pixels[::-1]
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()


def read_png(path: Any) -> np.ndarray:
    """(height, width, 3) uint8."""
    reader = vtk.vtkPNGReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()
