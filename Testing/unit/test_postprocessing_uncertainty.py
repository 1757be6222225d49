"""Where the ensemble doubts itself."""

import csv
import io

import numpy as np
import pytest

from LDMSegLib.postprocessing.uncertainty import COLUMNS, find_uncertain_regions, to_rows
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.specification import Region

REGIONS = (Region("INNER", "i", ("A",), (1, 2, 3)), Region("OUTER", "o", ("A", "B"), (1, 2, 3)))
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 2.0, 0, -40], [0, 0, 3.0, 7], [0, 0, 0, 1]])


def two_cubes():
    p = np.zeros((2, 40, 30, 20), np.float32)
    p[1, 5:9, 4:8, 3:7] = 0.5  # 64 voxels of ambiguity 1
    p[1, 30:36, 20:24, 12:16] = 0.25  # 96 voxels of ambiguity 0.75
    p[0, 30, 3, 3] = 0.5  # one voxel, too small
    return p


def test_places_are_ranked_by_volume_times_ambiguity():
    first, second = find_uncertain_regions(two_cubes(), REGIONS, AFFINE, smallest_ml=0.05)
    assert (first.rank, second.rank) == (1, 2)
    assert first.volume == pytest.approx(96 * 6 / 1000) and first.ambiguity == pytest.approx(0.75)
    assert second.volume == pytest.approx(64 * 6 / 1000) and second.ambiguity == pytest.approx(1.0)
    assert first.score == pytest.approx(0.432) and first.score > second.score
    assert {first.region, second.region} == {"OUTER"}


def test_the_centre_is_in_world_millimetres_and_the_box_in_voxels():
    _, place = find_uncertain_regions(two_cubes(), REGIONS, AFFINE)
    assert place.center == pytest.approx((30 - 6.5, -40 + 2 * 5.5, 7 + 3 * 4.5))
    assert place.box == ((5, 4, 3), (8, 7, 6))


def test_the_voxel_to_jump_to_lies_in_the_place_even_when_its_centre_does_not():
    x, y, z = np.mgrid[:21, :21, :5]
    ring = np.abs(np.hypot(x - 10, y - 10) - 5) < 1
    p = np.where(ring, 0.5, 0.0).astype(np.float32)[None]
    (place,) = find_uncertain_regions(p, REGIONS[:1], np.eye(4), reach_mm=100)
    assert p[0][place.voxel] == 0.5
    assert not ring[tuple(np.round(place.center).astype(int))]
    assert place.position == pytest.approx(place.voxel)


def test_a_shell_around_a_large_ball_is_divided_into_places_one_can_go_to():
    grid = np.mgrid[:60, :60, :60] - 29.5
    p = (1 / (1 + np.exp(np.sqrt((grid**2).sum(axis=0)) - 22))).astype(np.float32)[None]
    places = find_uncertain_regions(p, REGIONS[:1], np.eye(4), count=1000, smallest_ml=0.0)
    assert len(places) > 10
    extents = np.array([np.subtract(place.box[1], place.box[0]).max() for place in places])
    assert extents.max() < 30, "a place as large as half of the shell is no place to go to"
    band = ((p >= 0.2) & (p <= 0.8)).sum() / 1000
    assert sum(place.volume for place in places) == pytest.approx(band, rel=0.02), "nearly every doubted voxel belongs to one place"


def test_a_thick_doubtful_corner_comes_before_the_thin_ordinary_edge():
    p = np.zeros((1, 50, 50, 12), np.float32)
    p[:, 10:40, 10:40, 3:9] = 1
    p[:, 10, 10:40, 3:9] = 0.5  # one voxel thick
    p[:, 34:44, 34:44, 3:9] = 0.5
    first = find_uncertain_regions(p, REGIONS[:1], np.eye(4))[0]
    assert np.linalg.norm(np.array(first.center[:2]) - 38.5) < 4


def test_no_more_places_than_asked_for():
    assert len(find_uncertain_regions(two_cubes(), REGIONS, AFFINE, count=1)) == 1


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 0.95])
def test_an_ensemble_of_one_mind_has_no_uncertain_places(value):
    assert find_uncertain_regions(np.full((2, 8, 8, 8), value, np.float32), REGIONS, np.eye(4)) == ()


def test_the_table_has_its_columns_even_without_rows():
    places = find_uncertain_regions(two_cubes(), REGIONS, AFFINE)
    rows = list(csv.DictReader(io.StringIO(to_csv(to_rows(places), COLUMNS))))
    assert [int(row["rank"]) for row in rows] == [1, 2]
    assert (rows[1]["jump_i"], rows[1]["last_i"]) == (str(places[1].voxel[0]), "8")
    assert to_csv(to_rows(()), COLUMNS) == ",".join(COLUMNS) + "\n"
