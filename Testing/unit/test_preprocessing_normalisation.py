"""Voxel values to the network's range."""

import numpy as np
import pytest

from LDMSegLib.preprocessing.normalisation import background, normalise
from LDMSegLib.specification import Intensity

ZSCORE = Intensity("zscore", -4.0, 8.0, 2.0)
PERCENTILE = Intensity("percentile", 0.0, 99.5)


@pytest.fixture
def brain():
    rng = np.random.default_rng(0)
    array = np.zeros((20, 20, 20), np.float32)
    array[4:16, 4:16, 4:16] = rng.normal(300, 40, (12, 12, 12))
    return array


def test_zscores_are_taken_over_the_brain_alone(brain):
    out = normalise(brain, ZSCORE)
    inside = out[brain != 0] * ZSCORE.scale
    assert abs(inside.mean()) < 1e-3 and abs(inside.std() - 1) < 1e-3
    assert (out[brain == 0] == background(ZSCORE)).all()


def test_percentiles_span_minus_one_to_one(brain):
    out = normalise(brain, PERCENTILE)
    assert out[brain != 0].min() == -1 and out.max() == 1
    assert (out[brain == 0] == -1).all()


@pytest.mark.parametrize("intensity", [ZSCORE, PERCENTILE])
def test_the_scanner_s_scale_and_offset_do_not_matter(brain, intensity):
    other = np.where(brain != 0, brain * 7.5 + 100, 0)
    assert np.allclose(normalise(brain, intensity), normalise(other, intensity), atol=1e-4)


@pytest.mark.parametrize("intensity", [ZSCORE, PERCENTILE])
def test_a_missing_sequence_is_background_everywhere(intensity):
    assert (normalise(np.zeros((4, 4, 4)), intensity) == background(intensity)).all()
