"""The bias field of a brain is found, and an image without one stays as it is."""

from __future__ import annotations

import numpy as np
import pytest

from LDMSegLib.preprocessing.bias_field import correct_bias_field, logarithmic_field
from LDMSegLib.spatial.volume import Volume

pytest.importorskip("SimpleITK")
SHAPE, SPACING = (60, 72, 60), 2.5


def brain(seed: int = 0) -> np.ndarray:
    """Two tissues in folds, and noise, in an ellipsoid on a background of 0."""
    x, y, z = (np.linspace(-1.15, 1.15, n) for n in SHAPE)
    x, y, z = np.meshgrid(x, y, z, indexing="ij")
    folds = np.sin(14 * x) * np.sin(12 * y) * np.sin(13 * z) > 0.1
    noise = np.random.default_rng(seed).normal(0, 8, SHAPE)
    return np.where(x**2 + y**2 + z**2 < 1, np.where(folds, 420.0, 300.0) + noise, 0.0).astype(np.float32)


def field(depth: float) -> np.ndarray:
    """A smooth natural logarithm of brightness, even on average."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    return (depth * (x + 0.5 * y**2 - 0.7 * z)).astype(np.float32)


def volume(array: np.ndarray) -> Volume:
    return Volume(array, np.diag([-SPACING, -SPACING, SPACING, 1.0]))


@pytest.mark.parametrize("depth", [0.15, 0.4])
def test_a_smooth_field_that_was_multiplied_on_is_found(depth):
    even = brain()
    found, inside = logarithmic_field(volume(even * np.exp(field(depth)))), even > 0
    true = field(depth)[inside] - field(depth)[inside].mean()
    assert np.corrcoef(found[inside], true)[0, 1] > 0.97
    assert np.abs(found[inside] - found[inside].mean() - true).mean() < 0.2 * np.abs(true).mean()


def test_an_even_brain_stays_even():
    even = brain()
    found = logarithmic_field(volume(even))[even > 0]
    assert found.std() < 0.03 and abs(found.mean()) < 0.02


def test_a_bias_field_is_corrected_and_its_depth_is_told():
    even = {"t1c": volume(brain(0)), "t2w": volume(brain(1))}
    shaded = {name: volume(one.array * np.exp(field(sign * 0.3))) for (name, one), sign in zip(even.items(), (1, -1), strict=True)}
    images, depths = correct_bias_field(shaded)
    assert set(images) == set(depths) == {"t1c", "t2w"}
    for name, one in images.items():
        inside = even[name].array > 0
        ratio = one.array[inside] / even[name].array[inside]
        assert ratio.std() / ratio.mean() < 0.04 < np.exp(field(0.3))[inside].std()
        assert np.array_equal(one.array > 0, inside) and np.array_equal(one.affine, even[name].affine)
        assert depths[name] == pytest.approx(field(0.3)[inside].std(), rel=0.2)
    _, before = correct_bias_field(even)
    assert max(before.values()) < 0.03


@pytest.mark.parametrize("array", [np.zeros(SHAPE, np.float32), np.pad(np.ones((4, 4, 4), np.float32), [(20, 36), (30, 38), (20, 36)])])
def test_where_there_is_too_little_brain_nothing_is_corrected(array):
    assert not logarithmic_field(volume(array)).any()
    images, depths = correct_bias_field({"t1c": volume(array)})
    assert np.array_equal(images["t1c"].array, array) and depths["t1c"] == 0.0


def test_a_sequence_on_anisotropic_voxels_is_looked_at_where_it_has_voxels():
    even = brain()[:, :, ::2]
    tilted = Volume(even * np.exp(field(0.4)[:, :, ::2]), np.diag([SPACING, SPACING, 2 * SPACING, 1.0]))
    found = logarithmic_field(tilted)
    assert found.shape == even.shape and np.corrcoef(found[even > 0], field(0.4)[:, :, ::2][even > 0])[0, 1] > 0.95
