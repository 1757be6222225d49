"""Transforms as files that other programs read: ITK's text form (.tfm) and its MATLAB form (.mat).

Both hold what takes points of the target (fixed) image to the source (moving) image, in LPS, as ITK and 3D Slicer expect:
loaded in Slicer and applied to the source image, it moves it onto the target.
"""

from __future__ import annotations

import io

import numpy as np
from scipy.io import savemat

from LDMSegLib.spatial.affine import LPS_TO_RAS


def itk_text(matrix: np.ndarray) -> bytes:
    """A .tfm file of a transform from the source's world to the target's (4×4, RAS mm)."""
    numbers = " ".join(f"{x:.17g}" for x in _parameters(matrix))
    lines = ("#Insight Transform File V1.0", "#Transform 0", "Transform: AffineTransform_double_3_3")
    return "\n".join([*lines, f"Parameters: {numbers}", "FixedParameters: 0 0 0", ""]).encode("ascii")


def itk_matlab(matrix: np.ndarray) -> bytes:
    """The same as a .mat file, as ANTs writes them."""
    content = io.BytesIO()
    values = {"AffineTransform_double_3_3": _parameters(matrix)[:, None], "fixed": np.zeros((3, 1))}
    savemat(content, values, format="4")
    return content.getvalue()


def _parameters(matrix: np.ndarray) -> np.ndarray:
    """ITK's twelve numbers: the linear part row by row, then the translation."""
    back = LPS_TO_RAS @ np.linalg.inv(np.asarray(matrix, dtype=np.float64)) @ LPS_TO_RAS
    return np.concatenate([back[:3, :3].ravel(), back[:3, 3]])
