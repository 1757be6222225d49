"""The noise of a member belongs to it alone."""

import numpy as np
import pytest
import torch

from LDMSegLib.diffusion.noise import BatchNoise, MemberNoise
from LDMSegLib.errors import InputError

SHAPE = (4, 5, 6, 7)


def fields(seed, member, count=3, shape=SHAPE):
    noise = MemberNoise(seed, member)
    return torch.stack([noise.draw(shape) for _ in range(count)])


def test_a_member_is_the_same_alone_and_in_any_batch():
    alone = {member: fields(7, member) for member in range(6)}
    for batch in ([0, 1, 2, 3, 4, 5], [3], [5, 2], [4, 0, 3]):
        together = BatchNoise(7, batch, SHAPE, "cpu")
        for step in range(3):
            drawn = together.draw()
            assert drawn.shape == (len(batch), *SHAPE) and drawn.dtype == torch.float32
            for position, member in enumerate(batch):
                assert torch.equal(drawn[position], alone[member][step])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_member_is_the_same_on_the_gpu():
    assert torch.equal(BatchNoise(7, [2, 3], SHAPE, "cuda").draw().cpu(), BatchNoise(7, [2, 3], SHAPE, "cpu").draw())


def test_the_state_of_other_generators_neither_matters_nor_changes():
    torch.manual_seed(0)
    np.random.seed(0)
    first = fields(1, 1)
    torch_next, numpy_next = torch.rand(1), np.random.rand()
    torch.manual_seed(0)
    np.random.seed(0)
    assert torch.equal(torch.rand(1), torch_next) and np.random.rand() == numpy_next
    assert torch.equal(fields(1, 1), first)


def test_no_two_seeds_or_members_share_their_noise():
    """Neighbours, swapped numbers, and numbers that agree in their lower 32 bits, which is all that torch keeps of a seed."""
    numbers = [0, 1, 2, 3, 2**32, 2**32 + 1, 2**40 + 3]
    drawn = torch.stack([fields(seed, member, 1).flatten() for seed in numbers for member in numbers])
    assert len(torch.unique(drawn[:, 0])) == len(numbers) ** 2
    correlation = torch.corrcoef(drawn) - torch.eye(len(drawn))
    # 1176 pairs of 840 values: 5 standard errors
    assert correlation.abs().max() < 5 / np.sqrt(drawn.shape[1])


def test_the_fields_of_a_member_are_unit_gaussian_and_do_not_repeat():
    drawn = fields(3, 2, 4, (1, 20, 50, 50)).flatten(1).double()
    count = drawn.numel()
    assert abs(drawn.mean().item()) < 4 / np.sqrt(count)
    assert abs(drawn.var().item() - 1) < 4 * np.sqrt(2 / count)
    assert abs((drawn**4).mean().item() - 3) < 4 * np.sqrt(96 / count)
    assert 3.9 < drawn.abs().max() < 6.5
    assert (torch.corrcoef(drawn) - torch.eye(4)).abs().max() < 5 / np.sqrt(drawn.shape[1])


def test_the_stream_is_the_one_it_has_always_been():
    """A result can be made again from its seed only while this holds: it may change with NumPy, and then must be noticed."""
    known = torch.tensor([-1.146195411682129, 0.6487904787063599, -1.0874418020248413, 0.20081663131713867])
    assert torch.equal(MemberNoise(20240229, 17).draw((4,)), known)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed is -1"):
        MemberNoise(-1, 0)
