"""The ensemble loop: the same members however they are batched, stopped, or short of memory."""

import gc
import json
import weakref

import pytest
import torch
from torch import nn

from LDMSegLib.diffusion.effort import Effort
from LDMSegLib.diffusion.ensemble import run_ensemble
from LDMSegLib.diffusion.memory import is_out_of_memory
from LDMSegLib.diffusion.noise import MemberNoise
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.diffusion.statistics import RunningStatistics
from LDMSegLib.errors import BundleError, InputError, LDMSegError
from LDMSegLib.events import Cancellation, Silent
from LDMSegLib.specification import Mode, Schedule

LATENT = (4, 6, 5, 4)
SCHEDULE = NoiseSchedule.from_specification(Schedule(1000, "scaled_linear", 0.0015, 0.0195, "v"))


class Network(nn.Module):
    """A small network of the kind that denoises: convolutions, a norm over the volume, a timestep."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv3d(4, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.last = nn.Conv3d(8, 4, 3, padding=1)

    def forward(self, x, t):
        assert t.dtype == torch.int64 and t.shape == x.shape[:1] and x.dtype == torch.float32
        hidden = self.norm(self.first(x)) + torch.sin(t / 100.0)[:, None, None, None, None]
        return self.last(torch.nn.functional.silu(hidden))


def decode(z):
    """Three channels at twice the size."""
    assert z.shape == (1, *LATENT) and z.dtype == torch.float32
    return torch.sigmoid(z[0, :3].repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3))


def sampler(name="ddpm", steps=4):
    return make_sampler(Mode(name, steps, 1), SCHEDULE)


class Listener(Silent):
    def __init__(self):
        self.heard, self.warnings = [], []

    def progress(self, fraction, **details):
        json.dumps(details, allow_nan=False)
        self.heard.append((fraction, details))

    def warning(self, message, **details):
        self.warnings.append((message, details))


def ensemble(members=5, batch_size=2, denoise=None, into=None, **options):
    """Run and return (run, {member index: probabilities})."""
    got = {} if into is None else into
    options = {"decode": decode, "sampler": sampler(), "latent_shape": LATENT, "seed": 11, "on_member": got.__setitem__} | options
    run = run_ensemble(denoise=denoise or Network(), members=members, batch_size=batch_size, **options)
    return run, got


def assert_same_members(got, wanted):
    assert list(got) == list(wanted)
    for member in wanted:
        torch.testing.assert_close(got[member], wanted[member], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["ddpm", "dpmpp_2m", "ddim"])
def test_members_are_the_same_whatever_the_batch_size(name):
    _, wanted = ensemble(7, 1, sampler=sampler(name))
    assert list(wanted) == list(range(7))
    assert len({m.mean().item() for m in wanted.values()}) == 7
    for batch_size in (2, 3, 7, 100):
        run, got = ensemble(7, batch_size, sampler=sampler(name))
        assert_same_members(got, wanted)
        assert (run.requested, run.finished, run.partial) == (7, 7, False)
        assert run.batch_size_used == min(batch_size, 7)


def test_a_member_alone_is_the_same_as_among_others():
    _, wanted = ensemble(7, 4)
    _, got = ensemble(1, 4, first_member=5)
    assert_same_members(got, {5: wanted[5]})


def test_the_noise_that_reaches_the_network_is_the_members_own_to_the_bit():
    starts = {}

    def denoise(x, t):
        starts.setdefault(len(starts), x.clone())
        return torch.zeros_like(x)

    ensemble(5, 5, denoise, sampler=sampler("ddim", 1), first_member=3)
    for position, member in enumerate(range(3, 8)):
        assert torch.equal(starts[0][position], MemberNoise(11, member).draw(LATENT))


def test_another_seed_gives_other_members():
    _, one = ensemble(2)
    _, other = ensemble(2, seed=12)
    assert all((one[m] - other[m]).abs().max() > 0.1 for m in one)


def test_a_bfloat16_network_leaves_the_latents_in_float32():
    network = Network().bfloat16()

    def denoise(x, t):
        hidden = network.norm(network.first(x.bfloat16()))
        assert hidden.dtype == torch.bfloat16
        return network.last(hidden)

    run, got = ensemble(2, 2, denoise)  # `decode` asserts float32
    assert run.finished == 2 and all(p.dtype == torch.float32 for p in got.values())


def test_networks_run_in_inference_mode_and_members_can_be_changed_by_whoever_takes_them():
    seen = []

    def denoise(x, t):
        seen.append(torch.is_inference_mode_enabled())
        return 0.1 * x

    def take(member, probabilities):
        assert not torch.is_inference_mode_enabled()
        probabilities.clamp_(0.2, 0.8)

    ensemble(2, 2, denoise, on_member=take)
    assert seen == [True] * 4
    with torch.inference_mode():
        _, got = ensemble(1)
    got[0].clamp_(0.2, 0.8)


def test_members_stream_into_statistics_and_none_is_kept():
    statistics, alive = RunningStatistics(), []

    def take(member, probabilities):
        gc.collect()
        assert all(other() is None for other in alive), "an earlier member is still held"
        alive.append(weakref.ref(probabilities))
        statistics.add(probabilities)

    ensemble(6, 4, on_member=take)
    gc.collect()
    assert all(other() is None for other in alive)
    _, members = ensemble(6, 4)
    stacked = torch.stack(list(members.values()))
    torch.testing.assert_close(statistics.mean, stacked.mean(0))
    torch.testing.assert_close(statistics.variance, stacked.var(0, unbiased=False))
    assert statistics.variance.mean() > 1e-3


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, torch.cuda.OutOfMemoryError])
def test_a_try_that_ran_out_of_memory_holds_nothing_when_the_next_one_begins(error):
    """By counting references alone: the garbage collector may be long in coming."""
    held, alive = [], []

    def denoise(x, t):
        held.append([tensor for tensor in alive if tensor() is not None])
        large = torch.zeros(100)
        alive.append(weakref.ref(large))
        if len(x) > 1:
            raise error("out of memory")
        return 0.1 * x

    gc.disable()
    try:
        run, got = ensemble(3, 3, denoise)
    finally:
        gc.enable()
    assert len(got) == 3 and not any(held)


def test_no_more_latents_are_alive_at_once_than_a_batch_holds():
    sizes = []

    def denoise(x, t):
        sizes.append(len(x))
        return 0.1 * x

    ensemble(7, 3, denoise, sampler=sampler("ddim", 1))
    assert sizes == [3, 3, 1]


# --- stopping


def test_a_cancelled_run_keeps_the_members_it_finished():
    _, wanted = ensemble(6, 2)
    cancellation, calls, network = Cancellation(), [], Network()

    def denoise(x, t):
        calls.append(t[0].item())
        if len(calls) == 4 + 2:  # the second step of the second batch
            cancellation.request()
        return network(x, t)

    run, got = ensemble(6, 2, denoise, cancellation=cancellation)
    assert_same_members(got, {0: wanted[0], 1: wanted[1]})
    assert (run.finished, run.requested, run.partial) == (2, 6, True)
    assert len(calls) == 6, "the flag is read between steps"


def test_a_cancellation_between_decodes_keeps_what_was_decoded():
    cancellation, decoded = Cancellation(), []

    def decode_and_cancel(z):
        decoded.append(z)
        if len(decoded) == 3:
            cancellation.request()
        return decode(z)

    run, got = ensemble(6, 6, decode=decode_and_cancel, cancellation=cancellation)
    assert list(got) == [0, 1, 2] and run.finished == 3 and run.partial and len(decoded) == 3


def test_a_run_cancelled_before_it_begins_asks_the_network_nothing():
    cancellation = Cancellation()
    cancellation.request()
    run, got = ensemble(3, 2, denoise=lambda x, t: pytest.fail("asked"), cancellation=cancellation)
    assert run.finished == 0 and run.partial and got == {}


def test_a_cancellation_after_the_last_member_is_too_late_to_matter():
    cancellation, got = Cancellation(), {}

    def take(member, probabilities):
        got[member] = probabilities
        if member == 2:
            cancellation.request()

    run, _ = ensemble(3, 2, on_member=take, cancellation=cancellation)
    assert run.finished == 3 and not run.partial


# --- memory

OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 5.04 GB, other allocations: 1.06 GB, max allowed: 6.80 GB)."),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: f"{type(e).__name__} {str(e)[:24]}")
def test_when_memory_runs_out_smaller_batches_give_the_same_members(error):
    _, wanted = ensemble(7, 1)
    network, sizes, listener = Network(), [], Listener()

    def denoise(x, t):
        sizes.append(len(x))
        if len(x) > 2 and t[0] < 600:  # some steps in, so that the work really is begun again
            raise error
        return network(x, t)

    run, got = ensemble(7, 6, denoise, reporter=listener)
    assert_same_members(got, wanted)
    assert run.finished == 7 and not run.partial and run.batch_size_used == 1
    assert sizes.count(6) == sizes.count(3) == 3 and sizes.count(2) == 0
    assert [details["batch_size"] for _, details in listener.warnings] == [3, 1]
    assert listener.warnings[0][0] == "memory ran out with 6 members at a time; going on with 3"


def test_memory_that_runs_out_in_a_decode_hands_no_member_over_twice():
    _, wanted = ensemble(6, 1)
    decodes, order = [], []

    def tight(z):
        decodes.append(z)
        if len(decodes) == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return decode(z)

    got = {}

    def take(member, probabilities):
        order.append(member)
        got[member] = probabilities

    run, _ = ensemble(6, 4, decode=tight, on_member=take)
    assert order == [0, 1, 2, 3, 4, 5]
    assert_same_members(got, wanted)
    assert run.batch_size_used == 2


def test_the_failed_attempt_is_let_go_before_the_next_one():
    """What ran out of memory must not stay in memory, held by the error's traceback, while it is tried again."""
    alive = []

    def denoise(x, t):
        if len(x) > 1:
            large = torch.zeros(1000)
            alive.append(weakref.ref(large))
            alive.append(weakref.ref(x))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        assert all(ref() is None for ref in alive)
        return 0.1 * x

    run, _ = ensemble(2, 2, denoise)
    assert run.finished == 2 and len(alive) == 2


