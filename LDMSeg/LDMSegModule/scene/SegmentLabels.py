"""Convert between a segmentation node's segments and a label map array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from LDMSegLib.specification import Label
from LDMSegModule.scene.Terminology import Terminology
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

BINARY_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
CLOSED_SURFACE = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()


class SegmentLabels:
    """The segments of one segmentation node as one label map on the grid of a volume node.

    All segments share one image, as Slicer itself stores segments that don't overlap; a change of threshold rewrites its
    voxels in place.
    """

    def __init__(self, segmentation: Any, grid: Any, labels: Sequence[Label]) -> None:
        """Take a vtkMRMLSegmentationNode, a volume node under the same transform for its grid, and the labels in order."""
        self._node = segmentation
        self._grid = grid
        self._labels = tuple(labels)
        self._image: Any = None
        self._written = 0
        self._filled: tuple[slice, ...] | None = ()

    def create(self, array: np.ndarray, terminology: Terminology) -> None:
        """Make one segment for each label, empty ones too, from (Z, Y, X) uint8; the segment's ID is the label's name."""
        image = self._oriented(array.shape)
        _voxels(image)[...] = array
        segmentation = self._node.GetSegmentation()
        self._node.SetReferenceImageGeometryParameterFromVolumeNode(self._grid)
        for label in self._labels:
            segment = slicer.vtkSegment()
            segment.SetName(f"{label.title} ({label.name})" if label.title != label.name else label.name)
            segment.SetColor(*(c / 255.0 for c in label.color))
            segment.SetLabelValue(label.value)
            segment.SetTag(segment.GetTerminologyEntryTagName(), terminology.tag(label))
            segment.AddRepresentation(BINARY_LABELMAP, image)
            segmentation.AddSegment(segment, label.name)
        self._remember(image)

    def read(self) -> np.ndarray:
        """(Z, Y, X) uint8 in the labels' values: the segments as they are now, wherever an editor has stored them."""
        segmentation = self._node.GetSegmentation()
        present = [label for label in self._labels if segmentation.GetSegment(label.name) is not None]
        shape = VolumeGeometry.of(self._grid).shape
        out = np.zeros(shape[::-1], np.uint8)
        if not present:
            return out
        merged = slicer.vtkOrientedImageData()
        ids = vtk.vtkStringArray()
        for label in present:
            ids.InsertNextValue(label.name)
        self._node.GenerateMergedLabelmapForAllSegments(
            merged, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, self._oriented(out.shape), ids
        )
        values = np.array([0, *(label.value for label in present)], np.uint8)
        found = _voxels(merged)
        if found.shape != out.shape:
            raise RuntimeError(f"the segments were merged onto {found.shape} voxels, expected {out.shape}")
        return values[found]

    def write(self, array: np.ndarray, box: tuple[slice, ...] | None = None) -> None:
        """Replace all segments' voxels by (Z, Y, X) uint8; with a box, what lies outside it becomes empty.

        Segments that an editor has moved into images of their own share one image again. Segments that the user removed
        stay removed; segments that the user added are left alone.
        """
        segmentation = self._node.GetSegmentation()
        present = [label for label in self._labels if segmentation.GetSegment(label.name) is not None]
        shape = VolumeGeometry.of(self._grid).shape[::-1]
        image = self._image if self.untouched else self._oriented(shape)
        voxels = _voxels(image)
        gone = [label.value for label in self._labels if label not in present]
        if gone:
            array = np.where(np.isin(array, gone), 0, array)
        # one change for the viewers, not one for each segment
        was = self._node.StartModify()
        if image is not self._image or box != self._filled:  # outside a box that was filled before there is nothing to wipe away
            voxels[...] = 0
            self._filled = box
        voxels[box or ...] = array
        for label in present:
            segment = segmentation.GetSegment(label.name)
            if segment.GetRepresentation(BINARY_LABELMAP) is not image:
                segment.SetLabelValue(label.value)
                segment.AddRepresentation(BINARY_LABELMAP, image)
        image.GetPointData().GetScalars().Modified()
        image.Modified()
        self._node.EndModify(was)
        self._remember(image)

    @property
    def untouched(self) -> bool:
        """Whether nobody has changed the voxels since they were last written here. False says only: maybe."""
        if self._image is None or self._image.GetMTime() != self._written:
            return False
        segmentation = self._node.GetSegmentation()
        segments = [segmentation.GetSegment(label.name) for label in self._labels]
        return all(segment is None or segment.GetRepresentation(BINARY_LABELMAP) is self._image for segment in segments)

    def _remember(self, image: Any) -> None:
        self._image = image
        self._written = image.GetMTime()

    def _oriented(self, shape: Sequence[int]) -> Any:
        image = slicer.vtkOrientedImageData()
        image.SetExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(VolumeGeometry.of(self._grid).local))
        _voxels(image)[...] = 0
        return image


def _voxels(image: Any) -> np.ndarray:
    """The image's voxels (Z, Y, X), shared, not copied; slicer.util reads volume nodes, this image belongs to a segment."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
