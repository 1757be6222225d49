"""Grids compared and images moved between them; the oracle is a function of world position, known everywhere."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from LDMSegLib.spatial.geometry import (
    aligned_axes,
    corner_displacement,
    coverage,
    difference,
    resample_to,
    rotation,
    same_grid,
)


def affine(spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), degrees=0.0, axis=2):
    turn = np.eye(3)
    a, b = [i for i in range(3) if i != axis]
    t = np.radians(degrees)
    turn[a, a], turn[a, b], turn[b, a], turn[b, b] = np.cos(t), -np.sin(t), np.sin(t), np.cos(t)
    out = np.eye(4)
    out[:3, :3] = turn * spacing
    out[:3, 3] = origin
    return out


def world(matrix, shape):
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    return grid @ matrix[:3, :3].T + matrix[:3, 3]


def ramp(matrix, shape):
    """Linear in world position, so that linear interpolation has no error at all."""
    return world(matrix, shape) @ [0.7, -1.3, 2.1] + 100.0


SOURCE = affine((1.5, 2.0, 2.5), (-30, -40, -35))
SHAPE = (40, 40, 30)
# All of these lie inside the source's field of view.
TARGETS = {
    "same axes": (affine((1, 1, 1), (-20, -30, -25)), (20, 25, 30)),
    "flipped": (np.diag([-1.0, -1, 1, 1]) @ affine((1, 1.2, 1), (0, 10, -20)), (18, 20, 12)),
    "swapped": (affine((1, 1, 2), (-10, -20, -20)) @ np.eye(4)[[2, 0, 1, 3]], (12, 13, 14)),
    "oblique": (affine((1, 1.1, 1.7), (-12, -15, -20), degrees=20, axis=0), (15, 16, 14)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_resampling_finds_the_value_at_each_world_position(name):
    target, shape = TARGETS[name]
    moved = resample_to(ramp(SOURCE, SHAPE), SOURCE, target, shape)
    np.testing.assert_allclose(moved, ramp(target, shape), atol=1e-6)


def test_an_oblique_source_is_resampled_onto_straight_axes():
    source = affine((2, 2, 2), (-40, -30, -45), degrees=12, axis=1) @ np.diag([1.0, -1, 1, 1])
    source[:3, 3] += [0, 60, 0]
    target, shape = affine((1.5, 1.5, 1.5), (-5, -10, -5)), (10, 12, 9)
    np.testing.assert_allclose(resample_to(ramp(source, (50, 45, 50)), source, target, shape), ramp(target, shape), atol=1e-6)


def test_the_quick_path_for_parallel_axes_agrees_with_the_general_one():
    array = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    target = affine((1.1, 1.7, 0.9), (-28, -33, -31))
    hardly = target @ affine(degrees=0.05)  # enough to take the general path, too little to matter
    quick, general = (resample_to(array, SOURCE, t, (30, 30, 30)) for t in (target, hardly))
    assert np.abs(quick - general).max() > 0, "both took the same path"
    assert np.abs(quick - general).mean() < 0.02


def test_the_outermost_voxels_survive_rounding():
    array = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    nudged = affine()
    nudged[:3, 3] -= 1e-9
    np.testing.assert_allclose(resample_to(array, affine(), nudged, array.shape), array, atol=1e-6)


def test_outside_the_field_of_view_there_is_the_fill_value():
    moved = resample_to(np.ones((4, 4, 4), np.float32), affine(), affine(origin=(-5, 0, 0)), (12, 4, 4), fill=-3.0)
    np.testing.assert_array_equal(moved[:, 1, 1], [-3] * 5 + [1] * 4 + [-3] * 3)


def test_labels_stay_whole_numbers_with_order_zero():
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    moved = resample_to(labels, SOURCE, TARGETS["oblique"][0], (15, 16, 14), order=0)
    assert moved.dtype == np.uint8 and set(np.unique(moved)) == {0, 1, 2, 3}


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
