"""Apply a probability threshold to a result: segmentation and volumes follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from LDMSegLib.errors import InputError
from LDMSegLib.postprocessing.regions import label_map
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegModule.result.EditCount import EditCount
from LDMSegModule.result.Result import THRESHOLD_ATTRIBUTE, Result
from LDMSegModule.result.VolumesTable import VolumesTable
from LDMSegModule.scene.SegmentLabels import CLOSED_SURFACE, SegmentLabels
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

SURFACES_ATTRIBUTE = "LDMSeg.Surfaces"

LOWEST = 0.02
"""Only voxels at least this probable are looked at; a threshold below it looks at all of them, and takes longer."""


@dataclass(frozen=True)
class ThresholdUpdate:
    """What became of a new threshold.

    Attributes:
        applied: False where it would have overwritten edits.
        threshold: The one in force now.
        volumes_ml: Region → volume in mL.
        message: One sentence for the user, empty where all went its way.
    """

    applied: bool
    threshold: float
    volumes_ml: dict[str, float]
    message: str = ""


class LiveThreshold:
    """Derives segmentation and volumes of a result anew from its probability volumes.

    Edits are never overwritten unasked: `set` then changes nothing and says how many voxels would be lost.
    """

    def __init__(self, result: Result) -> None:
        """Raises:
        InputError: A probability volume no longer lies on the result's grid.
        """
        self._result = result
        self._segments = SegmentLabels(result.segmentation, result.original, result.labels)
        self._edits = EditCount(result)
        self._arrays = [_voxels(result.probabilities[region.name], result) for region in result.regions]
        self._box = bounding_box(np.maximum.reduce(self._arrays) >= LOWEST) or tuple(slice(0, 1) for _ in range(3))
        self._filled: tuple[tuple[slice, ...], int] | None = None
        self._inside = np.stack([array[self._box] for array in self._arrays])
        self._read = self._maps()
        self._voxel_mm3 = float(abs(np.linalg.det(VolumeGeometry.of(result.original).local[:3, :3])))

    def set(self, value: float, discard_edits: bool = False) -> ThresholdUpdate:
        """Make `value` the threshold of all regions.

        Args:
            value: 0 < value <= 1; a region is on where its probability is at or above it.
            discard_edits: Overwrite what the user has edited.
        """
        value = float(min(max(value, 1e-3), 1.0))
        result = self._result
        if not discard_edits and not self._segments.untouched:
            edited = self._edits.count().changed_voxels
            if edited:
                return ThresholdUpdate(
                    False,
                    result.threshold,
                    VolumesTable(result.table).volumes_ml,
                    f"{edited} voxels of '{result.segmentation.GetName()}' have been edited by hand and would be lost, so the threshold "
                    f"stays at {result.threshold:.2f}; discard the edits first, or make a copy of the segmentation.",
                )
        box, inside = (self._box, self._inside) if value >= LOWEST else ((slice(None),) * 3, np.stack(self._arrays))
        labels = label_map(inside, result.labels, result.regions, value, smallest_mm3=result.smallest_mm3, voxel_mm3=self._voxel_mm3)
        self._segments.write(labels, box)
        original = slicer.util.arrayFromVolume(result.original)
        image = result.original.GetImageData()
        if self._filled != (box, image.GetMTime()):  # outside the box that we filled last there is nothing to wipe away
            original[...] = 0
        original[box] = labels
        slicer.util.arrayFromVolumeModified(result.original)
        self._filled = box, image.GetMTime()
        result.segmentation.SetAttribute(THRESHOLD_ATTRIBUTE, repr(value))
        of_label = {label.name: int(np.count_nonzero(labels == label.value)) for label in result.labels}
        volumes = {region.name: sum(of_label[name] for name in region.labels) * self._voxel_mm3 / 1000.0 for region in result.regions}
        VolumesTable(result.table).update(volumes, value)
        return ThresholdUpdate(True, value, volumes)

    @property
    def outdated(self) -> bool:
        """Whether the probability volumes have been changed since they were read here."""
        return self._read != self._maps()

    def _maps(self) -> list[tuple[Any, int]]:
        images = [node.GetImageData() for node in self._result.probabilities.values()]
        return [(image, image.GetMTime() if image is not None else 0) for image in images]

    def settle(self) -> None:
        """Bring surfaces up to date after the slider was let go, if any are shown; too slow to follow every move."""
        display = self._result.segmentation.GetDisplayNode()
        segmentation = self._result.segmentation.GetSegmentation()
        if display is not None and self._surfaces_wanted and not segmentation.ContainsRepresentation(CLOSED_SURFACE):
            self._result.segmentation.CreateClosedSurfaceRepresentation()

    @property
    def _surfaces_wanted(self) -> bool:
        return self._result.segmentation.GetAttribute(SURFACES_ATTRIBUTE) == "yes"


def _voxels(node: Any, result: Result) -> np.ndarray:
    """(Z, Y, X) of a map, if it is still as large as the result."""
    found, expected = VolumeGeometry.of(node).shape, VolumeGeometry.of(result.original).shape
    if found != expected:
        size, right = ("×".join(str(n) for n in shape) for shape in (found, expected))
        raise InputError(
            f"'{node.GetName()}' has been changed to {size} voxels, expected the result's grid of {right}, so the threshold cannot be "
            "moved; run the segmentation again"
        )
    return slicer.util.arrayFromVolume(node)
