"""The forward process and the conversions between what a network may predict."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from LDMSegLib.diffusion.schedule import CLEAN, NoiseSchedule
from LDMSegLib.errors import BundleError
from LDMSegLib.specification import Schedule

PAPER = Schedule(steps=1000, kind="scaled_linear", beta_start=0.0015, beta_end=0.0195, prediction="epsilon")
KINDS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}


def build(**changes):
    return NoiseSchedule.from_specification(replace(PAPER, **changes))


def oracle(kind="scaled_linear", **options):
    return DDPMScheduler(1000, PAPER.beta_start, PAPER.beta_end, KINDS[kind], clip_sample=False, **options)


def latents(seed=0, n=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, 4, 3, 2, 5)
    return torch.randn(shape, generator=generator).to(dtype) * 3.0, torch.randn(shape, generator=generator).to(dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_snr", [False, True])
def test_every_kind_of_schedule_is_the_one_diffusers_builds(kind, zero_snr):
    ours = build(kind=kind, prediction="v", zero_terminal_snr=zero_snr)
    theirs = oracle(kind, rescale_betas_zero_snr=zero_snr).alphas_cumprod.double()
    # theirs is a float32 product over 1000 factors
    np.testing.assert_allclose(ours.alpha_bar, theirs, rtol=1e-4, atol=1e-7)


def test_the_paper_schedule_is_exact_in_double_precision():
    """Against rational arithmetic: the float64 product of 1000 factors has lost nothing that matters."""
    product, exact = Fraction(1), []
    start, end = math.sqrt(0.0015), math.sqrt(0.0195)
    for i in range(1000):
        product *= 1 - Fraction((start + (end - start) * i / 999) ** 2)
        product = product.limit_denominator(10**40)
        exact.append(float(product))
    np.testing.assert_allclose(build().alpha_bar, exact, rtol=1e-12)


def test_the_tables_are_float32_and_keep_signal_and_noise_at_unit_variance():
    schedule = build()
    assert schedule.alpha.dtype == schedule.sigma.dtype == torch.float32
    assert schedule.alpha.shape == schedule.sigma.shape == (1000,)
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(1000), rtol=0, atol=3e-7)
    # 1 - alpha_bar is formed in double precision: the first sigma is sqrt(beta_start) to the last bit
    assert schedule.sigma[0] == torch.tensor(math.sqrt(0.0015), dtype=torch.float64).float()


def test_the_cosine_schedule_follows_its_closed_form_until_beta_is_capped():
    schedule = build(kind="cosine")
    t = np.arange(1, 1001) / 1000
    closed = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    alpha_bar = np.array(schedule.alpha_bar)
    np.testing.assert_allclose(alpha_bar[:-1], closed[:-1], rtol=1e-9)
    assert alpha_bar[-1] == pytest.approx(alpha_bar[-2] * 0.001), "the last beta is capped at 0.999"
    assert 0 < alpha_bar[-1] < 1e-8
    assert np.all(np.diff(alpha_bar) < 0)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_terminal_snr_ends_in_pure_noise_and_begins_as_before(kind):
    plain, rescaled = build(kind=kind, prediction="v"), build(kind=kind, prediction="v", zero_terminal_snr=True)
    assert rescaled.alpha_bar[-1] == 0.0
    assert rescaled.alpha[-1] == 0.0 and rescaled.sigma[-1] == 1.0
    assert rescaled.alpha_bar[0] == pytest.approx(plain.alpha_bar[0], rel=1e-14)
    assert np.all(np.diff(rescaled.alpha_bar) < 0)
    x0, noise = latents()
    assert torch.equal(rescaled.add_noise(x0, noise, 999), noise)


@pytest.mark.parametrize("prediction", ["v", "x0"])
def test_at_zero_terminal_snr_the_clean_data_comes_back_exactly(prediction):
    schedule = build(prediction=prediction, zero_terminal_snr=True)
    x0, noise = latents()
    t = torch.full((3,), 999)
    x_t, output = schedule.add_noise(x0, noise, t), schedule.target(x0, noise, t)
    assert torch.equal(schedule.to_x0(output, x_t, t), x0)
    assert torch.equal(schedule.to_epsilon(output, x_t, t), noise)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_gives_back_the_data_and_the_noise_at_every_timestep(prediction):
    schedule = build(prediction=prediction)
    x0, noise = latents(n=1)
    t = torch.arange(1000)
    x0, noise = x0.expand(1000, -1, -1, -1, -1), noise.expand(1000, -1, -1, -1, -1)
    x_t, output = schedule.add_noise(x0, noise, t), schedule.target(x0, noise, t)
    # dividing by alpha or sigma (down to 0.065 and 0.039) magnifies the rounding of x_t, about 1e-6, by as much
    torch.testing.assert_close(schedule.to_x0(output, x_t, t), x0, rtol=0, atol=3e-5)
    torch.testing.assert_close(schedule.to_epsilon(output, x_t, t), noise, rtol=0, atol=3e-5)


def test_noising_and_the_v_target_agree_with_diffusers():
    schedule, theirs = build(prediction="v"), oracle()
    x0, noise = latents(n=4)
    t = torch.tensor([0, 137, 500, 999])
    torch.testing.assert_close(schedule.add_noise(x0, noise, t), theirs.add_noise(x0, noise, t), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(schedule.target(x0, noise, t), theirs.get_velocity(x0, noise, t), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_timestep_for_all_is_the_same_as_that_timestep_for_each(prediction):
    schedule = build(prediction=prediction)
    x0, noise = latents()
    for t in (0, 420, 999):
        each = torch.full((3,), t)
        torch.testing.assert_close(schedule.add_noise(x0, noise, t), schedule.add_noise(x0, noise, each), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(schedule.to_x0(noise, x0, t), schedule.to_x0(noise, x0, each), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(schedule.to_epsilon(noise, x0, t), schedule.to_epsilon(noise, x0, each), rtol=1e-6, atol=1e-6)


def test_each_sample_of_a_batch_has_its_own_timestep():
    schedule = build(prediction="v")
    x0, noise = latents()
    t = torch.tensor([3, 500, 998])
    together = schedule.target(x0, noise, t)
    for i in range(3):
        assert torch.equal(together[i : i + 1], schedule.target(x0[i : i + 1], noise[i : i + 1], t[i : i + 1]))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("t", [torch.tensor([10, 400, 990]), 400], ids=["each", "all"])
def test_a_half_precision_network_does_not_degrade_the_schedule(prediction, dtype, t):
    """Regression: one add_noise with bfloat16 latents turns the tables of MONAI 1.6.1's schedulers to bfloat16 for good."""
    schedule = build(prediction=prediction)
    before = schedule.alpha.clone(), schedule.sigma.clone()
    x0, noise = latents(dtype=dtype)
    for got, wanted in (
        (schedule.add_noise(x0, noise, t), schedule.add_noise(x0.float(), noise.float(), t)),
        (schedule.target(x0, noise, t), schedule.target(x0.float(), noise.float(), t)),
        (schedule.to_x0(noise, x0, t), schedule.to_x0(noise.float(), x0.float(), t)),
        (schedule.to_epsilon(noise, x0, t), schedule.to_epsilon(noise.float(), x0.float(), t)),
    ):
        assert got.dtype == torch.float32
        assert torch.equal(got, wanted)
    assert schedule.alpha.dtype == torch.float32
    assert torch.equal(schedule.alpha, before[0]) and torch.equal(schedule.sigma, before[1])


