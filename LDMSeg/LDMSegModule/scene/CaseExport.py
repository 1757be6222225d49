"""Write volume nodes as NIfTI files in world space."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk

from LDMSegLib.errors import InputError, OutputError
from LDMSegModule.scene.BrainMask import BrainMask
from LDMSegModule.scene.NiftiFile import NiftiFile
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

_MOST_VOXELS = 512**3


class CaseExport:
    """Writes the volumes of a case in world space; the scene stays as it is.

    Under a linear transform no voxel changes: the transform becomes part of the affine, sheared and oblique ones included.
    Under any other transform the volume is resampled (linearly) onto an upright grid of its own spacing that holds all of it.
    """

    def write(self, nodes: Mapping[str, Any], folder: str | Path) -> dict[str, Path]:
        """Write one file for each sequence, named after it.

        Args:
            nodes: sequence name → vtkMRMLScalarVolumeNode.
            folder: made where it is missing.

        Returns:
            Sequence name → file.

        Raises:
            InputError: A node has no voxels.
            OutputError: The folder or a file cannot be written.
        """
        folder = _made(folder)
        files = {}
        for name, node in nodes.items():
            files[name] = folder / f"{name}.nii"
            self.image(node).write(files[name])
        return files

    def write_mask(self, node: Any, folder: str | Path) -> Path:
        """Write a brain mask on its own grid, 0 and 1.

        Args:
            node: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode.
            folder: made where it is missing.

        Returns:
            The file.

        Raises:
            InputError: The mask marks nothing, or lies under a transform that no matrix describes.
            OutputError: The folder or the file cannot be written.
        """
        mask = BrainMask.of(node).file()
        file = _made(folder) / "brain_mask.nii"
        mask.write(file)
        return file

    def image(self, node: Any) -> NiftiFile:
        """One volume in world space.

        Raises:
            InputError: The node has no voxels.
        """
        geometry = VolumeGeometry.of(node)
        if min(geometry.shape) == 0:
            raise InputError(f"the volume '{node.GetName()}' holds no voxels, expected an image; load it again or choose another")
        if geometry.world is None:
            return _resampled(node, geometry)
        array = slicer.util.arrayFromVolume(node)
        return NiftiFile(array, geometry.world)


def _made(folder: str | Path) -> Path:
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made ({error.strerror}), expected a place for temporary files; choose another in "
            "Slicer's settings"
        ) from None
    return folder


def _resampled(node: Any, geometry: VolumeGeometry) -> NiftiFile:
    lower, upper = _world_bounds(node, geometry)
    # the spacing of the array axis that runs most along each body axis
    along = np.abs(geometry.local[:3, :3]).argmax(axis=1)
    spacing = np.linalg.norm(geometry.local[:3, :3], axis=0)[along]
    shape = np.maximum(np.ceil((upper - lower) / spacing - 1e-6), 1).astype(int)
    if shape.prod() > _MOST_VOXELS:
        raise InputError(
            f"the transform of '{node.GetName()}' spreads it over {'×'.join(str(n) for n in shape)} voxels, expected at most 512×512×512; "
            "check the transform"
        )
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = lower + spacing / 2

    back = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, node.GetParentTransformNode(), back)
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    chain.Concatenate(slicer.util.vtkMatrixFromArray(affine))
    chain.Concatenate(back)
    chain.Concatenate(slicer.util.vtkMatrixFromArray(np.linalg.inv(geometry.local)))

    source = vtk.vtkImageData()
    source.ShallowCopy(node.GetImageData())
    source.SetExtent(0, geometry.shape[0] - 1, 0, geometry.shape[1] - 1, 0, geometry.shape[2] - 1)
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(source)
    reslice.SetResliceTransform(chain)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputExtent(0, shape[0] - 1, 0, shape[1] - 1, 0, shape[2] - 1)
    reslice.SetBackgroundLevel(0.0)
    reslice.Update()
    holder = slicer.vtkMRMLScalarVolumeNode()
    holder.SetAndObserveImageData(reslice.GetOutput())
    return NiftiFile(slicer.util.arrayFromVolume(holder).copy(), affine)


def _world_bounds(node: Any, geometry: VolumeGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the upright box that holds the volume: from a lattice, since a bent box reaches beyond its own corners."""
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    lines = [np.linspace(-0.5, n - 0.5, 9) for n in geometry.shape]
    lattice = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
    points = lattice @ geometry.local[:3, :3].T + geometry.local[:3, 3]
    world = np.array([to_world.TransformPoint(point) for point in points])
    return world.min(axis=0), world.max(axis=0)
