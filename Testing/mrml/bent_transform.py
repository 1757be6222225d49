"""A transform that no matrix describes."""

from __future__ import annotations

import numpy as np
import vtk


def bent_transform() -> vtk.vtkThinPlateSplineTransform:
    points = vtk.vtkPoints(), vtk.vtkPoints()
    for k, point in enumerate([(0, 0, 0), (50, 0, 0), (0, 50, 0), (0, 0, 50)]):
        points[0].InsertNextPoint(*point)
        points[1].InsertNextPoint(*(np.array(point) + 5 * k))
    transform = vtk.vtkThinPlateSplineTransform()
    transform.SetBasisToR()
    transform.SetSourceLandmarks(points[0])
    transform.SetTargetLandmarks(points[1])
    return transform
