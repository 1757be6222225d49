"""Grids compared."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from LDMSegLib.spatial.affine import axis_codes
from LDMSegLib.spatial.grids import aligned_axes, corner_displacement, coverage, difference, rotation, same_grid


def affine(spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), degrees=0.0, axis=2):
    turn = np.eye(3)
    a, b = [i for i in range(3) if i != axis]
    t = np.radians(degrees)
    turn[a, a], turn[a, b], turn[b, a], turn[b, b] = np.cos(t), -np.sin(t), np.sin(t), np.cos(t)
    out = np.eye(4)
    out[:3, :3] = turn * spacing
    out[:3, 3] = origin
    return out


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIR", "ALI"])
def test_axes_stored_in_any_order_are_brought_to_the_targets_without_touching_a_value(codes):
    array = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    straight = affine((1, 2, 3), (4, 5, 6), degrees=10)
    orientation = nib.orientations.ornt_transform(nib.io_orientation(straight), nib.orientations.axcodes2ornt(codes))
    stored = nib.apply_orientation(array, orientation)
    stored_affine = straight @ nib.orientations.inv_ornt_aff(orientation, array.shape)
    back, back_affine = aligned_axes(stored, stored_affine, straight)
    np.testing.assert_array_equal(back, array)
    np.testing.assert_allclose(back_affine, straight, atol=1e-12)
    assert difference(stored_affine, stored.shape, straight, array.shape) == "no difference"


def test_corner_displacement_is_the_largest_distance_between_equal_voxels():
    shifted = affine(origin=(3, 4, 0))
    assert corner_displacement(affine(), shifted, (10, 10, 10)) == pytest.approx(5.0)
    turned = affine(degrees=90)  # about the first voxel: the corner at (9, 9) comes to (-9, 9), 18 mm away
    assert corner_displacement(affine(), turned, (10, 10, 10)) == pytest.approx(18.0)


def test_grids_that_differ_in_the_fourth_digit_are_the_same():
    near = affine((1.0001, 1, 1), (0.0004, 0.0003, 0))
    assert same_grid(near, (240, 240, 155), affine(), (240, 240, 155))
    assert not same_grid(affine((1.001, 1, 1)), (240, 240, 155), affine(), (240, 240, 155)), "0.24 mm at the far end"
    assert not same_grid(near, (240, 240, 154), affine(), (240, 240, 155))


def test_rotation_ignores_how_axes_are_stored():
    stored = affine((2, 1, 3), (5, 5, 5), degrees=7) @ np.diag([-1.0, 1, 1, 1])[:, [1, 0, 2, 3]]
    assert rotation(stored, affine()) == pytest.approx(7.0, abs=1e-6)


def test_the_difference_is_said_in_words():
    words = difference(affine((1, 1, 5), (3, 0, 0), degrees=5), (10, 10, 4), affine(), (10, 10, 20))
    assert "voxels of 1×1×5 mm instead of 1×1×1 mm" in words
    assert "10×10×4 voxels instead of 10×10×20" in words
    assert "turned by 5.0°" in words
    assert "its centre 4.0 mm away" in difference(affine(origin=(0, 4, 0)), (10, 10, 10), affine(), (10, 10, 10))


def test_coverage_is_the_share_of_the_targets_field_of_view():
    assert coverage(affine(), (20, 20, 20), affine(), (20, 20, 20)) == 1.0
    assert coverage(affine(origin=(10, 0, 0)), (20, 20, 20), affine(), (20, 20, 20)) == pytest.approx(0.5, abs=0.03)
    assert coverage(affine(origin=(500, 0, 0)), (20, 20, 20), affine(), (20, 20, 20)) == 0.0


def test_axes_are_named_and_ordered_as_nibabel_does():
    rng = np.random.default_rng(0)
    for _ in range(200):
        stored = np.eye(4)
        stored[:3, :3] = Rotation.random(random_state=rng).as_matrix() * rng.uniform(0.3, 6, 3) @ np.diag(rng.choice([-1, 1], 3))
        assert axis_codes(stored) == "".join(nib.aff2axcodes(stored))
        moved, _ = aligned_axes(np.zeros((5, 6, 7)), stored, np.eye(4))
        assert moved.shape == nib.as_closest_canonical(nib.Nifti1Image(np.zeros((5, 6, 7)), stored)).shape
