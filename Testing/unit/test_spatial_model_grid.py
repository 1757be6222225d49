"""From a case's grid to the model's and back, for any orientation, spacing and angle."""

import nibabel as nib
import numpy as np
import pytest

from LDMSegLib.errors import InputError
from LDMSegLib.spatial.model_grid import PlacedGrid, from_grid, place, to_grid
from LDMSegLib.specification import Grid

GRID = Grid(spacing=(2.0, 2.0, 2.0), shape=(48, 48, 48), multiple=16)


DIRECTIONS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def oriented(codes: str, spacing, shape, angle: float = 0.0) -> np.ndarray:
    """An affine whose axes run along `codes`, turned by `angle` degrees about S, centred on the world's origin."""
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([DIRECTIONS[code] for code in codes]).T * np.array(spacing)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


def ball(shape, affine, centre=(4.0, -6.0, 3.0), radius=22.0, softness=4.0) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    distance = np.linalg.norm(world - np.array(centre), axis=-1)
    return np.clip((radius - distance) / softness + 0.5, 0, 1).astype(np.float32)


CASES = [
    ("RAS", (1.0, 1.0, 1.0), (80, 84, 76), 0.0),
    ("LPS", (1.0, 1.0, 1.0), (80, 84, 76), 0.0),
    ("SRA", (1.5, 0.9, 1.2), (60, 96, 70), 0.0),
    ("LAS", (0.9, 0.9, 4.0), (90, 90, 22), 0.0),
    ("RAS", (1.0, 1.0, 1.0), (84, 84, 76), 17.0),
]


@pytest.mark.parametrize(("codes", "spacing", "shape", "angle"), CASES)
def test_an_object_is_where_it_was_after_going_to_the_model_grid_and_back(codes, spacing, shape, angle):
    affine = oriented(codes, spacing, shape, angle)
    assert angle or "".join(nib.aff2axcodes(affine)) == codes
    image = ball(shape, affine)
    placed = place(image > 0, affine, GRID)
    on_grid = to_grid(image, affine, placed)
    expected = ball(placed.shape, placed.affine)
    # An 8 mm³ voxel averages what a thick slice blurred; the centre of mass must agree far below a voxel.
    weights, truth = on_grid / on_grid.sum(), expected / expected.sum()
    axes = np.stack(np.meshgrid(*[np.arange(n) for n in placed.shape], indexing="ij"))
    shift = np.abs((axes * weights).sum(axis=(1, 2, 3)) - (axes * truth).sum(axis=(1, 2, 3)))
    assert shift.max() < 0.05
    back = from_grid(on_grid[None], placed, affine, shape)[0]
    overlap = 2 * ((back > 0.5) & (image > 0.5)).sum() / ((back > 0.5).sum() + (image > 0.5).sum())
    assert overlap > 0.97


def test_the_fast_path_for_parallel_axes_equals_the_general_one():
    shape = (60, 70, 50)
    affine = oriented("SRA", (1.3, 0.8, 1.1), shape)
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    placed = place(np.ones(shape, bool), affine, GRID)
    tilted = affine.copy()
    tilted[0, 1] += 1e-4  # enough to leave the fast path, too little to matter
    fast, general = to_grid(image, affine, placed), to_grid(image, tilted, placed)
    assert np.abs(fast - general).max() < 0.02
    assert np.abs(fast - general).mean() < 1e-3


def test_the_grid_is_centred_on_the_brain_and_has_the_usual_shape():
    foreground = np.zeros((90, 90, 90), bool)
    foreground[10:70, 20:80, 5:65] = True
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    placed = place(foreground, affine, GRID)
    assert placed.shape == GRID.shape
    centre = placed.affine[:3, :3] @ ((np.array(placed.shape) - 1) / 2) + placed.affine[:3, 3]
    assert np.allclose(centre, [39.5, 49.5, 34.5])


def test_a_larger_brain_gets_a_larger_grid_that_still_divides():
    foreground = np.ones((140, 60, 60), bool)
    placed = place(foreground, np.eye(4), GRID)
    assert placed.shape == (80, 48, 48)


def test_nested_probabilities_stay_nested_and_within_bounds_on_the_way_back():
    rng = np.random.default_rng(3)
    outer = rng.random((16, 16, 16)).astype(np.float32)
    inner = outer * rng.random((16, 16, 16)).astype(np.float32)
    placed = PlacedGrid(np.diag([2.0, 2.0, 2.0, 1.0]), (16, 16, 16))
    affine = oriented("LPS", (0.7, 0.9, 1.1), (30, 30, 30), 11.0)
    affine[:3, 3] += 15
    back = from_grid(np.stack([inner, outer]), placed, affine, (30, 30, 30))
    assert back.any()
    assert (back[0] <= back[1] + 1e-6).all()
    assert back.min() >= 0 and back.max() <= 1 + 1e-6


def test_an_empty_image_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="empty"):
        place(np.zeros((5, 5, 5), bool), np.eye(4), GRID)


def test_an_absurdly_large_image_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="500.*mm"):
        place(np.ones((50, 50, 50), bool), np.diag([10.0, 10.0, 10.0, 1.0]), GRID)
