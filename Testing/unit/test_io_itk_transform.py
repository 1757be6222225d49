"""Transform files say to ITK what the matrix says to us."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from LDMSegLib.io.itk_transform import itk_matlab, itk_text


@pytest.mark.parametrize(("ending", "write"), [("tfm", itk_text), ("mat", itk_matlab)])
def test_itk_reads_the_file_and_takes_target_points_to_the_source(ending, write, tmp_path):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_euler("xyz", (10, -20, 30), degrees=True).as_matrix(), (5, -7, 11)
    file = tmp_path / f"transform.{ending}"
    file.write_bytes(write(matrix))
    point = np.array([12.0, -34.0, 56.0])
    target = (matrix @ np.append(point, 1))[:3]
    flip = np.array([-1, -1, 1])
    back = SimpleITK.ReadTransform(str(file)).TransformPoint((flip * target).tolist())
    np.testing.assert_allclose(flip * back, point, atol=1e-9)
