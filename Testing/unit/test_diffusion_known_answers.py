"""The samplers on data whose distribution, and therefore whose perfect network, is known exactly.

A Gaussian has a linear denoiser, so that the mean and variance after any number of steps have closed forms. A mixture of
two modes asks what matters for an ensemble: are the modes' weights and the variance kept?
"""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.samplers.timesteps import trailing
from LDMSegLib.diffusion.schedule import CLEAN, NoiseSchedule
from LDMSegLib.specification import Mode, Schedule

CASES = [("epsilon", False), ("v", False), ("x0", False), ("v", True), ("x0", True)]
MEAN, SD = -1.5, 0.6  # the Gaussian
WEIGHTS, MODES, WIDTH = (0.2, 0.8), (1.0, -1.0), 0.05  # the mixture
MIXTURE_VARIANCE = 4.0 * WEIGHTS[0] * WEIGHTS[1] + WIDTH**2


def build(prediction, zero_snr):
    return NoiseSchedule.from_specification(Schedule(1000, "scaled_linear", 0.0015, 0.0195, prediction, zero_snr))


def gaussian(x, alpha, sigma):
    """E[x_0 | x_t] for data N(MEAN, SD^2)."""
    return MEAN + alpha * SD**2 / (alpha**2 * SD**2 + sigma**2) * (x - alpha * MEAN)


def mixture(x, alpha, sigma):
    """E[x_0 | x_t] for the two modes."""
    spread = alpha**2 * WIDTH**2 + sigma**2
    away = [x - alpha * mode for mode in MODES]
    share = torch.softmax(torch.stack([math.log(w) - a**2 / (2 * spread) for w, a in zip(WEIGHTS, away, strict=True)]), dim=0)
    return sum(s * (mode + alpha * WIDTH**2 / spread * a) for s, mode, a in zip(share, MODES, away, strict=True))


def run(schedule, sampler, posterior_mean, start, until=CLEAN):
    """Run a sampler with the perfect network from noise `start`, to the data or to where it arrives at timestep `until`."""
    generator = torch.Generator().manual_seed(1)  # not the seed of the start
    x, memory = start.reshape(1, 1, -1, 1, 1), None
    for index, t in enumerate(sampler.timesteps):
        if t == until:
            break
        alpha, sigma = schedule.level(t)
        x0 = posterior_mean(x, alpha, sigma)
        output = schedule.target(x0, (x - alpha * x0) / sigma, t)
        noise = torch.randn(x.shape, generator=generator) if sampler.needs_noise(index) else None
        x, memory = sampler.step(output, x, index, memory, noise)
    return x.flatten()


def sample(schedule, name, steps, posterior_mean, start, until=CLEAN):
    return run(schedule, make_sampler(Mode(name, steps, 1), schedule), posterior_mean, start, until)


def normal(count):
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def quantiles(count):
    """A Gaussian sample without sampling error."""
    return torch.tensor([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])


def levels(schedule, steps):
    """(alpha, sigma) in double precision at each timestep and at the clean end."""
    return [schedule.level(t) for t in (*trailing(schedule.steps, steps), CLEAN)]


def ancestral_moments(schedule, steps):
    """Mean and variance of x_0 after ancestral sampling of the Gaussian from N(0, 1), from the posterior written by precisions.

    q(x_s | x_t, x_0) is the product of N(alpha_s x_0, sigma_s^2) and the likelihood of x_t = r x_s + N(0, b); both moments
    then go through the linear denoiser.
    """
    mean, variance = 0.0, 1.0
    for (alpha, sigma), (alpha_s, sigma_s) in zip(levels(schedule, steps), levels(schedule, steps)[1:], strict=False):
        gain = alpha * SD**2 / (alpha**2 * SD**2 + sigma**2)
        if sigma_s == 0.0:
            slope, offset, added = gain, MEAN - gain * alpha * MEAN, 0.0
        else:
            r = alpha / alpha_s
            b = 1.0 - r**2
            precision = 1.0 / sigma_s**2 + r**2 / b
            added = 1.0 / precision
            from_data = alpha_s / sigma_s**2 / precision
            slope = from_data * gain + r / b / precision
            offset = from_data * (MEAN - gain * alpha * MEAN)
        mean, variance = slope * mean + offset, slope**2 * variance + added
    return mean, variance


