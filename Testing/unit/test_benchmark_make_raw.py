"""The truth that made-raw cases are judged by is the truth, and they are as raw as they claim to be."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from scipy import ndimage

from LDMSegLib.spatial.foreground import inspect
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume
from Testing.benchmarks import make_raw as raw_cases
from Testing.benchmarks.make_raw import make_raw

AFFINE = np.array([[-1.0, 0, 0, 40], [0, -1.0, 0, 45], [0, 0, 1.0, -20], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def prepared():
    x, y, z = np.meshgrid(np.arange(70) - 33, np.arange(76) - 40, np.arange(60) - 30, indexing="ij")
    brain = (x / 28) ** 2 + (y / 32) ** 2 + (z / 26) ** 2 < 1
    blob = (x - 9) ** 2 + (y + 8) ** 2 + (z - 4) ** 2 < 100
    image = np.where(brain, 100 + x + 2 * np.sin(y / 3) * 10 + 80 * blob, 0).astype(np.float32)
    return {name: Volume(image, AFFINE) for name in ("t1c", "t2w")}


@pytest.fixture(scope="module")
def raw(prepared):
    with mock.patch.multiple(raw_cases, BIAS=0.0, NOISE=0.005):  # so that nothing but the geometry is left to judge
        return make_raw(prepared, seed=4)


def test_undoing_the_known_move_brings_each_sequence_back_where_it_was(prepared, raw):
    for name, volume in raw.volumes.items():
        back = resample_to(volume.array, np.linalg.inv(raw.moves[name]) @ volume.affine, AFFINE, prepared[name].shape)
        inside = ndimage.binary_erosion(prepared[name].array > 0, iterations=8)
        assert np.corrcoef(back[inside], prepared[name].array[inside])[0, 1] > 0.9
        wrong = resample_to(volume.array, volume.affine, AFFINE, prepared[name].shape)
        assert np.corrcoef(wrong[inside], prepared[name].array[inside])[0, 1] < 0.85


def test_all_of_a_lopsided_brain_is_in_its_head_however_it_is_stored():
    """A brain that is not its own mirror image, stored LPS: its skull must lie around it and cover nothing of it."""
    x, y, z = np.meshgrid(np.arange(70) - 33, np.arange(76) - 40, np.arange(60) - 30, indexing="ij")
    brain = ((x / 28) ** 2 + (y / 32) ** 2 + (z / 26) ** 2 < 1) & ~((x > 2) & (y > 5))
    image = np.where(brain, 100 + x + 20 * np.sin(y / 3), 0).astype(np.float32)
    with mock.patch.multiple(raw_cases, BIAS=0.0, NOISE=0.001), mock.patch.object(raw_cases, "PLANES", dict.fromkeys(raw_cases.PLANES)):
        raw = make_raw({"t1c": Volume(image, AFFINE)}, seed=1)
    volume = raw.volumes["t1c"]
    back = resample_to(volume.array, np.linalg.inv(raw.moves["t1c"]) @ volume.affine, AFFINE, image.shape)
    edge = brain & ~ndimage.binary_erosion(brain, iterations=4)
    assert np.corrcoef(back[edge], image[edge])[0, 1] > 0.8
    fluid = ndimage.binary_dilation(brain, iterations=2) & ~ndimage.binary_dilation(brain, iterations=1)
    assert np.median(back[fluid]) < 0.6 * np.median(back[brain]), "fluid lies right around it"


def test_slices_skull_and_moves_are_what_they_are_called(raw):
    for name, volume in raw.volumes.items():
        assert max(volume.spacing) == pytest.approx(1.0 if raw.planes[name] == "3d" else 5.0)
        assert inspect(volume).skull
        move = raw.moves[name]
        np.testing.assert_allclose(move[:3, :3] @ move[:3, :3].T, np.eye(3), atol=1e-12)
    assert len({tuple(move.ravel()) for move in raw.moves.values()}) == 2


def test_the_same_seed_makes_the_same_case(prepared):
    one = {"t1c": prepared["t1c"]}
    first, again = make_raw(one, seed=4), make_raw(one, seed=4)
    assert np.array_equal(first.volumes["t1c"].array, again.volumes["t1c"].array)
