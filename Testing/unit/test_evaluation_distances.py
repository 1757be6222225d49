"""Distances between sets of masks: identical, shifted, copied and collapsed sets have known answers."""

import numpy as np
import pytest

from LDMSegLib.evaluation.bootstrap import bootstrap_interval
from LDMSegLib.evaluation.distances import (
    classifier_auc,
    compare_sets,
    equal_sizes,
    mmd_squared,
    neighbourhoods,
    standardise,
    wasserstein_per_feature,
)
from LDMSegLib.evaluation.memorisation import nearest, nearest_among
from LDMSegLib.specification import Region
from LDMSegLib.synthesis.shapes import feature_matrix, shape_statistics

GREY = (1, 2, 3)
REGIONS = (Region("IN", "inner", ("A",), GREY), Region("OUT", "outer", ("A", "B"), GREY))


def normal(n, seed, shift=0.0, features=4):
    return np.random.default_rng(seed).standard_normal((n, features)) + shift


def ball(radius, center=(16, 16, 16), shape=(33, 33, 33), scale=(1, 1, 1)):
    grid = np.moveaxis(np.mgrid[: shape[0], : shape[1], : shape[2]], 0, -1)
    return (((grid - center) / np.array(scale)) ** 2).sum(axis=-1) <= radius**2


def of_one(mask, affine=None):
    return shape_statistics(mask[None], REGIONS[:1], np.eye(4) if affine is None else affine)


def test_a_ball_is_measured_in_millimetres_in_world_space():
    affine = np.array([[0, -2.0, 0, 5], [1.0, 0, 0, -3], [0, 0, 0.5, 7], [0, 0, 0, 1]])
    mask = ball(6, center=(10, 12, 14))
    values = of_one(mask, affine)
    assert values["IN_volume_ml"] == pytest.approx(mask.sum() * 1.0 / 1000)
    assert [values[f"IN_centroid_{a}_mm"] for a in "ras"] == pytest.approx([5 - 24, -3 + 10, 7 + 7])
    assert values["IN_components"] == 1


def test_a_ball_is_rounder_than_a_cube_and_a_cube_than_a_rod():
    cube, rod = np.zeros((2, 33, 33, 33), bool)
    cube[8:24, 8:24, 8:24] = True
    rod[2:30, 14:17, 14:17] = True
    values = [of_one(mask)["IN_sphericity"] for mask in (ball(10), cube, rod)]
    assert 0.88 < values[0] <= 1.0
    assert values[0] > values[1] > values[2]


def test_elongation_and_flatness_are_the_ratios_of_an_ellipsoids_axes():
    values = of_one(ball(1, scale=(14, 7, 3.5)))
    assert values["IN_elongation"] == pytest.approx(0.5, abs=0.03)
    assert values["IN_flatness"] == pytest.approx(0.25, abs=0.03)
    stretched = of_one(ball(10), np.diag([3.0, 1.0, 1.0, 1.0]))
    assert stretched["IN_elongation"] == pytest.approx(1 / 3, abs=0.01)


def test_components_and_nesting_violations_are_counted():
    inner, outer = np.zeros((2, 10, 10, 10), bool)
    outer[:5] = True
    inner[4:6, :2] = True
    inner[9, 9, 9] = True
    values = shape_statistics(np.stack([inner, outer]), REGIONS, np.diag([1, 1, 2.0, 1]))
    assert values["IN_components"] == 2
    assert values["IN_outside_OUT_ml"] == pytest.approx((20 + 1) * 2 / 1000)


def test_an_empty_region_has_a_volume_and_no_shape():
    values = of_one(np.zeros((5, 5, 5), bool))
    assert values["IN_volume_ml"] == 0 and values["IN_components"] == 0
    assert np.isnan(values["IN_sphericity"]) and np.isnan(values["IN_centroid_r_mm"])


def test_cases_measured_differently_do_not_make_a_matrix():
    one, two = of_one(ball(5)), shape_statistics(np.stack([ball(4), ball(5)]), REGIONS, np.eye(4))
    matrix, names = feature_matrix([one, one])
    assert matrix.shape == (2, len(names))
    with pytest.raises(ValueError, match="same statistics"):
        feature_matrix([one, two])


def test_identical_sets_are_at_no_distance():
    a = normal(60, 0)
    assert (wasserstein_per_feature(a, a) == 0).all()
    assert mmd_squared(a, a) <= 0
    near = neighbourhoods(a, a)
    assert (near.precision, near.recall, near.coverage) == (1.0, 1.0, 1.0)


def test_two_samples_of_one_distribution_cannot_be_told_apart():
    a, b = normal(200, 1), normal(200, 2)
    assert abs(mmd_squared(a, b)) < 0.01
    assert classifier_auc(a, b) == pytest.approx(0.5, abs=0.1)
    assert neighbourhoods(a, b).density == pytest.approx(1.0, abs=0.2)


def test_a_shift_is_the_wasserstein_distance_in_standard_deviations():
    a = normal(100, 3) * (1, 2, 5, 10)
    shifted = a + np.array([0, 2, 5, -30])
    expected = np.array([0, 2, 5, 30]) / a.std(axis=0)
    assert wasserstein_per_feature(a, shifted) == pytest.approx(expected)


def test_a_far_set_is_told_apart_by_every_measure():
    a, b = normal(80, 4), normal(80, 5, shift=6.0)
    assert mmd_squared(a, b) > 0.5
    assert classifier_auc(a, b) == 1.0
    near = neighbourhoods(a, b)
    assert (near.precision, near.recall, near.density, near.coverage) == (0, 0, 0, 0)


