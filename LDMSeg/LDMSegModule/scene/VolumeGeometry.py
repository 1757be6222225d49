"""Where a volume node's voxels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from LDMSegLib.spatial.affine import axis_codes, directions, spacing_of


@dataclass(frozen=True, eq=False)
class VolumeGeometry:
    """A volume's voxel grid, for arrays (X, Y, Z).

    Attributes:
        shape: Voxels along each array axis; (0, 0, 0) without image data.
        local: (4, 4) voxel to the node's own RAS in mm: what is stored in the node, whatever transform it is under.
        world: (4, 4) voxel to world RAS in mm; None under a transform that no matrix describes.
    """

    shape: tuple[int, int, int]
    local: np.ndarray
    world: np.ndarray | None

    @classmethod
    def of(cls, node: Any) -> VolumeGeometry:
        """The geometry of a vtkMRMLVolumeNode."""
        image = node.GetImageData()
        # A grid whose first index is not 0 counts its voxels from there, as array indices never do.
        first = np.eye(4)
        shape = (0, 0, 0)
        if image is not None:
            shape = tuple(int(n) for n in image.GetDimensions())
            first[:3, 3] = image.GetExtent()[::2]
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        local = slicer.util.arrayFromVTKMatrix(matrix) @ first
        to_world = world_matrix(node)
        return cls(shape=shape, local=local, world=None if to_world is None else to_world @ local)

    @property
    def affine(self) -> np.ndarray:
        """The world affine where there is one, else the node's own: good enough to describe the volume in words."""
        return self.local if self.world is None else self.world

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along each array axis."""
        return tuple(float(s) for s in spacing_of(self.affine))

    @property
    def orientation(self) -> str:
        """Which way each array axis runs, e.g. "LPS" where indices grow towards left, posterior and superior."""
        return axis_codes(self.affine)

    @property
    def oblique_degrees(self) -> float:
        """The largest angle between an array axis and the body axis it is named after."""
        nearest = np.abs(directions(self.affine)).max(axis=0)
        return float(np.degrees(np.arccos(np.clip(nearest, 0.0, 1.0))).max())


def world_matrix(node: Any) -> np.ndarray | None:
    """(4, 4) from a transformable node's own RAS to world RAS in mm; None where the way is not linear."""
    transform = node.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not transform.IsTransformToWorldLinear():
        return None
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
