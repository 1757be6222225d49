"""Each warning both ways: said where it is true, silent where it isn't."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from LDMSegLib.cases.assemble import look_at
from LDMSegLib.preprocessing.brain_mask import doubts_of_brain
from LDMSegLib.preprocessing.quality import image_warnings, overlap_warnings
from LDMSegLib.spatial.foreground import background_value, foreground_dice, inspect
from LDMSegLib.spatial.volume import Volume

SHAPE = (48, 56, 48)
AFFINE = np.array([[-4.0, 0, 0, 94], [0, -4.0, 0, 110], [0, 0, 4.0, -94], [0, 0, 0, 1]])


def head(radii=(65.0, 80.0, 60.0), centre=(0.0, 0.0, 0.0), seed=0):
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
    world = grid @ AFFINE[:3, :3].T + AFFINE[:3, 3] - centre
    inside = ((world / radii) ** 2).sum(-1) < 1
    return (np.random.default_rng(seed).integers(100, 900, SHAPE) * inside).astype(np.float32)


def said(array, header=None, affine=AFFINE):
    return image_warnings({"t1c": inspect(Volume(array, affine, header=header))}, "t1c")


def test_a_skull_stripped_brain_raises_no_warning():
    assert said(head()) == []


def test_a_brain_cropped_to_its_box_raises_no_warning():
    array = head()
    index = np.argwhere(array)
    low, high = index.min(0), index.max(0) + 1
    assert said(array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]) == []


def test_a_noisy_background_means_no_skull_stripping():
    noisy = head() + np.abs(np.random.default_rng(1).normal(0, 5, SHAPE)).astype(np.float32)
    (warning,) = said(noisy)
    assert "t1c seem not to be skull-stripped" in warning and "HD-BET" in warning


def test_a_head_on_a_masked_background_is_still_no_brain():
    (warning,) = said(head((85.0, 100.0, 92.0)))
    assert "skull-stripped" in warning


@pytest.mark.parametrize("noise", [lambda rng: rng.normal(0, 1e-6, SHAPE), lambda rng: rng.normal(0, 1e-6, SHAPE).clip(0)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_a_stripped_brain_on_almost_nothing_is_a_stripped_brain_and_gets_an_exact_background(noise, scale):
    clean = head() * np.float32(scale)
    noisy = clean + noise(np.random.default_rng(1)).astype(np.float32)
    images = look_at({"t1c": Volume(noisy, AFFINE)})
    assert not images.findings["t1c"].skull and images.findings["t1c"].background == 0.0
    assert np.array_equal(images.volumes["t1c"].array == 0, clean == 0)
    (warning,) = image_warnings(images.findings, "t1c")
    assert "background of t1c" in warning and "not quite constant" in warning


def test_faint_noise_of_a_scanner_is_a_scanners():
    array = head() + np.abs(np.random.default_rng(1).normal(0, 3, SHAPE)).astype(np.float32)
    assert inspect(Volume(array, AFFINE)).skull


def test_a_slab_of_a_head_on_a_masked_background_is_no_brain_though_it_measures_less_than_one():
    slab = head((85.0, 100.0, 92.0))[:, :, 14:34]  # 80 mm
    found = inspect(Volume(slab, AFFINE))
    assert found.foreground_ml < 2300 and found.skull
    assert not inspect(Volume(head()[:, :, 14:34], AFFINE)).skull


@pytest.mark.parametrize("background", [0.0, -1.0, 37.0])
def test_the_background_is_what_the_corners_share(background):
    array = head()
    array[array == 0] = background
    assert background_value(array) == background


def test_noise_has_no_background():
    assert background_value(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)) is None


def test_a_background_other_than_zero_is_told():
    array = head()
    array[array == 0] = -1
    (warning,) = said(array)
    assert "background of t1c (-1) is not 0" in warning


def test_a_brain_of_a_rats_size_is_told():
    (warning,) = said(head((30.0, 40.0, 30.0)))
    assert "measures 15" in warning and "voxel size" in warning


def test_a_field_of_view_that_cuts_the_brain_is_told():
    (warning,) = said(head(centre=(0, 0, 60)))
    assert "cuts through the brain in t1c" in warning


def test_a_few_voxels_of_brain_stem_on_the_last_slice_are_no_cut():
    assert said(head(centre=(0, 0, -36))) == []


def test_a_label_map_in_place_of_an_image_is_told():
    (warning,) = said(np.ceil(head() / 300))
    assert "few different grey values in t1c (3)" in warning


def test_an_already_normalised_image_is_told():
    array = head()
    inside = array != 0
    array[inside] = (array[inside] - array[inside].mean()) / array[inside].std()
    (warning,) = said(array)
    assert "negative values in t1c" in warning and "before normalisation" in warning


def test_a_file_that_does_not_say_how_it_lies_is_told():
    header = nib.Nifti1Header()
    (warning,) = said(head(), header)
    assert "left and right" in warning
    header.set_qform(AFFINE, code=1)
    assert said(head(), header) == []


def test_images_with_the_same_trouble_share_one_sentence():
    noise = np.random.default_rng(0).normal(100, 5, SHAPE).astype(np.float32)
    findings = {name: inspect(Volume(array, AFFINE)) for name, array in (("a", noise), ("b", head()), ("c", noise))}
    (warning,) = image_warnings(findings, "b")
    assert warning.startswith("a and c seem not")


def test_areas_and_volumes_are_those_of_oblique_voxels_too():
    t = np.radians(30)
    turn = np.array([[np.cos(t), -np.sin(t), 0, 0], [np.sin(t), np.cos(t), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    straight, turned = (inspect(Volume(head(centre=(0, 0, 60)), a)) for a in (AFFINE, turn @ AFFINE))
    assert turned.cut_cm2 == pytest.approx(straight.cut_cm2) and turned.foreground_ml == pytest.approx(straight.foreground_ml)
    # The ellipsoid's cross-section 34 mm (from the centre at 60 to the last slice at 94) above its middle.
    assert straight.cut_cm2 == pytest.approx(np.pi * 6.5 * 8.0 * (1 - (34 / 60) ** 2), rel=0.03)


def test_sequences_whose_brains_lie_apart_are_told_with_their_overlap():
    dice = {name: foreground_dice(head(), head(centre=c)) for name, c in (("near", (4, 0, 0)), ("far", (0, 24, 0)))}
    (warning,) = overlap_warnings(dice, "t1c")
    assert "near" not in warning and f"far (Dice {dice['far']:.2f})" in warning


def test_dice_of_foregrounds_is_that_of_their_voxels():
    a, b = np.zeros((20, 20, 20)), np.zeros((20, 20, 20))
    a[:10], b[4:14] = 1, 1
    assert foreground_dice(a, b) == pytest.approx(0.6)
    assert foreground_dice(a, np.zeros_like(a)) == 0.0


def test_a_network_rounds_a_brain_off_where_the_image_ends_and_the_cut_is_found_all_the_same():
    whole = head(centre=(0, 0, 28)) > 0  # its top lies just within
    assert doubts_of_brain(whole, "deepbet", Volume(head(), AFFINE), "t1c") == []
    cut = head(centre=(0, 0, 60)) > 0
    cut[:, :, -1] = cut[:, :, -1] & (np.random.default_rng(0).random(cut.shape[:2]) < 0.1)
    (warning,) = doubts_of_brain(cut, "deepbet", Volume(head(), AFFINE), "t1c")
    assert "the field of view of t1c cuts through the brain" in warning and "slices may be missing" in warning
