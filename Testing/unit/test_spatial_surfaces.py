"""HD95 by surface elements, against the package that the official evaluation carries and against known bodies."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from LDMSegLib.spatial.surfaces import hausdorff95, surface_area

ONE = (1.0, 1.0, 1.0)
SPACINGS = [ONE, (0.9, 0.9, 5.5), (1.0, 1.3, 2.1)]


def cube(low, high, shape=(20, 20, 20)):
    mask = np.zeros(shape, bool)
    mask[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
    return mask


def random_pair(seed):
    rng = np.random.default_rng(seed)
    a = ndimage.gaussian_filter(rng.standard_normal((16, 14, 12)), rng.uniform(0.6, 2))
    b = a + rng.uniform(0.2, 1) * ndimage.gaussian_filter(rng.standard_normal((16, 14, 12)), 1)
    return a > np.quantile(a, 0.85), b > np.quantile(b, 0.85)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("spacing", SPACINGS)
def test_it_equals_the_official_evaluations_distance_on_random_masks(spacing):
    oracle = pytest.importorskip("surface_distance", reason="the oracle package surface-distance is not installed")
    for seed in range(12):
        a, b = random_pair(seed)
        expected = oracle.compute_robust_hausdorff(oracle.compute_surface_distances(a, b, spacing), 95)
        assert hausdorff95(a, b, spacing) == pytest.approx(expected, abs=1e-9), seed


REAL = Path(os.environ.get("LDMSEG_REAL_DATA", Path(__file__).parents[3] / "shared" / "data")) / "cases" / "TCGA-FG-6692"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(not REAL.exists(), reason="the real development data are not here")
def test_it_equals_the_official_evaluations_distance_on_real_maps():
    oracle = pytest.importorskip("surface_distance", reason="the oracle package surface-distance is not installed")
    fused, one = (np.asarray(nib.load(REAL / f"{REAL.name}_seg{which}.nii.gz").dataobj) > 0 for which in ("", "_scan-20"))
    expected = oracle.compute_robust_hausdorff(oracle.compute_surface_distances(fused, one, ONE), 95)
    assert hausdorff95(fused, one, ONE) == pytest.approx(expected) and expected > 1


@pytest.mark.parametrize("spacing", SPACINGS)
def test_known_bodies_have_the_area_of_their_elements(spacing):
    x, y, z = spacing
    corner = np.linalg.norm([y * z, x * z, x * y]) / 8
    assert surface_area(cube((4, 4, 4), (5, 5, 5)), spacing) == pytest.approx(8 * corner), "one voxel has a corner in 8 neighbourhoods"
    areas = [surface_area(cube((4, 4, 4), (4 + n, 5, 5)), spacing) for n in (1, 2, 3)]
    assert areas[2] - areas[1] == pytest.approx(areas[1] - areas[0]), "a rod grows by the same four edges with each voxel"
    slab = [surface_area(cube((4, 4, 4), (6, 4 + n, 4 + n)), spacing) for n in (8, 9, 10)]
    assert slab[2] - 2 * slab[1] + slab[0] == pytest.approx(2 * 2 * y * z), "a slab's two faces across x"


def test_a_mask_and_its_opposite_have_the_same_surface_inside():
    a, _ = random_pair(4)
    around = np.pad(a, 1)
    shell = surface_area(np.ones_like(around), ONE)
    assert surface_area(~around, ONE) == pytest.approx(surface_area(a, ONE) + shell, rel=1e-9)


def test_a_shift_gives_the_shift_in_millimetres():
    a, b = cube((2, 2, 2), (9, 9, 9)), cube((5, 2, 2), (12, 9, 9))
    assert hausdorff95(a, b, ONE) == 3.0
    assert hausdorff95(a, b, (0.5, 1, 1)) == 1.5


def test_identical_masks_are_at_distance_0_and_the_order_does_not_matter():
    a, b = random_pair(3)
    assert hausdorff95(a, a, ONE) == 0.0
    assert hausdorff95(a, b, ONE) == hausdorff95(b, a, ONE)


def test_a_small_stray_part_is_forgiven_by_95_percent_but_not_by_100():
    a = cube((2, 2, 2), (12, 12, 12))
    b = a | cube((18, 18, 18), (19, 19, 19))
    assert hausdorff95(a, b, ONE) == 0.0
    assert hausdorff95(a, b, ONE, percent=100) > 5


def test_empty_masks_give_zero_or_infinity_never_nan():
    a, nothing = cube((2, 2, 2), (5, 5, 5)), np.zeros((20, 20, 20), bool)
    assert hausdorff95(nothing, nothing, ONE) == 0.0
    assert hausdorff95(a, nothing, ONE) == hausdorff95(nothing, a, ONE) == float("inf")


def test_a_mask_at_the_edge_of_the_volume_has_a_closed_surface():
    at_edge, inside = cube((0, 0, 0), (4, 4, 4)), cube((8, 8, 8), (12, 12, 12))
    assert surface_area(at_edge, ONE) == pytest.approx(surface_area(inside, ONE))


def test_the_area_of_a_large_cuboid_is_nearly_that_of_its_faces():
    mask = cube((5, 5, 5), (45, 35, 25), (50, 50, 50))
    assert surface_area(mask, (1, 2, 3)) == pytest.approx(2 * (40 * 60 + 40 * 60 + 60 * 60), rel=0.03)
