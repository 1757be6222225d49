"""Mean and variance of the members, streamed."""

import gc
import weakref

import numpy as np
import pytest
import torch

from LDMSegLib.diffusion.statistics import RunningStatistics

SHAPE = (3, 4, 5, 6)


def members(count, seed=0):
    return torch.rand((count, *SHAPE), generator=torch.Generator().manual_seed(seed))


def collected(values):
    statistics = RunningStatistics()
    for value in values:
        statistics.add(value)
    return statistics


def held(statistics):
    """Bytes in the tensors a collector holds on to."""
    return sum(value.untyped_storage().nbytes() for value in vars(statistics).values() if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("count", [1, 2, 3, 30, 500])
def test_the_mean_and_the_population_variance_are_those_of_all_members(count):
    values = members(count)
    statistics = collected(values)
    assert statistics.count == count
    assert statistics.mean.dtype == statistics.variance.dtype == torch.float32
    torch.testing.assert_close(statistics.mean.double(), values.double().mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(statistics.variance.double(), values.double().var(0, unbiased=False), rtol=1e-4, atol=1e-7)


def test_one_member_has_no_variance():
    value = members(1)
    statistics = collected(value)
    assert torch.equal(statistics.mean, value[0])
    assert torch.equal(statistics.variance, torch.zeros(SHAPE))


def test_for_binary_members_the_variance_is_that_of_a_coin():
    statistics = collected((members(30) > 0.7).float())
    mean = statistics.mean
    torch.testing.assert_close(statistics.variance, mean * (1 - mean), rtol=0, atol=1e-6)


def test_a_small_variance_on_a_large_mean_is_not_lost_to_rounding():
    """mean of squares minus square of the mean is off by 1e-4 here, and negative in places."""
    values = 30.0 + 1e-3 * members(100)
    wanted = values.double().var(0, unbiased=False)
    variance = collected(values).variance
    torch.testing.assert_close(variance.double(), wanted, rtol=0.05, atol=0)
    assert (variance >= 0).all()


def test_memory_does_not_grow_with_the_number_of_members():
    few, many = collected(members(2)), collected(members(300))
    assert held(few) == held(many) == 2 * 4 * np.prod(SHAPE)


def test_no_member_is_kept_and_none_is_changed():
    statistics = RunningStatistics()
    for seed in range(3):
        value = members(1, seed)[0]
        before, alive = value.clone(), weakref.ref(value)
        statistics.add(value)
        assert torch.equal(value, before)
        value.zero_()
        del value
        gc.collect()
        assert alive() is None
    torch.testing.assert_close(statistics.mean, torch.stack([members(1, s)[0] for s in range(3)]).mean(0))


def test_what_is_read_out_can_be_changed_without_harm():
    statistics = collected(members(3))
    mean = statistics.mean
    statistics.mean.zero_()
    statistics.variance.zero_()
    assert torch.equal(statistics.mean, mean) and statistics.variance.max() > 0


def test_members_of_inference_mode_half_precision_and_numpy_are_taken():
    values = members(4)
    with torch.inference_mode():
        statistics = RunningStatistics()
        statistics.add(values[0] * 1.0)
    statistics.add(values[1].numpy())
    statistics.add(values[2].double())
    statistics.add(values[3].bfloat16())
    statistics.mean.clamp_(0, 1)
    values[3] = values[3].bfloat16().float()
    torch.testing.assert_close(statistics.mean, values.mean(0))


def test_a_member_of_another_shape_is_refused_and_leaves_no_trace():
    statistics = collected(members(2))
    mean, variance = statistics.mean, statistics.variance
    with pytest.raises(ValueError, match=r"\(3, 4, 5, 7\)"):
        statistics.add(torch.zeros(3, 4, 5, 7))
    with pytest.raises(ValueError, match=r"\(1, 4, 5, 6\)"):
        statistics.add(torch.zeros(1, 4, 5, 6))
    assert statistics.count == 2
    assert torch.equal(statistics.mean, mean) and torch.equal(statistics.variance, variance)


def test_there_is_no_mean_of_nothing():
    for name in ("mean", "variance"):
        with pytest.raises(ValueError, match="no members"):
            getattr(RunningStatistics(), name)
