"""Region probabilities to labels and back, for gliomas and for regions that have nothing to do with them."""

import numpy as np
import pytest

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.postprocessing.regions import drop_small_components, label_map, nest, region_masks, threshold_masks
from LDMSegLib.specification import Label, Region

GREY = (128, 128, 128)
LABELS = (Label("NCR", 1, "core", GREY), Label("ED", 2, "oedema", GREY), Label("ET", 3, "enhancing", GREY, {"brats2017": 4}))
REGIONS = (
    Region("ET", "ET", ("ET",), GREY),
    Region("TC", "TC", ("NCR", "ET"), GREY),
    Region("WT", "WT", ("NCR", "ED", "ET"), GREY),
)


def random_probabilities(seed=0, shape=(6, 5, 4)):
    return np.random.default_rng(seed).random((3, *shape), dtype=np.float32)


def test_after_nesting_no_inner_region_exceeds_its_outer_one_and_outer_ones_are_unchanged():
    p = random_probabilities()
    before = p.copy()
    et, tc, wt = nest(p, REGIONS)
    assert (et <= tc).all() and (tc <= wt).all()
    assert np.array_equal(wt, before[2])
    assert np.array_equal(tc, np.minimum(before[1], before[2]))
    assert np.array_equal(et, before.min(axis=0))
    assert np.array_equal(p, before), "the caller's array was changed"


def test_nesting_gives_the_same_on_torch_tensors():
    torch = pytest.importorskip("torch")
    p = random_probabilities()
    nested = nest(torch.from_numpy(p), REGIONS)
    assert isinstance(nested, torch.Tensor)
    assert np.array_equal(nested.numpy(), nest(p, REGIONS))


def test_the_mean_of_nested_members_is_nested():
    members = np.stack([nest(random_probabilities(seed), REGIONS) for seed in range(5)])
    et, tc, wt = members.mean(axis=0)
    assert (et <= tc).all() and (tc <= wt).all()


def test_thresholding_nests_even_where_probabilities_do_not():
    p = random_probabilities()
    masks = threshold_masks(p, REGIONS, 0.5)
    assert np.array_equal(masks, nest(p, REGIONS) >= 0.5)
    assert not (masks[0] & ~masks[1]).any() and not (masks[1] & ~masks[2]).any()


def test_every_label_comes_from_exactly_its_regions():
    p = np.zeros((3, 4, 1, 1), np.float32)
    p[:, 0] = 0.4  # nothing
    p[2, 1] = 0.9  # WT alone: oedema
    p[1:, 2] = 0.9  # TC in WT: core
    p[:, 3] = 0.9  # all three: enhancing
    assert label_map(p, LABELS, REGIONS, 0.5).ravel().tolist() == [0, 2, 1, 3]


def test_a_voxel_exactly_at_the_threshold_belongs_to_the_region():
    assert label_map(np.full((3, 1, 1, 1), 0.5, np.float32), LABELS, REGIONS, 0.5).item() == 3


def test_each_region_can_have_its_own_threshold():
    p = np.full((3, 1, 1, 1), 0.45, np.float32)
    assert label_map(p, LABELS, REGIONS, (0.5, 0.4, 0.4)).item() == 1


def test_another_convention_changes_only_the_integers_it_names():
    p = np.zeros((3, 2, 1, 1), np.float32)
    p[:, 0], p[2, 1] = 1, 1
    assert label_map(p, LABELS, REGIONS, 0.5, "brats2017").ravel().tolist() == [4, 2]


def test_an_unknown_convention_is_refused_naming_those_there_are():
    with pytest.raises(InputError, match="'martian'.*brats2017"):
        label_map(random_probabilities(), LABELS, REGIONS, 0.5, "martian")


def test_masks_of_a_label_map_and_back_are_the_same_map():
    original = np.random.default_rng(1).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    masks = region_masks(original, LABELS, REGIONS)
    assert np.array_equal(masks[0], original == 3)
    assert np.array_equal(masks[1], (original == 1) | (original == 3))
    assert np.array_equal(masks[2], original > 0)
    assert np.array_equal(label_map(masks.astype(np.float32), LABELS, REGIONS, 0.5), original)