def test_autocast_does_not_narrow_the_arithmetic():
    schedule = build(prediction="v")
    x0, noise = latents()
    t = torch.tensor([10, 400, 990])
    wanted = schedule.add_noise(x0, noise, t), schedule.to_x0(noise, x0, t)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = schedule.add_noise(x0, noise, t), schedule.to_x0(noise, x0, t)
    assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_a_schedule_first_used_for_inference_still_trains():
    schedule = build(prediction="v")
    x0, noise = latents()
    t = torch.tensor([10, 400, 990])
    with torch.inference_mode():
        schedule.to_x0(noise, x0, t)
    assert not schedule.alpha.is_inference() and not schedule.sigma.is_inference()
    output = noise.clone().requires_grad_()
    schedule.to_x0(output, schedule.add_noise(x0, noise, t), t).sum().backward()
    torch.testing.assert_close(output.grad, -schedule.sigma[t].reshape(3, 1, 1, 1, 1).expand_as(noise))


def test_the_data_itself_is_the_level_before_the_first_timestep():
    assert build().level(CLEAN) == (1.0, 0.0)
    for outside in (-2, 1000):
        with pytest.raises(ValueError, match="outside 0 ... 999"):
            build().level(outside)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "sigmoid"}, "kind sigmoid"),
        ({"prediction": "score"}, "prediction score"),
        ({"prediction": "epsilon", "zero_terminal_snr": True}, "v or x0"),
        ({"beta_start": 0.0}, "beta_start"),
        ({"beta_start": 0.02, "beta_end": 0.01}, "beta_start"),
        ({"beta_end": 1.0}, "beta_end"),
        ({"steps": 1}, "steps 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_in_one_sentence(changes, said):
    with pytest.raises(BundleError, match=said) as error:
        build(**changes)
    assert "\n" not in str(error.value) and "expected" in str(error.value) and "use a bundle" in str(error.value)


def test_two_schedules_of_one_description_are_equal():
    assert build() == build() and hash(build()) == hash(build())
    assert build() != build(prediction="v")
