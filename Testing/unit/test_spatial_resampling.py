"""Images moved between grids; the oracle is a function of world position, known everywhere, or noise whose spread is known."""

from __future__ import annotations

import numpy as np
import pytest

from LDMSegLib.spatial.model_grid import PlacedGrid, to_grid
from LDMSegLib.spatial.nearest import resample_nearest
from LDMSegLib.spatial.resampling import low_pass, resample_inside, resample_mask, resample_to


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


def test_labels_stay_whole_numbers():
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    moved = resample_nearest(labels, SOURCE, TARGETS["oblique"][0], (15, 16, 14))
    assert moved.dtype == np.uint8 and set(np.unique(moved)) == {0, 1, 2, 3}


def centred(matrix, shape):
    """The same grid with the middle of its field of view at 0."""
    out = matrix.copy()
    out[:3, 3] = -matrix[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return out


def expected_variance(sigma, fractions):
    """Of white noise after a sampled Gaussian (cut at 3 sigma, as scipy's) and linear interpolation, along one axis.

    Args:
        sigma: In voxels.
        fractions: Where between two voxels the samples lie, 0 to 1; the variances are averaged.
    """
    steps = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2) if len(steps) > 1 else np.ones(1)
    kernel /= kernel.sum()
    return float(np.mean([(np.convolve(kernel, [1 - f, f]) ** 2).sum() for f in np.atleast_1d(fractions)]))


ANY = np.linspace(0, 1, 101)


@pytest.mark.parametrize("shift", [0.0, 0.25])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (1, 1, 3), (0.5, 2, 4), (1, 1, 0.3)])
def test_white_noise_loses_on_a_parallel_grid_what_the_filter_says(spacing, shift):
    noise = np.random.default_rng(0).normal(size=(120, 120, 120)).astype(np.float32)
    source, shape = centred(affine((0.5, 0.5, 0.5)), noise.shape), tuple(int(50 / s) for s in spacing)
    target = centred(affine(spacing), shape)
    # so that samples lie on voxels, or midway between two
    start = (np.linalg.inv(source) @ target)[:3, 3]
    target[:3, 3] -= 0.5 * (start - np.rint(start)) - shift
    ratios = np.asarray(spacing) / 0.5
    sigmas = np.sqrt(np.maximum(ratios**2 - 1, 0) / 12)
    fractions = [2 * shift if ratio >= 1 else ANY for ratio in ratios]
    theory = np.sqrt(np.prod([expected_variance(max(s, 1e-3), f) for s, f in zip(sigmas, fractions, strict=True)]))
    assert resample_to(noise, source, target, shape).std() == pytest.approx(theory, rel=0.03)
    kept = resample_to(noise, source, target, shape, smooth=False).std()
    if shift == 0 and spacing == (1, 1, 1):
        assert theory < 0.52 and kept == pytest.approx(1.0, rel=0.03)  # without the filter nothing of the noise is lost


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [0, 30, 45])
def test_white_noise_loses_as_much_at_any_angle(degrees, axis):
    noise = np.random.default_rng(1).normal(size=(128, 128, 128)).astype(np.float32)
    source, target = (
        centred(affine((0.5, 0.5, 0.5)), noise.shape),
        centred(affine((1.03, 1.03, 1.03), degrees=degrees, axis=axis), (40, 40, 40)),
    )
    theory = expected_variance(np.sqrt((2.06**2 - 1) / 12), ANY) ** 1.5
    moved = resample_to(noise, source, target, (40, 40, 40))
    assert moved.std() == pytest.approx(theory, rel=0.05)
    np.testing.assert_array_equal(to_grid(noise, source, PlacedGrid(target, (40, 40, 40))), moved)


@pytest.mark.parametrize("spacing", [(1, 1, 6), (2, 2, 2), (1, 3, 5)])
@pytest.mark.parametrize("degrees", [0, 7, 25, 45, 70])
def test_a_larger_voxel_shows_the_mean_of_what_lies_in_it_at_any_angle(degrees, spacing):
    # Of a quadratic function, the mean over a box exceeds the value at its centre by half the trace of curvature × covariance.
    source_shape, shape = (80, 80, 80), (8, 8, 4)
    source, target = centred(affine(), source_shape), centred(affine(spacing, degrees=degrees, axis=0), shape)
    box = target[:3, :3] @ target[:3, :3].T / 12
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2)):
        where, wanted = world(source, source_shape), world(target, shape)
        moved = resample_to((where[..., i] * where[..., j]), source, target, shape) - wanted[..., i] * wanted[..., j]
        own = (i == j) / 12  # of the source's voxel, which is in the image already
        if i == j:  # what linear interpolation adds to a parabola between two voxels
            part = wanted[..., i] - 0.5 - np.floor(wanted[..., i] - 0.5)
            moved -= part * (1 - part)
        allowed = 0.12 if degrees == 7 else 0.02  # at small angles the filter runs along the source's axes
        assert abs(moved.mean() - (box[i, j] - own)) < allowed * box.max() + 0.04, (i, j)  # the Gaussian is sampled and cut


def test_at_equal_or_finer_spacing_nothing_is_smoothed():
    noise = np.random.default_rng(2).normal(size=(30, 30, 30)).astype(np.float32)
    for target in (affine(), affine((0.7, 1, 0.5), (3, 2, 1)), affine((1, 1, 1), (10, 4, 3), degrees=30)):
        found = [resample_to(noise, affine(), target, (20, 20, 20), smooth=smooth) for smooth in (True, False)]
        np.testing.assert_array_equal(*found)


def test_masks_are_not_smoothed_and_keep_the_half():
    mask = np.zeros((40, 40, 40), bool)
    mask[20] = True  # one voxel thick: a filter would lose it
    assert resample_mask(mask, affine((0.5, 0.5, 0.5)), affine(), (20, 20, 20))[10].all()


def test_the_background_stays_exactly_zero():
    array = np.zeros((60, 60, 60), np.float32)
    array[25:35, 25:35, 25:35] = 100
    for degrees in (0, 45):
        moved = resample_to(array, affine(), centred(affine((1, 1, 6), degrees=degrees, axis=0), (50, 50, 8)) + shifted(29.5), (50, 50, 8))
        assert (moved == 0).mean() > 0.8 and moved.min() == 0 and moved.max() > 50


def shifted(by):
    out = np.zeros((4, 4))
    out[:3, 3] = by
    return out


def test_a_part_of_an_image_is_resampled_as_the_whole_is():
    noise = np.random.default_rng(3).normal(size=(60, 60, 60)).astype(np.float32)
    source, target, inside = affine((0.5, 0.6, 0.7)), affine((1, 1, 1.5), degrees=5), np.zeros((25, 25, 20), bool)
    inside[8:17, 9:15, 6:12] = True
    part, whole = resample_inside(noise, source, target, inside), resample_to(noise, source, target, inside.shape)
    np.testing.assert_allclose(part, np.where(inside, whole, 0), atol=1e-5)


def test_the_filter_of_an_isotropic_grid_is_the_same_in_all_directions():
    for degrees in (0, 20, 45):
        found = low_pass(affine((2, 2, 2), degrees=degrees)[:3, :3])
        np.testing.assert_allclose(found.sigma, 0.5)
        assert len(found.weights) == 1