def test_masks_are_read_in_the_convention_the_map_is_written_in():
    old = np.array([[[0, 1, 2, 4]]], np.float64)
    assert region_masks(old, LABELS, REGIONS, "brats2017")[0].ravel().tolist() == [False, False, False, True]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_an_integer_that_is_no_label_is_refused(dtype):
    with pytest.raises(InputError, match="value 4.*expected only 0 and 1 \\(NCR\\)"):
        region_masks(np.array([[[0, 4]]], dtype), LABELS, REGIONS)


def test_disjoint_regions_that_are_both_on_give_the_label_of_the_more_probable():
    labels = (Label("LIVER", 1, "liver", GREY), Label("SPLEEN", 5, "spleen", GREY))
    regions = (Region("A", "liver", ("LIVER",), GREY), Region("B", "spleen", ("SPLEEN",), GREY))
    p = np.array([[0.9, 0.6], [0.55, 0.7]], np.float32).reshape(2, 2, 1, 1)
    assert label_map(p, labels, regions, 0.5).ravel().tolist() == [1, 5]


def test_overlapping_regions_without_nesting_use_their_intersection_label():
    labels = (Label("L", 1, "left", GREY), Label("R", 2, "right", GREY), Label("BOTH", 3, "both", GREY))
    regions = (Region("A", "a", ("L", "BOTH"), GREY), Region("B", "b", ("R", "BOTH"), GREY))
    p = np.array([[1, 0, 1, 0], [0, 1, 1, 0]], np.float32).reshape(2, 4, 1, 1)
    assert label_map(p, labels, regions, 0.5).ravel().tolist() == [1, 2, 3, 0]


def test_labels_that_no_region_tells_apart_are_a_fault_of_the_bundle():
    labels = (Label("A", 1, "a", GREY), Label("B", 2, "b", GREY))
    with pytest.raises(BundleError, match="A and B belong to the same regions"):
        label_map(np.ones((1, 1, 1, 1), np.float32), labels, (Region("R", "r", ("A", "B"), GREY),), 0.5)


def two_lesions():
    """An outer region of 4x4x4 holding a core of 2x2x2 with one inner voxel, and a stray one of 2 voxels with a core voxel."""
    masks = np.zeros((3, 14, 8, 8), bool)
    masks[2, 1:5, 1:5, 1:5] = True
    masks[1:, 2:4, 2:4, 2:4] = True
    masks[0, 2, 2, 2] = True
    masks[2, 10:12, 4, 4] = True
    masks[1, 10, 4, 4] = True
    return masks


def test_a_small_outer_component_goes_with_everything_inside_it():
    kept = drop_small_components(two_lesions(), REGIONS, smallest_mm3=3.0, voxel_mm3=1.0)
    assert not kept[:, 10:12].any()
    assert kept[2].sum() == 64 and kept[1].sum() == 8


def test_a_small_inner_component_leaves_only_its_own_region():
    kept = drop_small_components(two_lesions(), REGIONS, smallest_mm3=3.0, voxel_mm3=1.0)
    assert not kept[0].any()
    assert kept[1, 2, 2, 2] and kept[2, 2, 2, 2]


def test_size_is_physical_not_a_number_of_voxels():
    masks = two_lesions()
    assert np.array_equal(drop_small_components(masks, REGIONS, smallest_mm3=2.0, voxel_mm3=2.0), masks)
    assert drop_small_components(masks, REGIONS, smallest_mm3=5.0, voxel_mm3=2.0)[2, 10:12].sum() == 0


def test_dropping_small_components_keeps_the_nesting_of_random_masks():
    masks = threshold_masks(random_probabilities(3, (12, 12, 12)) ** 0.3, REGIONS, 0.75)
    kept = drop_small_components(masks, REGIONS, smallest_mm3=20, voxel_mm3=1.0)
    assert kept.any() and kept.sum() < masks.sum()
    assert not (kept[0] & ~kept[1]).any() and not (kept[1] & ~kept[2]).any()