def test_one_member_that_does_not_fit_is_said_in_one_sentence():
    def denoise(x, t):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(InputError) as error:
        ensemble(4, 4, denoise)
    message = str(error.value)
    assert isinstance(error.value, LDMSegError) and "\n" not in message
    assert "one member" in message and "CPU" in message and "smaller grid" in message
    assert error.value.__cause__ is None and error.value.__context__ is None, "the traceback would hold the memory"


def test_an_allocation_that_really_fails_is_recognised():
    with pytest.raises(RuntimeError) as error:
        torch.empty(10**15)
    assert is_out_of_memory(error.value)


@pytest.mark.parametrize("error", [RuntimeError("expected 4 channels, got 3"), ValueError("out of memory"), KeyError("out of memory")])
def test_other_errors_pass_unchanged_and_nothing_is_tried_again(error):
    calls = []

    def denoise(x, t):
        calls.append(len(x))
        raise error

    with pytest.raises(type(error)) as raised:
        ensemble(4, 4, denoise)
    assert raised.value is error and calls == [4]


def test_a_consumer_without_memory_is_not_mistaken_for_a_batch_too_large():
    taken = []

    def take(member, probabilities):
        taken.append(member)
        raise MemoryError("the consumer's own")

    with pytest.raises(MemoryError, match="the consumer's own"):
        ensemble(4, 4, on_member=take)
    assert taken == [0]


