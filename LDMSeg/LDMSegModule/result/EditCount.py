"""Count the voxels of a result that were edited by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import slicer

from LDMSegModule.result.Result import Result
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry


@dataclass(frozen=True)
class Edits:
    """Voxels that differ from the computed result.

    Attributes:
        added, removed: Label name → voxels that the label has gained and lost.
        changed_voxels: Voxels whose label is another one now; less than the sum above where one label became another.
        changed_ml: Their volume.
        volumes_ml: Region name → mL of the segments as they are now, those that the user has added left out.
        new_segments: Names of segments that the user has added; their voxels are not counted.
    """

    added: Mapping[str, int]
    removed: Mapping[str, int]
    changed_voxels: int
    changed_ml: float
    volumes_ml: Mapping[str, float]
    new_segments: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """e.g. "Edited: 1204 voxels (1.20 mL): ET +900 −12, ED −888"."""
        if not (self.changed_voxels or self.new_segments):
            return "Not edited."
        parts = []
        for name in self.added:
            signs = [f"+{self.added[name]}"] * bool(self.added[name]) + [f"−{self.removed[name]}"] * bool(self.removed[name])
            parts += [" ".join((name, *signs))] if signs else []
        said = f"Edited: {self.changed_voxels} voxels ({self.changed_ml:.2f} mL): {', '.join(parts)}" if parts else "Edited"
        return said + (f"; added segments: {', '.join(self.new_segments)} (not in the volumes)" if self.new_segments else "") + "."


class EditCount:
    """Compares a result's segments with the labels as they were computed at the present threshold."""

    ATTRIBUTE = "LDMSeg.EditedVoxels"

    def __init__(self, result: Result) -> None:
        self._result = result
        self._segments = SegmentLabels(result.segmentation, result.original, result.labels)

    def count(self) -> Edits:
        """Count, and note the number as an attribute of the segmentation node, for its record."""
        result = self._result
        now, before = self._segments.read(), slicer.util.arrayFromVolume(result.original)
        voxels_of = {label.name: int(np.count_nonzero(now == label.value)) for label in result.labels}
        where = np.flatnonzero(now != before)
        now, before = now.ravel()[where], before.ravel()[where]
        segmentation = result.segmentation.GetSegmentation()
        ids = [segmentation.GetNthSegmentID(k) for k in range(segmentation.GetNumberOfSegments())]
        known = {label.name for label in result.labels}
        voxel_ml = abs(np.linalg.det(VolumeGeometry.of(result.original).local[:3, :3])) / 1000.0
        edits = Edits(
            added={label.name: int(np.count_nonzero(now == label.value)) for label in result.labels},
            removed={label.name: int(np.count_nonzero(before == label.value)) for label in result.labels},
            changed_voxels=len(where),
            changed_ml=float(len(where) * voxel_ml),
            volumes_ml={region.name: float(sum(voxels_of[name] for name in region.labels) * voxel_ml) for region in result.regions},
            new_segments=tuple(segmentation.GetSegment(i).GetName() for i in ids if i not in known),
        )
        result.segmentation.SetAttribute(self.ATTRIBUTE, str(edits.changed_voxels))
        return edits
