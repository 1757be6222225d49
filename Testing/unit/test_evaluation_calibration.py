"""Calibration, error detection and the filtered Dice, on data whose answers are known."""

import numpy as np
import pytest

from LDMSegLib.evaluation.calibration import (
    auroc,
    average_precision,
    brier,
    error_detection,
    expected_calibration_error,
    filtered_dice,
    reliability,
    surroundings,
)


def drawn(n=200_000, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.random(n)
    return p, rng.random(n) < p


def test_probabilities_that_are_right_have_no_calibration_error_and_the_brier_score_of_chance():
    p, y = drawn()
    assert expected_calibration_error(p, y) < 0.01
    assert brier(p, y) == pytest.approx(1 / 6, abs=0.005)  # E[p (1 - p)] for uniform p


def test_overconfidence_is_measured():
    rng = np.random.default_rng(1)
    y = rng.random(100_000) < 0.7
    assert expected_calibration_error(np.full(y.shape, 0.95), y) == pytest.approx(0.25, abs=0.01)


def test_the_table_says_how_often_each_probability_came_true():
    p = np.array([0.05, 0.05, 0.15, 0.95, 1.0])
    y = np.array([False, True, False, True, True])
    table = reliability(p, y, bins=10)
    assert [entry.count for entry in table] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert (table[0].probability, table[0].frequency) == (pytest.approx(0.05), 0.5)
    assert (table[9].high, table[9].probability) == (1.0, pytest.approx(0.975))
    assert np.isnan(table[5].frequency)
    assert expected_calibration_error(p, y, bins=10) == pytest.approx((2 * 0.45 + 0.15 + 2 * 0.025) / 5)


def test_only_voxels_in_the_mask_count():
    p, y = np.array([0.5, 0.0]), np.array([True, True])
    assert brier(p, y, np.array([True, False])) == 0.25
    assert np.isnan(brier(p, y, np.array([False, False])))
    assert np.isnan(expected_calibration_error(p, y, np.array([False, False])))


def test_the_surroundings_reach_as_far_in_millimetres_along_every_axis():
    mask = np.zeros((21, 21, 21), bool)
    mask[10, 10, 10] = True
    near = surroundings([mask, np.zeros_like(mask)], (1.0, 2.0, 3.0), 6.0)
    index = np.argwhere(near)
    assert (index.max(axis=0) - 10).tolist() == [6, 3, 2]
    assert not near[16, 13, 10]
    assert not surroundings([np.zeros_like(mask)], (1, 1, 1), 3).any()


def test_auroc_is_the_chance_of_the_right_order_with_ties_half():
    positive = np.array([True, False, True, False])
    assert auroc(np.array([4, 3, 2, 1.0]), positive) == 0.75
    assert auroc(np.ones(4), positive) == 0.5
    assert np.isnan(auroc(np.ones(4), np.ones(4, bool)))


def test_average_precision_of_a_known_order():
    positive = np.array([True, False, True, False])
    assert average_precision(np.array([4, 3, 2, 1.0]), positive) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.ones(4), positive) == 0.5, "ties are one step, whatever their order"
    assert np.isnan(average_precision(np.ones(4), np.zeros(4, bool)))


def test_both_areas_agree_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    values = np.round(rng.random(3000), 2)
    positive = rng.random(3000) < values**2
    assert auroc(values, positive) == pytest.approx(metrics.roc_auc_score(positive, values))
    assert average_precision(values, positive) == pytest.approx(metrics.average_precision_score(positive, values))


def test_doubt_that_points_at_the_errors_scores_1_and_doubt_that_points_away_0():
    truth = np.zeros((4, 4, 4), bool)
    truth[:2] = True
    probability = np.where(truth, 0.9, 0.1)
    probability[0, 0] = 0.2
    wrong = (probability >= 0.5) != truth
    found = error_detection(probability, wrong.astype(float), truth)
    assert (found.auroc, found.aupr, found.error_rate) == (1.0, 1.0, 4 / 64)
    assert error_detection(probability, 1.0 - wrong, truth).auroc == 0.0
    assert error_detection(probability, wrong * 1.0, truth, mask=probability < 0.15).error_rate == 0.0


def test_filtering_out_exactly_the_errors_makes_dice_perfect_at_no_cost():
    truth = np.zeros((10, 10, 4), bool)
    truth[:5] = True
    prediction = np.roll(truth, 1, axis=0)
    uncertainty = np.where(prediction != truth, 80.0, 0.0)
    result = filtered_dice(prediction, uncertainty, truth, np.ones_like(truth))
    assert result.dice[-1] == pytest.approx(0.8)
    assert (result.dice[result.thresholds < 80] == 1.0).all()
    assert (result.true_positives == 0).all() and (result.true_negatives == 0).all()
    assert result.score == pytest.approx((result.dice_area + 2) / 3)


def test_doubting_everything_costs_every_right_voxel():
    truth = np.zeros((4, 4, 4), bool)
    truth[:2] = True
    result = filtered_dice(truth, np.full(truth.shape, 100.0), truth, np.ones_like(truth))
    assert (result.true_positives[:-1] == 1).all() and result.true_positives[-1] == 0
    assert (result.true_negatives[:-1] == 1).all()
    assert (result.dice == 1).all(), "Dice of nothing is 1, which is why the lost voxels are counted too"
    assert result.score == pytest.approx((1 + 2 * 0.0125) / 3)


def test_the_curves_equal_filtering_threshold_by_threshold():
    rng = np.random.default_rng(5)
    truth, prediction, brain = (rng.random((12, 12, 12)) < p for p in (0.4, 0.5, 0.8))
    uncertainty = np.round(rng.random(truth.shape) * 40) * 2.5
    result = filtered_dice(prediction, uncertainty, truth, brain)
    for k, threshold in enumerate(result.thresholds):
        kept = uncertainty <= threshold
        hits = (prediction & truth & kept).sum()
        assert result.dice[k] == pytest.approx(2 * hits / ((prediction & kept).sum() + (truth & kept).sum()))
        right = ~prediction & ~truth & brain
        assert result.true_negatives[k] == pytest.approx((right & ~kept).sum() / right.sum())
    assert result.dice_area == pytest.approx(np.sum((result.dice[1:] + result.dice[:-1]) / 2 * 2.5) / 100)