def ddim_slope(schedule, steps):
    """d x_0 / d x_T of the deterministic sampler on the Gaussian, in closed form."""
    slope = 1.0
    for (a, s), (b, u) in zip(levels(schedule, steps), levels(schedule, steps)[1:], strict=False):
        slope *= (b * a * SD**2 + u * s) / (a**2 * SD**2 + s**2)
    return slope


def multistep_slope(schedule, steps):
    """The same for DPM-Solver++(2M), with e^-h and r as Lu et al. write them (algorithm 2)."""
    path = levels(schedule, steps)
    u, data, before = 1.0, [], []
    for index, ((a, s), (b, v)) in enumerate(itertools.pairwise(path)):
        data.append(a * SD**2 / (a**2 * SD**2 + s**2) * u)
        if v == 0.0:
            return data[-1]
        h = math.log(b / v) - math.log(a / s)
        r = before[-1] / h if index else math.inf
        d = (1.0 + 1.0 / (2.0 * r)) * data[-1] - (1.0 / (2.0 * r) * data[-2] if index else 0.0)
        u = v / s * u - b * math.expm1(-h) * d
        before.append(h)
    raise AssertionError("the path does not end in clean data")


@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_the_thousand_steps_give_the_mean_and_variance_of_the_data(prediction, zero_snr):
    schedule, count = build(prediction, zero_snr), 20_000
    x = sample(schedule, "ddpm", 1000, gaussian, normal(count))
    mean, variance = ancestral_moments(schedule, 1000)
    # the sampler's own moments, within 4 standard errors
    assert abs(x.mean().item() - mean) < 4 * SD / math.sqrt(count)
    assert abs(x.var(unbiased=False).item() - variance) < 4 * variance * math.sqrt(2 / count)
    # and those of the data: the small variance and the last step's missing noise cost 2.3 % here
    assert mean == pytest.approx(MEAN, abs=0.01)
    assert variance == pytest.approx(SD**2, rel=0.025)


