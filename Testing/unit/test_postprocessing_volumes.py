"""Volumes and their spread."""

import csv
import io

import numpy as np
import pytest

from LDMSegLib.postprocessing.volumes import measure, to_csv, to_rows, voxel_ml
from LDMSegLib.specification import Region

REGIONS = (Region("INNER", "Inner part", ("A",), (1, 2, 3)), Region("OUTER", "Outer part", ("A", "B"), (1, 2, 3)))
OBLIQUE = np.array([[0.0, -1.8, 0.6, 5.0], [2.0, 0.0, 0.0, 0.0], [0.0, 0.6, 5.4, 1.0], [0, 0, 0, 1]])


def case():
    probabilities = np.zeros((2, 10, 10, 10), np.float32)
    probabilities[0, :2, :5, :5] = 0.8
    probabilities[1, :4, :5, :5] = 0.6
    return probabilities >= 0.5, probabilities


def test_a_volume_is_voxels_times_the_determinant_of_the_affine():
    masks, probabilities = case()
    assert voxel_ml(OBLIQUE) == pytest.approx(2 * (1.8 * 5.4 + 0.36) / 1000)
    inner, outer = measure(masks, probabilities, REGIONS, OBLIQUE)
    assert inner.ensemble == pytest.approx(50 * voxel_ml(OBLIQUE))
    assert outer.ensemble == pytest.approx(100 * voxel_ml(OBLIQUE))


def test_the_expected_volume_weighs_voxels_by_their_probability():
    masks, probabilities = case()
    inner, outer = measure(masks, probabilities, REGIONS, np.eye(4))
    assert inner.expected == pytest.approx(50 * 0.8 / 1000, rel=1e-6)
    assert outer.expected == pytest.approx(100 * 0.6 / 1000, rel=1e-6)


def test_the_spread_is_over_the_members_own_volumes():
    masks, probabilities = case()
    members = np.stack([np.arange(41.0), np.arange(41.0) * 2], axis=1)
    inner, outer = measure(masks, probabilities, REGIONS, np.eye(4), members)
    assert (inner.members, inner.mean, inner.lowest, inner.highest) == (41, 20.0, 0.0, 40.0)
    assert (inner.spread_low, inner.spread_high) == (1.0, 39.0)
    assert inner.sd == pytest.approx(np.sqrt((41**2 - 1) / 12 * 41 / 40))
    assert outer.spread_high == 78.0


def test_without_members_there_is_no_spread_and_with_one_no_deviation():
    masks, probabilities = case()
    none = measure(masks, probabilities, REGIONS, np.eye(4))[0]
    one = measure(masks, probabilities, REGIONS, np.eye(4), np.array([[1.0, 2.0]]))[0]
    assert none.members == 0 and np.isnan([none.mean, none.spread_low, none.highest]).all()
    assert one.mean == 1.0 and np.isnan(one.sd)


def test_member_volumes_in_the_wrong_order_of_axes_are_refused():
    masks, probabilities = case()
    with pytest.raises(ValueError, match=r"expected \(members, 2\)"):
        measure(masks, probabilities, REGIONS, np.eye(4), np.zeros((2, 30)))


def test_the_table_names_its_unit_and_calls_the_spread_a_spread():
    masks, probabilities = case()
    volumes = measure(masks, probabilities, REGIONS, np.eye(4), np.array([[0.04, 0.1], [0.06, 0.1]]))
    text = to_csv(to_rows(volumes, {"INNER": "Inner, part"}))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["region"] for row in rows] == ["INNER", "OUTER"]
    assert rows[0]["title"] == "Inner, part" and rows[0]["ensemble_ml"] == "0.0500" and rows[0]["mean_ml"] == "0.0500"
    assert "spread_low_ml" in rows[0] and "confidence" not in text


def test_unknown_numbers_are_empty_cells():
    masks, probabilities = case()
    row = to_rows(measure(masks, probabilities, REGIONS, np.eye(4)))[0]
    assert row["sd_ml"] == "" and row["ensemble_ml"] != ""
