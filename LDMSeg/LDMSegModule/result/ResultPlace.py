"""Place a result's maps on the volume they were made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from LDMSegLib.spatial.grids import same_grid
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

REFERENCE_ATTRIBUTE = "LDMSeg.OnReference"


def place(node: Any, affine: np.ndarray, shape: tuple[int, ...], reference: Any) -> bool:
    """Give a volume node the reference's own geometry and transform where the map lies on its grid, else that of the file.

    The reference's geometry is the more exact one: a file's affine has single precision, and a transform has been worked into
    it. With the transform, the result follows when the volume is moved.

    Args:
        node: vtkMRMLVolumeNode to be placed.
        affine: (4, 4) of the map's file, voxel to world RAS in mm.
        shape: (Z, Y, X) of the map.
        reference: vtkMRMLVolumeNode the input was exported from, or None.

    Returns:
        Whether the node now lies on the reference.
    """
    if reference is not None and reference.GetScene() is not None:
        grid = VolumeGeometry.of(reference)
        if grid.world is not None and same_grid(grid.world, grid.shape, affine, tuple(shape)[::-1]):
            node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(grid.local))
            if node.GetScene() is not None:
                node.SetAndObserveTransformNodeID(reference.GetTransformNodeID())
                node.SetAttribute(REFERENCE_ATTRIBUTE, reference.GetID())
            return True
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    return False
