"""How the brain is extracted: by a mask of the user, or by a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from LDMSegModule.parameters.SegmentParameters import DEEPBET
from LDMSegModule.scene.SegmentLabels import BINARY_LABELMAP


@dataclass(frozen=True)
class BrainChoice:
    """Two choices are equal as long as nothing has changed: neither what is chosen, nor the mask's voxels or place.

    Attributes:
        mask: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode; None = the brain is extracted by a network.
        extraction: The network to look with, in the command line's word.
        installed: Whether that network's package is there.
        changed: When the mask last changed, see `of`.
    """

    mask: Any = None
    extraction: str = DEEPBET
    installed: bool = True
    changed: tuple[int, ...] = ()

    @classmethod
    def of(cls, mask: Any, extraction: str, installed: bool) -> BrainChoice:
        """The choice as the mask is now; a mask that is in no scene any more is none."""
        if mask is not None and mask.GetScene() is None:
            mask = None
        return cls(mask, extraction, installed, () if mask is None else _times(mask))


def _times(node: Any) -> tuple[int, ...]:
    transform = node.GetParentTransformNode()
    times = [node.GetMTime(), transform.GetTransformToWorldMTime() if transform else 0]
    if not node.IsA("vtkMRMLSegmentationNode"):
        image = node.GetImageData()
        return (*times, image.GetMTime() if image is not None else 0)
    segmentation = node.GetSegmentation()
    segments = [segmentation.GetNthSegment(k) for k in range(segmentation.GetNumberOfSegments())]
    images = [segment.GetRepresentation(BINARY_LABELMAP) for segment in segments]
    return (*times, segmentation.GetMTime(), *(image.GetMTime() for image in images if image is not None))
