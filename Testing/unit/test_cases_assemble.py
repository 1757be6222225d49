"""A case from its files: one grid, and warnings or errors where the files don't belong together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from LDMSegLib.cases.assemble import case_id, load_case
from LDMSegLib.errors import InputError
from LDMSegLib.sequences.naming import find_case, find_cohort
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.specification import Sequence


@dataclass(frozen=True)
class Wanted:
    sequences: tuple[Sequence, ...]
    reference: str = "t1c"


NAMES = ("t1n", "t1c", "t2w", "t2f")
FOUR = Wanted(tuple(Sequence(name, name.upper()) for name in NAMES))
OPTIONAL = Wanted(tuple(Sequence(name, name.upper(), required=False) for name in NAMES))

SHAPE = (48, 56, 48)
GRID = np.array([[-4.0, 0, 0, 94], [0, -4.0, 0, 110], [0, 0, 4.0, -94], [0, 0, 0, 1]])
REAL = Path(os.environ.get("LDMSEG_REAL_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")


def head(affine=GRID, shape=SHAPE, seed=0, centre=(0.0, 0.0, 0.0)):
    """An ellipsoid of 1.3 litres around the world's origin, brighter towards its front left top; exactly 0 around it."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = grid @ affine[:3, :3].T + affine[:3, 3] - centre
    inside = ((world / [65.0, 80.0, 60.0]) ** 2).sum(-1) < 1
    texture = np.random.default_rng(seed).integers(0, 30, shape)
    return (np.rint(400 + world @ [1.0, 1.5, 2.0] + texture) * inside).astype(np.int16)


def write(folder, name, array, affine=GRID):
    path = folder / f"p7_{name}.nii.gz"
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def files(tmp_path):
    return {name: write(tmp_path, name, head(seed=i)) for i, name in enumerate(NAMES)}


def complaint(files, wanted=FOUR):
    with pytest.raises(InputError) as caught:
        load_case(files, wanted)
    message = str(caught.value)
    assert ("\n" not in message and not message.endswith(".") and "expected" in message) or "needs" in message
    return message


def test_a_consistent_case_is_taken_exactly_as_it_is(files):
    case = load_case(files, FOUR)
    assert case.warnings == () and case.missing == () and case.reference == "t1c" and case.id == "p7"
    assert tuple(case.volumes) == NAMES
    for i, name in enumerate(NAMES):
        np.testing.assert_array_equal(case.volumes[name].array, head(seed=i))
        assert case.volumes[name].path == files[name]
    np.testing.assert_array_equal(case.grid.affine, nib.load(files["t1c"]).affine)
    np.testing.assert_array_equal(case.foreground(), np.logical_or.reduce([head(seed=i) != 0 for i in range(4)]))


def test_the_order_of_the_files_given_does_not_matter(files):
    assert tuple(load_case(dict(reversed(files.items())), FOUR).volumes) == NAMES


def test_affines_that_differ_by_rounding_are_silently_one_grid(files, tmp_path):
    near = GRID.copy()
    near[:3, :3] *= 1.00005
    near[:3, 3] += 0.004
    files["t2w"] = write(tmp_path, "t2w", head(seed=2), near)
    case = load_case(files, FOUR)
    assert case.warnings == ()
    np.testing.assert_array_equal(case.volumes["t2w"].array, head(seed=2))
    np.testing.assert_array_equal(case.volumes["t2w"].affine, case.grid.affine)


def test_the_same_grid_stored_with_other_axes_is_silently_the_same(files, tmp_path):
    turned = nib.Nifti1Image(head(seed=3), GRID).as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(GRID), nib.orientations.axcodes2ornt("SAR"))
    )
    assert nib.aff2axcodes(turned.affine) == ("S", "A", "R")
    files["t2f"] = write(tmp_path, "t2f", np.asarray(turned.dataobj), turned.affine)
    case = load_case(files, FOUR)
    assert case.warnings == ()
    np.testing.assert_array_equal(case.volumes["t2f"].array, head(seed=3))


def test_another_grid_is_resampled_in_world_space_and_told_in_numbers(files, tmp_path):
    t = np.radians(10)
    turn = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    other = np.eye(4)
    other[:3, :3] = turn @ np.diag([3.0, 3.0, 5.0])
    other[:3, 3] = [-85, -130, -98]
    files["t2f"] = write(tmp_path, "t2f", head(other, (72, 78, 40), seed=3), other)
    case = load_case(files, FOUR)
    (warning,) = case.warnings
    assert "t2f lies on another grid than t1c" in warning
    assert "3×3×5 mm instead of 4×4×4 mm" in warning and "72×78×40 voxels" in warning and "turned by 10.0°" in warning
    assert case.volumes["t2f"].shape == SHAPE
    np.testing.assert_array_equal(case.volumes["t2f"].affine, case.grid.affine)
    # Well inside the head the image is known at every place in the world.
    inside = (case.grid.array > 0)[12:36, 14:42, 14:34]
    moved, true = (a[12:36, 14:42, 14:34][inside] for a in (case.volumes["t2f"].array, head(seed=3).astype(np.float32)))
    assert np.abs(moved - true).mean() < 12, "no more than the random texture differs"
    assert np.corrcoef(moved, true)[0, 1] > 0.95


