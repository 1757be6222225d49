"""A brain mask of the scene: its voxels and where they lie in world space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from LDMSegLib.errors import InputError
from LDMSegLib.spatial.boxes import bounding_box, whole_grid
from LDMSegModule.scene.NiftiFile import NiftiFile
from LDMSegModule.scene.SegmentLabels import BINARY_LABELMAP
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry, world_matrix


@dataclass(frozen=True, eq=False)
class BrainMask:
    """Read from a vtkMRMLSegmentationNode, all of whose segments count, or from a vtkMRMLLabelMapVolumeNode.

    Attributes:
        title: The node's name.
        array: (Z, Y, X) uint8, 1 = brain, on the mask's own grid; without a voxel where there is nothing at all.
        affine: (4, 4) voxel (i, j, k) to world RAS in mm; None under a transform that no matrix describes.
        parts: How many segments there are; 1 for a label map.
    """

    title: str
    array: np.ndarray
    affine: np.ndarray | None
    parts: int

    @classmethod
    def of(cls, node: Any) -> BrainMask:
        """The mask as it is now; the node stays as it is."""
        title = node.GetName() or "without a name"
        if node.IsA("vtkMRMLSegmentationNode"):
            array, local, parts = _merged(node)
            to_world = world_matrix(node)
            return cls(title, array, None if to_world is None else to_world @ local, parts)
        geometry = VolumeGeometry.of(node)
        if min(geometry.shape) == 0:
            return cls(title, np.zeros((0, 0, 0), np.uint8), geometry.world, 1)
        return cls(title, (slicer.util.arrayFromVolume(node) > 0).astype(np.uint8), geometry.world, 1)

    @property
    def millilitres(self) -> float:
        """How much it marks; 0 where its place is not known."""
        if self.affine is None:
            return 0.0
        return float(np.count_nonzero(self.array)) * float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def problem(self) -> str:
        """Why it cannot be used, in one sentence; "" where it can."""
        if self.affine is None:
            return f"the brain mask '{self.title}' lies under a non-linear transform: harden the transform or choose another mask"
        if self.parts == 0:
            return f"the brain mask '{self.title}' has no segments: draw the brain into it or choose another mask"
        if not self.array.any():
            return f"the brain mask '{self.title}' is empty, no voxel is marked: draw the brain into it or choose another mask"
        return ""

    def file(self) -> NiftiFile:
        """As it is written for `ldmseg segment --brain-mask`.

        Raises:
            InputError: it cannot be used.
        """
        if self.problem:
            raise InputError(self.problem)
        return NiftiFile(self.array, self.affine)


def _merged(node: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """All segments as one (Z, Y, X) uint8, the (4, 4) voxel to the node's own RAS, and how many there are.

    Only the box around what is marked is taken, with a voxel of nothing about it, so that the mask's edge is one for whoever
    interpolates.
    """
    node = _with_voxels(node)
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(k) for k in range(segmentation.GetNumberOfSegments())]
    images = [segment.GetRepresentation(BINARY_LABELMAP) for segment in segments]
    if segments and None not in images and all(image is images[0] for image in images):  # as Slicer stores what does not overlap
        image, values = images[0], [segment.GetLabelValue() for segment in segments]
    else:
        image, values = _on_one_grid(node, segmentation), None
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or min(image.GetDimensions()) < 1:
        return np.zeros((0, 0, 0), np.uint8), np.eye(4), len(segments)
    array = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    array, first = _cropped(array > 0 if values is None else np.isin(array, values))
    start = np.eye(4)
    start[:3, 3] = np.array(image.GetExtent()[::2]) + first[::-1] - 1
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return np.pad(array.astype(np.uint8), 1), slicer.util.arrayFromVTKMatrix(matrix) @ start, len(segments)


def _on_one_grid(node: Any, segmentation: Any) -> Any:
    """All segments merged into one vtkOrientedImageData; None where there are none."""
    ids, image = vtk.vtkStringArray(), slicer.vtkOrientedImageData()
    for k in range(segmentation.GetNumberOfSegments()):
        ids.InsertNextValue(segmentation.GetNthSegmentID(k))
    extent = slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS
    merged = ids.GetNumberOfValues() and node.GenerateMergedLabelmapForAllSegments(image, extent, None, ids)
    return image if merged else None


def _cropped(marked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The box around what is marked, and the index at which it begins; nothing is cropped where nothing is marked."""
    box = bounding_box(marked) or whole_grid(marked)
    return marked[box], np.array([part.start for part in box])


def _with_voxels(node: Any) -> Any:
    """The node, or where its segments are surfaces only, a copy outside the scene in which they are voxels."""
    segmentation = node.GetSegmentation()
    if not segmentation.GetNumberOfSegments() or segmentation.ContainsRepresentation(BINARY_LABELMAP):
        return node
    voxels = slicer.vtkSegmentation()
    voxels.DeepCopy(segmentation)
    copy = slicer.vtkMRMLSegmentationNode()
    copy.SetAndObserveSegmentation(voxels)
    copy.CreateBinaryLabelmapRepresentation()
    return copy
