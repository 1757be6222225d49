"""What an affine says: 4×4 matrices from voxel indices to world coordinates in mm, RAS as in nibabel unless the name says LPS.

Needs numpy alone: 3D Slicer looks at its volumes with this before anything else is installed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From DICOM's and ITK's world (left, posterior, superior) to RAS, and back: it is its own inverse."""

BRATS_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239.0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
"""The grid of the BraTS data, 1 mm in the space of the SRI24 atlas; indices grow towards left, posterior and superior."""
BRATS_SHAPE = (240, 240, 155)


def plane_affine(
    position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float], step: Sequence[float] | None = None
) -> np.ndarray:
    """The affine (4, 4), (column, row, slice) → world RAS mm, of an image plane as DICOM describes it (PS3.3 C.7.6.2.1.1).

    Args:
        position: ImagePositionPatient, LPS mm.
        orientation: ImageOrientationPatient, the directions along a row and along a column, LPS.
        spacing: PixelSpacing, mm between rows and between columns.
        step: from one slice to the next, LPS mm; without it the unit normal.
    """
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along_row * spacing[1], along_column * spacing[0]
    affine[:3, 2] = np.cross(along_row, along_column) if step is None else step
    affine[:3, 3] = position
    return LPS_TO_RAS @ affine


def transform_points(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take points (..., 3) through an affine (4, 4)."""
    return points @ affine[:3, :3].T + affine[:3, 3]


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """Voxel size (3,) in mm along each array axis."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def directions(affine: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to an affine's axes (polar decomposition): directions without spacing or shear."""
    spacing = spacing_of(affine)
    left, _, right = np.linalg.svd(affine[:3, :3] / np.where(spacing > 0, spacing, 1.0))
    return left @ right


def nearest_axes(turn: np.ndarray) -> list[tuple[int, int]]:
    """For each column of an orthogonal matrix (3, 3), the row that it is nearest to and its sign there; each row once.

    The column that is nearest to any row chooses first, as in nibabel's `io_orientation`.
    """
    free, found = np.abs(turn), [(0, 1)] * 3
    for column in np.argsort(-free.max(axis=0), kind="stable"):
        row = int(free[:, column].argmax())
        found[column] = (row, 1 if turn[row, column] >= 0 else -1)
        free[row] = -1.0
    return found


def axis_codes(affine: np.ndarray) -> str:
    """Which way each array axis runs, e.g. "LPS" where indices grow towards left, posterior and superior."""
    return "".join("RAS"[row] if sign > 0 else "LPI"[row] for row, sign in nearest_axes(directions(affine)))
