"""Moved images come back; images that have nothing in common are known by it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing import registration
from LDMSegLib.preprocessing.registration import register
from LDMSegLib.preprocessing.registration_quality import DOUBTFUL, UNRELATED
from LDMSegLib.preprocessing.similarity import distinctness, mutual_information
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume

AFFINE = np.array([[-3.0, 0, 0, 80], [0, -3.0, 0, 90], [0, 0, 3.0, -70], [0, 0, 0, 1]])
SHAPE = (54, 60, 46)
PLACES = np.array(np.meshgrid([-50.0, 0, 50], [-55.0, 0, 55], [-40.0, 0, 40])).reshape(3, -1)


def head(seed: int = 0) -> np.ndarray:
    """Smooth patches in an ellipsoid, 0 outside."""
    rng = np.random.default_rng(seed)
    inside = sum(x**2 for x in np.meshgrid(*[np.linspace(-1.15, 1.15, n) for n in SHAPE], indexing="ij")) < 1
    grey = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2.5)
    return np.where(inside, 100 + 40 * np.tanh(2 * grey / grey.std()), 0).astype(np.float32)


def other_contrast(image: np.ndarray) -> np.ndarray:
    """The same tissue as another sequence shows it: neither brighter nor darker throughout."""
    return np.where(image > 0, 150 - 0.4 * image + 40 * np.sin(image / 20), 0).astype(np.float32)


def moved(angles: tuple[float, ...], shift: tuple[float, ...]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), shift
    return matrix


def error_mm(matrix: np.ndarray) -> float:
    """How far off the places are that `matrix` should leave alone, at worst."""
    points = np.vstack([PLACES, np.ones(PLACES.shape[1])])
    return float(np.linalg.norm((matrix @ points - points)[:3], axis=0).max())


@pytest.mark.parametrize(("angles", "shift"), [((5, -3, 8), (4, -6, 3)), ((-14, 12, -10), (15, -12, 14))])
def test_a_moved_sequence_comes_back_within_a_millimetre(angles, shift):
    fixed, move = Volume(head(), AFFINE), moved(angles, shift)
    found = register(Volume(other_contrast(head()), move @ AFFINE), fixed)
    assert error_mm(found.matrix @ move) < 1.0
    assert np.allclose(found.matrix[:3, :3] @ found.matrix[:3, :3].T, np.eye(3), atol=1e-6), "rigid"


@pytest.mark.parametrize("axis", [0, 2])
def test_thick_slices_come_back_within_two_millimetres(axis):
    spacing = np.ones(3)
    spacing[axis] = 2.0
    thick = AFFINE @ np.diag([*spacing, 1.0])
    shape = tuple(int(n / s) for n, s in zip(SHAPE, spacing, strict=True))
    blurred = ndimage.gaussian_filter1d(other_contrast(head()), 0.6, axis=axis)
    move = moved((4, 6, -5), (5, 3, -4))
    found = register(Volume(resample_to(blurred, AFFINE, thick, shape), move @ thick), Volume(head(), AFFINE))
    assert error_mm(found.matrix @ move) < 2.0


def test_the_same_search_gives_the_same_transform_to_the_bit_with_any_number_of_threads_and_beside_others(monkeypatch):
    import SimpleITK as sitk

    monkeypatch.setattr(registration, "LEVELS", registration.LEVELS[:1])  # quick
    fixed, other = Volume(head(), AFFINE), Volume(other_contrast(head()), moved((3, 3, 3), (2, 2, 2)) @ AFFINE)
    before, found = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), []
    try:
        for threads in (1, 4):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            found.append(register(other, fixed).matrix)
        with ThreadPoolExecutor(2) as pool:
            found += pool.map(lambda _: register(other, fixed).matrix, range(2))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert all(np.array_equal(found[0], one) for one in found[1:])


def test_images_in_register_agree_more_than_images_that_are_not_and_strangers_hardly():
    fixed, other, other_patient = Volume(head(), AFFINE), Volume(other_contrast(head()), AFFINE), Volume(head(seed=9), AFFINE)
    inside = fixed.array > 0
    well, badly, never = (
        mutual_information(*pair, matrix, inside)
        for pair, matrix in (
            ((other, fixed), np.eye(4)),
            ((other, fixed), moved((0, 0, 0), (12, 0, 0))),
            ((other_patient, fixed), np.eye(4)),
        )
    )
    assert well > 2 * badly and well > 2 * never


def test_one_patients_images_stand_out_where_they_fit_and_two_patients_do_not_wherever_they_are_moved(monkeypatch):
    monkeypatch.setattr(registration, "LEVELS", registration.LEVELS[:1])  # quick
    fixed = Volume(head(), AFFINE)
    own = register(Volume(other_contrast(head()), moved((4, -5, 3), (6, 4, -5)) @ AFFINE), fixed, fixed.array > 0, enough=DOUBTFUL)
    strange = register(
        Volume(other_contrast(head(seed=9)), moved((4, -5, 3), (6, 4, -5)) @ AFFINE), fixed, fixed.array > 0, enough=DOUBTFUL
    )
    assert own.distinct > DOUBTFUL and own.attempts == 1
    assert strange.distinct < UNRELATED and strange.attempts == 2, "another start was tried"
    matters = distinctness(Volume(other_contrast(head()), AFFINE), fixed, fixed.array > 0)
    assert matters(np.eye(4)) > DOUBTFUL > UNRELATED > matters(moved((0, 0, 0), (8, 0, 0)))


def test_a_search_that_is_not_good_enough_is_made_again_and_the_better_one_kept(monkeypatch):
    monkeypatch.setattr(registration, "LEVELS", registration.LEVELS[:1])
    fixed, other_patient = Volume(head(), AFFINE), Volume(head(seed=9), AFFINE)
    once, twice = register(other_patient, fixed), register(other_patient, fixed, enough=99.0)
    assert (once.attempts, twice.attempts) == (1, 2) and twice.quality >= once.quality - 1e-3


def test_without_simpleitk_one_sentence_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(InputError, match="pip install SimpleITK"):
        register(Volume(head(), AFFINE), Volume(head(), AFFINE))
