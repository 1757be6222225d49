"""A volume node with a coarse sample of its voxels: enough to judge it, cheap enough to do so at every click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from LDMSegLib.spatial.grids import aligned_grid, same_grid
from LDMSegLib.spatial.volume import Volume
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

SAMPLE = 96
"""Every n-th voxel is taken, so that about this many remain along an axis."""


@dataclass(frozen=True, eq=False)
class SceneImage:
    """`geometry` is the node's whole grid, `sample` every n-th of its voxels, float32, placed in world RAS."""

    node: Any
    geometry: VolumeGeometry
    sample: Volume

    @classmethod
    def of(cls, node: Any) -> SceneImage:
        """The image of a vtkMRMLScalarVolumeNode that holds voxels."""
        geometry = VolumeGeometry.of(node)
        steps = tuple(max(1, n // SAMPLE) for n in geometry.shape)
        array = slicer.util.arrayFromVolume(node).T[tuple(slice(None, None, step) for step in steps)].astype(np.float32)
        return cls(node, geometry, Volume(array, geometry.affine @ np.diag([*steps, 1.0])))

    @property
    def title(self) -> str:
        return self.node.GetName() or "without a name"

    @property
    def grid(self) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Affine and shape of the whole image."""
        return self.geometry.affine, self.geometry.shape

    def same_grid(self, other: SceneImage) -> bool:
        """Whether both grids hold the same voxels; axes stored in another order are no difference, a bent transform is."""
        if self.geometry.world is None or other.geometry.world is None:
            return False
        return same_grid(*aligned_grid(*self.grid, other.geometry.affine), *other.grid)