def test_averaging_over_larger_voxels_loses_noise_and_widens_no_brain(files, tmp_path):
    fine, shape = GRID @ np.diag([0.5, 0.5, 0.5, 1.0]), (96, 112, 96)
    brain = head(fine, shape, seed=3)
    files["t2f"] = write(tmp_path, "t2f", brain, fine)
    moved = load_case(files, FOUR).volumes["t2f"].array
    plain = resample_to(brain.astype(np.float32), fine, GRID, SHAPE, smooth=False)
    np.testing.assert_array_equal(moved != 0, plain != 0)
    within = (slice(16, 32), slice(20, 36), slice(18, 30))
    noise = [(np.diff(image[within], n=2, axis=0) / np.sqrt(6)).std() for image in (moved, plain)]  # no slope is left
    assert noise[0] < 0.6 * noise[1]


def test_results_can_be_written_with_the_references_own_header(files):
    header = load_case(files, FOUR).grid.header
    for field in ("srow_x", "srow_y", "srow_z", "sform_code", "qform_code", "pixdim"):
        np.testing.assert_array_equal(header[field], nib.load(files["t1c"]).header[field])


def test_a_required_sequence_that_is_absent_is_named(files):
    del files["t2f"]
    assert "T2F (t2f)" in complaint(files)


def test_an_unknown_sequence_is_refused(files):
    files["dwi"] = files["t1n"]
    assert "'dwi' is not known" in complaint(files)


def test_no_image_at_all_is_refused_even_if_none_is_required():
    assert "no image was given" in complaint({}, OPTIONAL)


def test_an_optional_sequence_may_be_missing_and_is_listed(files):
    del files["t2w"]
    case = load_case(files, OPTIONAL)
    assert case.missing == ("t2w",) and case.warnings == ()


def test_without_its_reference_a_case_stands_on_its_first_sequence_and_says_so(files):
    del files["t1c"]
    case = load_case(files, OPTIONAL)
    assert case.reference == "t1n" and case.missing == ("t1c",)
    assert len(case.warnings) == 1 and "t1c is missing, so t1n gives the grid" in case.warnings[0]


def test_one_file_for_two_sequences_is_refused(files):
    files["t2w"] = files["t2f"]
    assert "given both as t2w and as t2f" in complaint(files)


def test_copies_of_one_image_for_two_sequences_are_refused(files, tmp_path):
    files["t2w"] = write(tmp_path, "t2w_copy", head(seed=0))
    message = complaint(files)
    assert str(files["t1n"]) in message and str(files["t2w"]) in message and "same image" in message


def test_images_in_different_places_of_the_world_are_refused(files, tmp_path):
    away = GRID.copy()
    away[:3, 3] += 400
    files["t2w"] = write(tmp_path, "t2w", head(seed=2), away)
    message = complaint(files)
    assert str(files["t2w"]) in message and "does not overlap" in message and "mm away" in message


def test_brains_in_different_places_of_one_grid_are_refused(files, tmp_path):
    large = GRID.copy()
    large[:3, 3] = [290, 110, -94]
    shape = (150, *SHAPE[1:])
    files = {name: write(tmp_path, name, head(large, shape, seed=i), large) for i, name in enumerate(NAMES)}
    files["t2f"] = write(tmp_path, "t2f", head(large, shape, seed=9, centre=(-200, 0, 0)), large)
    message = complaint(files)
    assert str(files["t2f"]) in message and "do not overlap" in message


def test_a_constant_background_is_brought_to_zero(files, tmp_path):
    files["t2w"] = write(tmp_path, "t2w", (head(seed=2) - 50).astype(np.int16))
    case = load_case(files, FOUR)
    assert len(case.warnings) == 1 and "background of t2w (-50) is not 0" in case.warnings[0]
    np.testing.assert_array_equal(case.volumes["t2w"].array, head(seed=2))


def test_an_unusable_image_is_named_although_files_are_read_side_by_side(files):
    files["t2w"].write_bytes(files["t2w"].read_bytes()[:500])
    assert str(files["t2w"]) in complaint(files)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("BraTS2021_01660_t1.nii.gz", "BraTS2021_01660_t1ce.nii.gz"), "BraTS2021_01660"),
        (("BraTS-GLI-00001-000-t1n.nii", "BraTS-GLI-00001-000-t2f.nii"), "BraTS-GLI-00001-000"),
        (("t1.nii", "t2.nii"), "folder"),
        (("only_t1.nii",), "folder"),
        (("a1_t1.nii", "a1.nii"), "a1"),
    ],
)
def test_a_case_is_called_by_what_its_files_have_in_common(tmp_path, names, expected):
    assert case_id([tmp_path / "folder" / name for name in names]) == expected


@pytest.mark.skipif(not (REAL / "cases").is_dir(), reason="no real data beside the repository (../shared/data or $LDMSEG_REAL_DATA)")
def test_real_preprocessed_cases_raise_no_warning():
    for _, folder in find_cohort(REAL / "cases", FOUR.sequences)[::8]:
        case = load_case(find_case(folder, FOUR.sequences), FOUR)
        assert case.warnings == (), case.id
        assert case.grid.shape == (240, 240, 155) and case.grid.orientation == "LPS" and case.id == folder.name


@pytest.mark.skipif(not (REAL / "native").is_dir(), reason="no real data beside the repository (../shared/data or $LDMSEG_REAL_DATA)")
def test_a_real_raw_exam_is_read_with_its_skull_and_its_grids_told():
    case = load_case(find_case(REAL / "native" / "TCGA-FG-6692_native_with_skull", FOUR.sequences), FOUR)
    assert "t1n, t1c, t2w and t2f seem not to be skull-stripped" in case.warnings[0]
    assert [w.split()[0] for w in case.warnings[1:]] == ["t2w", "t2f"] and all("turned by" in w for w in case.warnings[1:])
