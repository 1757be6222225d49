"""Size, spacing and state of a volume in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from LDMSegModule.scene.VolumeGeometry import VolumeGeometry


@dataclass(frozen=True)
class VolumeFacts:
    """Size, spacing, orientation and range of a volume node.

    Attributes:
        size: Voxels along each array axis.
        spacing: Voxel size in mm along each array axis, in world space.
        orientation: Which way each axis runs in world space, e.g. "LPS".
        oblique_degrees: The largest angle between an axis and the body axis it is named after.
        range: Lowest and highest value, NaN without voxels.
        transformed: Whether the volume lies under a transform.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    orientation: str
    oblique_degrees: float
    range: tuple[float, float]
    transformed: bool

    @classmethod
    def of(cls, node: Any) -> VolumeFacts:
        """The facts of a vtkMRMLScalarVolumeNode."""
        geometry = VolumeGeometry.of(node)
        low = high = float("nan")
        if min(geometry.shape) > 0:
            array = slicer.util.arrayFromVolume(node)
            low, high = float(array.min()), float(array.max())
        return cls(
            size=geometry.shape,
            spacing=geometry.spacing,
            orientation=geometry.orientation,
            oblique_degrees=geometry.oblique_degrees,
            range=(low, high),
            transformed=node.GetParentTransformNode() is not None,
        )

    @property
    def text(self) -> str:
        """e.g. "240×240×155 · 1×1×1 mm · LPS · 0 to 1834"."""
        if min(self.size) == 0:
            return "no voxels"
        parts = ["×".join(str(n) for n in self.size), "×".join(f"{s:.3g}" for s in self.spacing) + " mm", self.orientation]
        if self.oblique_degrees >= 0.5:
            parts[-1] += f", oblique {self.oblique_degrees:.0f}°"
        low, high = self.range
        parts.append(f"{_number(low)} to {_number(high)}" if np.isfinite([low, high]).all() else "values that are not numbers")
        if self.transformed:
            parts.append("transformed")
        return " · ".join(parts)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
