"""What one case came to: every map, number and circumstance of a finished segmentation, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.postprocessing.uncertainty import UncertainRegion
from LDMSegLib.postprocessing.volumes import RegionVolume
from LDMSegLib.specification import Label, Region


def rests_on(finished: int, requested: int, views: int, views_requested: int) -> str:
    """What is to be said of a partial result: what it rests on, and how far that is a fair sample."""
    said = f"partial result: {finished} of {requested} members were finished when it was stopped"
    if views_requested > 1:
        said += f", in {views} of {views_requested} views of the images"
    return f"{said}; it is that of a run of {finished} member{'s' if finished > 1 else ''}, whose spread and variance are the less certain"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A finished segmentation on the reference sequence's own grid.

    Attributes:
        probabilities: (R, X, Y, Z) float32, nested: the mean of the members' continuous outputs, calibrated where the
            bundle says how (see `calibrate`).
        variance: (R, X, Y, Z) float32, the variance of those outputs over the members (not p (1 - p), which is the
            variance of binary votes and says nothing that the probability does not).
        label_map: (X, Y, Z) uint8 in the labels' own values.
        affine: (4, 4), voxel to world RAS in mm.
        labels, regions: From the bundle's specification, channel order.
        threshold: At or above which a region is on.
        members_finished, members_requested: Fewer finished than requested makes the result partial.
        views, views_requested: In how many ways the finished members looked at the images, and all would have.
        volumes: One per region.
        uncertain_regions: Worst first.
        warnings: Sentences the user should read.
        provenance: The content of provenance.json.
    """

    probabilities: np.ndarray
    variance: np.ndarray
    label_map: np.ndarray
    affine: np.ndarray
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    threshold: float
    members_finished: int
    members_requested: int
    volumes: tuple[RegionVolume, ...] = ()
    uncertain_regions: tuple[UncertainRegion, ...] = ()
    warnings: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    views: int = 1
    views_requested: int = 1

    def __post_init__(self) -> None:
        expected = (len(self.regions), *self.label_map.shape)
        for name, array in (("probabilities", self.probabilities), ("variance", self.variance)):
            if array.shape != expected or array.dtype != np.float32:
                raise ValueError(f"{name} are {array.dtype} of shape {array.shape}, expected float32 of shape {expected}")
        if self.label_map.ndim != 3 or self.label_map.dtype != np.uint8:
            raise ValueError(f"the label map is {self.label_map.dtype} of shape {self.label_map.shape}, expected uint8 of three axes")
        if np.shape(self.affine) != (4, 4):
            raise ValueError(f"the affine has shape {np.shape(self.affine)}, expected (4, 4)")
        if not 1 <= self.members_finished <= self.members_requested:
            raise ValueError(
                f"{self.members_finished} of {self.members_requested} members finished, expected at least one and not more than requested"
            )

    @property
    def partial(self) -> bool:
        """Whether the ensemble was stopped before all its members had finished."""
        return self.members_finished < self.members_requested

    def masks(self) -> np.ndarray:
        """(R, X, Y, Z) bool: the regions of the label map."""
        return region_masks(self.label_map, self.labels, self.regions)