def test_a_collapsed_set_is_precise_but_recalls_and_covers_little():
    a = normal(100, 6)
    collapsed = a[:3].repeat(34, axis=0)[:100] + 1e-3 * normal(100, 7)
    near = neighbourhoods(a, collapsed)
    assert near.precision == 1.0 and near.recall < 0.1 and near.coverage < 0.4


def test_mmd_by_hand():
    a, b = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    k = lambda d: np.exp(-(d**2) / 2)  # noqa: E731
    assert mmd_squared(a, b, bandwidth=1.0) == pytest.approx(k(1) + k(2) - 2 * (k(0) + k(2) + k(1) + k(1)) / 4)


def test_undefined_values_are_left_out_or_taken_as_the_real_mean():
    a, b = normal(30, 8), normal(30, 9)
    a[:5, 0] = b[:7, 0] = np.nan
    b[:, 1] = np.nan
    distances = wasserstein_per_feature(a, b)
    assert np.isfinite(distances[0]) and np.isinf(distances[1])
    real, generated = standardise(a, b)
    assert (generated[:7, 0] == 0).all() and np.isfinite(real).all()


def test_a_constant_feature_of_the_real_set_does_not_hide_a_violation():
    real, generated = standardise(np.zeros((5, 1)), np.array([[0.0], [0.3], [0.0], [0.0], [0.0]]))
    assert generated.max() == pytest.approx(0.3) and (real == 0).all()


def test_the_larger_set_is_cut_to_the_size_of_the_smaller():
    big, small = equal_sizes(normal(50, 0), normal(20, 1), seed=3)
    assert len(big) == len(small) == 20
    assert np.array_equal(big, equal_sizes(normal(50, 0), normal(20, 1), seed=3)[0])
    result = compare_sets(normal(50, 0), normal(20, 1), ("a", "b", "c", "d"))
    assert result.n == 20 and set(result.wasserstein) == {"a", "b", "c", "d"}


def test_too_few_cases_or_other_features_are_refused():
    with pytest.raises(ValueError, match="more than k = 5"):
        neighbourhoods(normal(5, 0), normal(20, 0))
    with pytest.raises(ValueError, match="at least 5 in each"):
        classifier_auc(normal(4, 0), normal(20, 0))
    with pytest.raises(ValueError, match="expected \\(cases, 2\\)"):
        compare_sets(normal(9, 0), normal(9, 1), ("a", "b"))


TRAINING = [
    ball(5, (10, 12, 14)),
    ball(7, (20, 15, 10), scale=(1, 1.4, 0.7)),
    ball(1, (8, 20, 20), scale=(3, 8, 5)) | ball(4, (24, 24, 8)),
]


@pytest.mark.parametrize("mirrored", [(), (0,), (1, 2), (0, 1, 2)])
def test_a_copy_is_found_however_it_is_mirrored(mirrored):
    (found,) = nearest([np.flip(TRAINING[2], mirrored)], TRAINING)
    assert (found.index, found.dice, found.mirrored) == (2, 1.0, mirrored)


def test_a_shifted_copy_is_found_when_centred():
    moved = np.roll(TRAINING[1], (3, -2, 6), axis=(0, 1, 2))
    assert nearest([moved], TRAINING)[0].dice < 0.6
    found = nearest([moved], TRAINING, centred=True)[0]
    assert found.index == 1 and found.dice == 1.0


def test_a_new_mask_is_no_copy_and_an_empty_one_is_like_nothing():
    new, nothing = nearest([ball(6, (16, 16, 22)), np.zeros((33, 33, 33), bool)], TRAINING)
    assert 0 < new.dice < 0.9 and nothing.dice == 0.0


def test_the_dice_of_the_nearest_is_the_dice():
    a = ball(6, (11, 12, 14))
    expected = max(
        2 * (np.flip(a, axes) & b).sum() / (a.sum() + b.sum()) for b in TRAINING for axes in ((), 0, 1, 2, (0, 1), (0, 2), (1, 2))
    )
    assert nearest([a], TRAINING)[0].dice == pytest.approx(expected)


def test_a_training_mask_is_not_its_own_neighbour_but_its_double_is():
    assert nearest_among(TRAINING).max() < 0.9
    assert nearest_among([*TRAINING, TRAINING[0]])[[0, 3]].tolist() == [1.0, 1.0]


def test_the_bootstrap_interval_of_a_mean_is_that_of_theory():
    sample = normal(400, 10, features=1)[:, 0]
    interval = bootstrap_interval(np.mean, sample, repeats=2000)
    assert interval.value == pytest.approx(sample.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * sample.std() / 20, rel=0.1)
    assert interval == bootstrap_interval(np.mean, sample, repeats=2000), "the same seed gives the same interval"


def test_paired_samples_are_drawn_together():
    sample = normal(50, 11, features=1)[:, 0]
    difference = lambda a, b: float(np.mean(a - b))  # noqa: E731
    paired = bootstrap_interval(difference, sample, sample - 0.1, repeats=200, paired=True)
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))
    loose = bootstrap_interval(difference, sample, sample - 0.1, repeats=200)
    assert loose.high - loose.low > 0.3
    with pytest.raises(ValueError, match="equally many"):
        bootstrap_interval(difference, sample, sample[1:], paired=True)


def test_a_single_case_has_no_interval_but_its_value_and_cannot_stand_beside_several():
    interval = bootstrap_interval(np.mean, np.array([0.7]))
    assert (interval.low, interval.value, interval.high) == (0.7, 0.7, 0.7)
    with pytest.raises(ValueError, match="at least two cases"):
        bootstrap_interval(lambda a, b: float(a.mean() - b.mean()), np.array([0.7]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="at least two cases"):
        bootstrap_interval(np.mean, np.array([]))