@pytest.mark.parametrize("steps", [1, 2, 10, 50, 7])
@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_fewer_ancestral_steps_give_the_moments_of_the_respaced_chain(prediction, zero_snr, steps):
    schedule, count = build(prediction, zero_snr), 50_000
    x = sample(schedule, "ddpm", steps, gaussian, normal(count))
    mean, variance = ancestral_moments(schedule, steps)
    assert abs(x.mean().item() - mean) < 4 * math.sqrt(variance / count) + 1e-5
    assert abs(x.var(unbiased=False).item() - variance) < 4 * variance * math.sqrt(2 / count) + 1e-6


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 8, 20, 100])
@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_deterministic_steps_give_their_closed_form_mean_and_variance(prediction, zero_snr, steps):
    schedule = build(prediction, zero_snr)
    start = torch.tensor([0.0, 1.0, -3.0])
    end = schedule.level(999)[0] * MEAN
    slopes = {"ddim": ddim_slope(schedule, steps)}
    if not zero_snr:
        slopes["dpmpp_2m"] = multistep_slope(schedule, steps)
    for name, slope in slopes.items():
        x = sample(schedule, name, steps, gaussian, start)
        wanted = MEAN + slope * (start - end)  # so for noise N(0, 1) the variance is slope^2
        torch.testing.assert_close(x, wanted, rtol=0, atol=5e-5, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("zero_snr", [False, True])
def test_the_multistep_solver_is_of_second_order_and_ddim_of_first(zero_snr):
    """Against the exact trajectory of a Gaussian, x - alpha MEAN in proportion to its standard deviation, as far as t = 199."""
    schedule = build("v", zero_snr)
    start = torch.tensor([2.0])

    def error(name, steps):
        (a, s), (b, v) = schedule.level(999), schedule.level(199)
        exact = b * MEAN + (2.0 - a * MEAN) * math.sqrt((b**2 * SD**2 + v**2) / (a**2 * SD**2 + s**2))
        return abs(sample(schedule, name, steps, gaussian, start, until=199).item() - exact)

    for name, order in (("ddim", 1), ("dpmpp_2m", 2)):
        errors = [error(name, steps) for steps in (10, 20, 40)]
        found = np.log2(np.array(errors[:-1]) / errors[1:])
        assert np.all(np.abs(found - order) < 0.35), (name, errors)


@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_the_thousand_steps_keep_the_weights_of_two_modes_and_the_variance(prediction, zero_snr):
    schedule, count = build(prediction, zero_snr), 20_000
    x = sample(schedule, "ddpm", 1000, mixture, normal(count))
    error = math.sqrt(WEIGHTS[0] * WEIGHTS[1] / count)
    assert abs((x > 0).double().mean().item() - WEIGHTS[0]) < 4 * error
    # d variance / d weight = 4 (1 - 2 weight); the width itself is at most 0.0025
    assert abs(x.var(unbiased=False).item() - MIXTURE_VARIANCE) < 4 * 4 * (1 - 2 * WEIGHTS[0]) * error + 0.0015
    for mode in MODES:
        of_mode = x[(x - mode).abs() < 0.5]
        assert of_mode.mean().item() == pytest.approx(mode, abs=0.01)
    assert ((x.abs() - 1.0).abs() < 0.3).double().mean().item() > 0.999, "nothing is left between the modes"


@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_twenty_multistep_steps_keep_the_weights_of_two_modes_and_the_variance(prediction, zero_snr):
    """Without sampling error: in one dimension a trajectory keeps its quantile, so the weight of a mode is exactly known."""
    schedule = build(prediction, zero_snr)
    alpha, sigma = schedule.level(999)
    parts = [NormalDist(alpha * mode, math.hypot(alpha * WIDTH, sigma)) for mode in MODES]
    low, high = -5.0, 5.0
    for _ in range(60):  # the noise level's own WEIGHTS[1] quantile, where trajectories to the two modes part
        middle = (low + high) / 2
        below = sum(w * part.cdf(middle) for w, part in zip(WEIGHTS, parts, strict=True))
        low, high = (middle, high) if below < WEIGHTS[1] else (low, middle)
    weight = 1.0 - NormalDist().cdf(low)
    assert weight == pytest.approx(WEIGHTS[0], abs=0.02 if not zero_snr else 1e-9)

    x = sample(schedule, "dpmpp_2m", 20, mixture, quantiles(20_000))
    variance = 4.0 * weight * (1.0 - weight) + WIDTH**2
    assert (x > 0).double().mean().item() == pytest.approx(weight, abs=0.005)
    assert x.var(unbiased=False).item() == pytest.approx(variance, rel=0.03)


def test_fewer_multistep_steps_lose_variance_and_one_loses_all():
    schedule = build("v", False)
    kept = {steps: sample(schedule, "dpmpp_2m", steps, mixture, quantiles(4000)).var().item() / MIXTURE_VARIANCE for steps in (1, 8, 20)}
    assert kept[1] < 0.01
    assert 0.75 < kept[8] < 0.9
    assert kept[20] > 0.96


@pytest.mark.parametrize("timesteps", [(999,), (999, 499), (999, 749, 499, 249)])
@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_a_distilled_network_keeps_the_distribution_in_one_two_and_four_steps(prediction, zero_snr, timesteps):
    """With a perfect student: it finds the x_0 of each pair (end of the exact trajectory, noise), which here is linear."""
    schedule = build(prediction, zero_snr)
    alpha_T, sigma_T = schedule.level(999)
    stretch = math.sqrt(alpha_T**2 * SD**2 + sigma_T**2) / SD  # d x_T / d x_0 on the trajectories
    noise_per_data = (stretch - alpha_T) / sigma_T

    def student(x, alpha, sigma):
        return (x + sigma * noise_per_data * MEAN) / (alpha + sigma * noise_per_data)

    start = quantiles(4000)
    sampler = make_sampler(Mode("distilled", len(timesteps), 1, timesteps=timesteps), schedule)
    x = run(schedule, sampler, student, start)
    torch.testing.assert_close(x, MEAN + (start - alpha_T * MEAN) / stretch, rtol=0, atol=1e-4)
    assert x.mean().item() == pytest.approx(MEAN, abs=0.07 if not zero_snr else 1e-4)
    assert x.var().item() == pytest.approx(SD**2, rel=0.01)
