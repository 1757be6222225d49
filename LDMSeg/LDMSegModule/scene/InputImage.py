"""A volume node seen through a coarse lattice of its voxels: enough to judge it, cheap enough to do so at every click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

LATTICE = 96
"""Every n-th voxel is taken, so that about this many remain along an axis."""


@dataclass(frozen=True, eq=False)
class InputImage:
    """`array` (X, Y, Z) float32 is every `steps`-th voxel, `affine` (4, 4) places it in world RAS in mm.

    It is what LDMSegLib.preprocessing.quality calls a volume; a node always says how it lies, so there is no `header` to ask.
    """

    node: Any
    geometry: VolumeGeometry
    array: np.ndarray
    affine: np.ndarray
    header: None = None

    @classmethod
    def of(cls, node: Any) -> InputImage:
        """The image of a vtkMRMLScalarVolumeNode that holds voxels."""
        geometry = VolumeGeometry.of(node)
        steps = tuple(max(1, n // LATTICE) for n in geometry.shape)
        array = slicer.util.arrayFromVolume(node).T[tuple(slice(None, None, step) for step in steps)].astype(np.float32)
        return cls(node, geometry, array, geometry.affine @ np.diag([*steps, 1.0]))

    @property
    def title(self) -> str:
        """What the user calls the volume."""
        return self.node.GetName() or "without a name"

    @property
    def path(self) -> None:
        """A node is no file."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        return tuple(int(n) for n in self.array.shape)

    def same_grid(self, other: InputImage, tolerance: float) -> bool:
        """Whether both grids hold the same voxels, to `tolerance` mm; axes stored in another order are no difference."""
        if sorted(self.geometry.shape) != sorted(other.geometry.shape) or None in (_linear(self), _linear(other)):
            return False
        index = np.array(np.meshgrid(*[(0, n - 1) for n in self.geometry.shape], indexing="ij")).reshape(3, -1).T
        there = _apply(np.linalg.inv(other.geometry.affine) @ self.geometry.affine, index)
        nearest = np.clip(np.rint(there), 0, np.array(other.geometry.shape) - 1)
        # At every corner of one grid there is a corner of the other.
        at_corner = np.isin(nearest, (0,)) | (nearest == np.array(other.geometry.shape) - 1)
        distance = np.linalg.norm((there - nearest) @ other.geometry.affine[:3, :3].T, axis=1)
        return bool(at_corner.all() and distance.max() <= tolerance)

    def coverage(self, target: InputImage) -> float:
        """The share, 0 to 1, of the target's field of view that this image covers, counted on a lattice of 24³ points."""
        lines = [np.linspace(-0.5, n - 0.5, 25)[:-1] + n / 48 for n in target.geometry.shape]
        points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3)
        index = _apply(np.linalg.inv(self.geometry.affine) @ target.geometry.affine, points)
        return float(((index >= -0.5) & (index <= np.asarray(self.geometry.shape) - 0.5)).all(axis=1).mean())

    def difference(self, target: InputImage) -> str:
        """How this grid differs from the target's, for a person."""
        a, b = self.geometry, target.geometry
        said = []
        if sorted(a.shape) != sorted(b.shape):
            said.append(f"{_times(a.shape)} voxels instead of {_times(b.shape)}")
        if not np.allclose(sorted(a.spacing), sorted(b.spacing), rtol=1e-3):
            said.append(f"{_times(a.spacing)} mm instead of {_times(b.spacing)}")
        centres = [_apply(g.affine, (np.asarray(g.shape) - 1) / 2) for g in (a, b)]
        shift = float(np.linalg.norm(centres[0] - centres[1]))
        if shift > 0.1:
            said.append(f"its centre {shift:.1f} mm away")
        if abs(a.oblique_degrees - b.oblique_degrees) > 0.05:
            said.append(f"turned by about {abs(a.oblique_degrees - b.oblique_degrees):.1f}°")
        return ", ".join(said) or "slightly turned"

    def sampled_at(self, target: InputImage, every: int = 2) -> np.ndarray:
        """The nearest lattice voxel of this image at every n-th lattice voxel of the target, 0 outside: `target.array[::n, ::n, ::n]`."""
        coarse = tuple(slice(None, None, every) for _ in range(3))
        if self.shape == target.shape and np.abs(self.affine - target.affine).max() < 1e-3:
            return self.array[coarse]
        step = np.linalg.inv(self.affine) @ target.affine
        x, y, z = np.ogrid[tuple(slice(0, n, every) for n in target.shape)]
        # The index along each axis of this image is a sum of one term for each axis of the target.
        index = [np.rint(s[0] * x + s[1] * y + s[2] * z + s[3]).astype(np.int32) for s in step[:3]]
        inside = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(index, self.shape, strict=True)])
        return np.where(inside, self.array[tuple(np.clip(i, 0, n - 1) for i, n in zip(index, self.shape, strict=True))], np.float32(0))


def _linear(image: InputImage) -> bool | None:
    return None if image.geometry.world is None else True


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]


def _times(values: tuple[float, ...]) -> str:
    return "×".join(f"{value:.3g}" for value in values)