# --- progress


def test_progress_rises_to_one_and_says_member_and_step():
    listener = Listener()
    ensemble(5, 2, reporter=listener)
    fractions = [fraction for fraction, _ in listener.heard]
    assert fractions == sorted(fractions) and fractions[0] > 0 and fractions[-1] == 1.0
    assert fractions.count(1.0) == 1
    # 3 batches of 4 steps, and 5 members handed over
    assert len(listener.heard) == 3 * 4 + 5
    assert [(d["member"], d["step"]) for _, d in listener.heard[:7]] == [(1, 1), (1, 2), (1, 3), (1, 4), (1, 4), (2, 4), (3, 1)]
    assert all(d["members"] == 5 and d["steps"] == 4 for _, d in listener.heard)
    assert listener.heard[-1][1]["member"] == 5


def test_progress_never_runs_back_when_a_batch_is_begun_again():
    listener = Listener()

    def denoise(x, t):
        if len(x) > 2 and t[0] < 300:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return 0.1 * x

    ensemble(5, 4, denoise, reporter=listener)
    fractions = [fraction for fraction, _ in listener.heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_steps_and_decodes_weigh_what_they_cost():
    effort = Effort(members=4, steps=10)
    for _ in range(10):
        effort.stepped(2, 2.0)  # one second a step of one member
    for _ in range(2):
        effort.delivered(30.0)
    assert effort.fraction == pytest.approx(0.5)
    effort.stepped(2, 2.0)
    assert effort.fraction == pytest.approx(0.5 + 2 / 160)
    effort.lost()
    assert effort.fraction == pytest.approx(0.5 + 2 / 160), "never back"
    for _ in range(10):
        effort.stepped(2, 2.0)
    assert effort.fraction == pytest.approx((80 + 20) / 160)


# --- what cannot be


@pytest.mark.parametrize(
    ("options", "said"),
    [({"members": 0}, "number of members is 0"), ({"batch_size": 0}, "batch size is 0"), ({"seed": -3}, "seed is -3")],
)
def test_impossible_counts_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        ensemble(**options)


@pytest.mark.parametrize("where", ["denoise", "decode"])
def test_values_that_are_not_numbers_never_reach_the_mean(where):
    def broken_decode(z):
        probabilities = decode(z)
        probabilities[1, 2, 3, 4] = float("nan")
        return probabilities

    network, calls = Network(), []

    def overflowing(x, t):
        calls.append(t)
        output = network(x, t)
        output[1, 0, 0, 0, 0] = float("inf")  # the second of the batch
        return output

    def hiding_decode(z):
        return torch.nan_to_num(decode(z))

    got = {}
    with pytest.raises(BundleError, match="not numbers in member " + ("1" if where == "denoise" else "0")):
        if where == "denoise":
            ensemble(4, 4, overflowing, decode=hiding_decode, into=got)
        else:
            ensemble(4, 4, decode=broken_decode, into=got)
    assert list(got) == ([0] if where == "denoise" else [])
