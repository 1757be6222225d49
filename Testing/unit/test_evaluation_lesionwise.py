"""Lesion-wise Dice and HD95 against the known answers of the BraTS 2023 definition."""

import numpy as np
import pytest
from scipy import ndimage

from LDMSegLib.evaluation.evaluation import MEASURES, case_rows, summary_rows
from LDMSegLib.evaluation.lesionwise import BRATS_2023_METASTASES, Rules, dice, score
from LDMSegLib.spatial.surfaces import hausdorff95

SHAPE = (60, 60, 40)


def box(low, size, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = True
    return mask


FIRST, SECOND = box((5, 5, 5), (12, 12, 12)), box((40, 40, 20), (10, 10, 10))
TWO_LESIONS = FIRST | SECOND
STRAY = box((5, 45, 5), (41, 3, 1))  # 123 voxels far from both


def test_a_perfect_prediction_scores_1_and_0():
    result = score(TWO_LESIONS, TWO_LESIONS)
    assert (result.dice, result.hd95, len(result.lesions), result.false_positives) == (1.0, 0.0, 2, ())


def test_a_false_positive_of_123_voxels_gives_the_known_answer():
    assert STRAY.sum() == 123
    result = score(TWO_LESIONS, TWO_LESIONS | STRAY)
    assert result.dice == pytest.approx(0.667, abs=5e-4)
    assert result.hd95 == pytest.approx(124.67, abs=5e-3)
    assert result.false_positives == (123.0,)


def test_a_missed_lesion_gives_the_known_answer():
    result = score(TWO_LESIONS, FIRST)
    assert (result.dice, result.hd95, result.missed) == (0.5, 187.0, 1)


def test_an_empty_prediction_gives_the_known_answer():
    result = score(TWO_LESIONS, np.zeros(SHAPE, bool))
    assert (result.dice, result.hd95) == (0.0, 374.0)
    assert (result.global_dice, result.global_hd95) == (0.0, 374.0)


def test_nothing_to_find_and_nothing_found_is_perfect():
    nothing = np.zeros(SHAPE, bool)
    result = score(nothing, nothing)
    assert (result.dice, result.hd95, result.global_dice, result.global_hd95) == (1.0, 0.0, 1.0, 0.0)


def test_one_voxel_where_there_is_nothing_costs_everything():
    result = score(np.zeros(SHAPE, bool), box((3, 3, 3), (1, 1, 1)))
    assert (result.dice, result.hd95) == (0.0, 374.0)


@pytest.mark.parametrize(("size", "counted"), [((5, 5, 2), False), ((17, 3, 1), True)])
def test_a_lesion_of_up_to_50_mm3_counts_neither_way(size, counted):
    small = box((42, 5, 5), size)
    assert small.sum() == (51 if counted else 50)
    assert score(FIRST | small, FIRST).dice == (0.5 if counted else 1.0)
    found = score(FIRST | small, FIRST | small)
    assert found.dice == 1.0 and found.false_positives == (), "what answers a small lesion is no false positive"


def test_size_is_physical():
    small = box((45, 5, 5), (5, 5, 2))
    assert score(FIRST | small, FIRST, spacing=(1, 1, 1.02)).dice == 0.5


def test_parts_that_share_a_dilated_blob_are_one_lesion():
    gap_of_6, gap_of_7 = (FIRST | box((17 + gap, 5, 5), (12, 12, 12)) for gap in (6, 7))
    assert len(score(gap_of_6, gap_of_6).lesions) == 1
    assert len(score(gap_of_7, gap_of_7).lesions) == 2


def test_the_dilation_does_not_change_the_lesions_own_voxels():
    (lesion,) = score(FIRST, FIRST).lesions
    assert lesion.reference_mm3 == FIRST.sum()


def test_a_component_that_touches_only_the_dilated_lesion_is_its_answer():
    beside = box((19, 5, 5), (4, 12, 12))  # 2 voxels away from FIRST
    result = score(FIRST, beside)
    assert result.false_positives == () and result.dice == 0.0
    assert 0 < result.hd95 < 30, "found, badly: its own distance and not the worst"


def test_one_component_over_two_lesions_answers_both_with_all_its_voxels():
    bridge = TWO_LESIONS | box((10, 10, 8), (35, 2, 2)) | box((43, 10, 8), (2, 35, 2)) | box((43, 43, 8), (2, 2, 15))
    assert ndimage.label(bridge, np.ones((3, 3, 3)))[1] == 1
    result = score(TWO_LESIONS, bridge)
    assert [lesion.dice for lesion in result.lesions] == [dice(FIRST, bridge), dice(SECOND, bridge)]


def test_the_filter_removes_small_predictions_and_nothing_else():
    small_lesion = box((5, 45, 5), (2, 2, 2))
    assert score(TWO_LESIONS, TWO_LESIONS | small_lesion).dice == pytest.approx(2 / 3)
    assert score(TWO_LESIONS, TWO_LESIONS | small_lesion, smallest_mm3=9).dice == 1.0
    assert score(TWO_LESIONS, TWO_LESIONS | small_lesion, smallest_mm3=8).dice == pytest.approx(2 / 3)


def test_a_challenge_can_have_its_own_rules():
    pair = FIRST | box((21, 5, 5), (12, 12, 12))  # 4 voxels apart
    assert len(score(pair, pair).lesions) == 1
    assert len(score(pair, pair, rules=BRATS_2023_METASTASES).lesions) == 2
    assert score(FIRST, np.zeros(SHAPE, bool), rules=Rules(dilation=0, worst_mm=100)).hd95 == 100


def plain(reference, prediction, spacing):
    """The definition written down step by step over the whole volume, without a thought for speed."""
    every = np.ones((3, 3, 3))
    structure = ndimage.generate_binary_structure(3, 2)
    blobs, n = ndimage.label(ndimage.binary_dilation(reference, structure, iterations=3), every)
    parts, m = ndimage.label(prediction, every)
    used, dices, distances = set(), [], []
    for lesion in (reference & (blobs == i) for i in range(1, n + 1)):
        touching = set(parts[ndimage.binary_dilation(lesion, structure, iterations=3)].tolist()) - {0}
        used |= touching
        if lesion.sum() * np.prod(spacing) <= 50:
            continue
        answer = np.isin(parts, list(touching))
        dices.append(2 * (lesion & answer).sum() / (lesion.sum() + answer.sum()))
        distances.append(min(hausdorff95(lesion, answer, spacing), 374.0))
    invented = m - len(used)
    if not dices and not invented:
        return 1.0, 0.0
    total = len(dices) + invented
    return sum(dices) / total, (sum(distances) + 374 * invented) / total


@pytest.mark.parametrize("seed", range(8))
def test_the_fast_way_equals_the_definition_written_down_plainly(seed):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((40, 36, 30)), 2)
    other = noise + 0.7 * ndimage.gaussian_filter(rng.standard_normal((40, 36, 30)), 2)
    reference, prediction = noise > np.quantile(noise, 0.985), other > np.quantile(other, 0.98)
    spacing = (1.0, 1.0, 1.0) if seed % 2 else (0.9, 0.9, 2.0)
    result = score(reference, prediction, spacing)
    assert (result.dice, result.hd95) == pytest.approx(plain(reference, prediction, spacing))
    assert 0 < result.dice < 1


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="expected equal ones"):
        score(FIRST, FIRST[1:])


def test_the_tables_report_with_and_without_the_filter():
    small_lesion = box((5, 45, 5), (2, 2, 2))
    reference = np.stack([FIRST, TWO_LESIONS])
    rows = case_rows("a", reference, np.stack([FIRST | small_lesion, TWO_LESIONS]), ("IN", "OUT"), (1, 1, 1), smallest_mm3=50)
    rows += case_rows("b", reference, reference, ("IN", "OUT"), (1, 1, 1), smallest_mm3=50)
    assert [(row["case"], row["region"], row["filter_mm3"]) for row in rows[:3]] == [("a", "IN", 0.0), ("a", "IN", 50), ("a", "OUT", 0.0)]
    assert [row["lesionwise_dice"] for row in rows[:2]] == [0.5, 1.0]
    assert rows[0]["false_positives"] == 1 and rows[0]["reference_ml"] == pytest.approx(1.728)

    summary = summary_rows(rows)
    assert [(row["region"], row["filter_mm3"], row["cases"]) for row in summary] == [
        ("IN", 0.0, 2),
        ("IN", 50, 2),
        ("OUT", 0.0, 2),
        ("OUT", 50, 2),
    ]
    assert summary[0]["lesionwise_dice_mean"] == 0.75 and summary[1]["lesionwise_dice_mean"] == 1.0
    assert summary[0]["lesionwise_dice_sd"] == pytest.approx(np.std([0.5, 1.0], ddof=1))
    assert all(f"{measure}_median" in summary[0] for measure in MEASURES)
