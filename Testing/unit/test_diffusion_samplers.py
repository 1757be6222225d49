"""The samplers against diffusers' schedulers on 5-D latents, and what a mode may ask for."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from LDMSegLib.diffusion.samplers import SAMPLERS, make_sampler
from LDMSegLib.diffusion.samplers.timesteps import trailing
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import BundleError
from LDMSegLib.specification import Mode, Schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers on NumPy 2

PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}
KINDS = {"scaled_linear": "scaled_linear", "linear": "linear", "cosine": "squaredcos_cap_v2"}
SHAPE = (2, 4, 3, 4, 5)
CASES = [(p, z) for p in PREDICTIONS for z in (False, True) if not (p == "epsilon" and z)]


def network(x, t):
    """Stands for a network: neither linear nor near a perfect answer, so that every coefficient shows."""
    return torch.tanh(0.7 * x) + 0.3 * torch.sin(2.0 * x + t / 300.0)


def build(prediction="epsilon", zero_snr=False, kind="scaled_linear"):
    return NoiseSchedule.from_specification(Schedule(1000, kind, 0.0015, 0.0195, prediction, zero_snr))


def mode(sampler, steps, timesteps=()):
    return Mode(sampler=sampler, steps=steps, members=1, timesteps=timesteps)


def sample(sampler, ask=network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, memory = torch.randn(SHAPE, generator=generator), None
    for index, t in enumerate(sampler.timesteps):
        output = ask(x, t)
        noise = torch.randn(SHAPE, generator=generator) if sampler.needs_noise(index) else None
        x, memory = sampler.step(output, x, index, memory, noise)
    return x


def oracle(name, schedule, kind, zero_snr):
    options = {
        "num_train_timesteps": 1000,
        "beta_start": 0.0015,
        "beta_end": 0.0195,
        "beta_schedule": KINDS[kind],
        "prediction_type": PREDICTIONS[schedule.prediction],
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": zero_snr,
    }
    if name == "ddpm":
        theirs = DDPMScheduler(variance_type="fixed_small", clip_sample=False, **options)
    elif name == "ddim":
        theirs = DDIMScheduler(clip_sample=False, **options)
    else:
        theirs = DPMSolverMultistepScheduler(
            algorithm_type="dpmsolver++", solver_order=2, lower_order_final=True, final_sigmas_type="zero", **options
        )
    return theirs


def sample_oracle(theirs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPE, generator=generator)
    more = {} if isinstance(theirs, DPMSolverMultistepScheduler) else {"generator": generator}
    for t in theirs.timesteps:
        x = theirs.step(network(x, int(t)), t, x, **more).prev_sample
    return x


def assert_as_close(ours, theirs, tolerance):
    assert ours.dtype == torch.float32 and torch.isfinite(ours).all()
    assert ((ours - theirs).abs().max() / theirs.abs().max()).item() < tolerance


# diffusers' multistep solver only approaches zero terminal SNR: compared by its limit further down
AGREEMENTS = [(name, *case) for name in ("ddpm", "ddim", "dpmpp_2m") for case in CASES if name != "dpmpp_2m" or not case[1]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 2, 8, 20, 50])
@pytest.mark.parametrize(("name", "prediction", "zero_snr"), AGREEMENTS)
def test_a_sampler_agrees_with_diffusers(name, steps, prediction, zero_snr, kind):
    schedule = build(prediction, zero_snr, kind)
    theirs = oracle(name, schedule, kind, zero_snr)
    theirs.set_timesteps(steps)
    ours = make_sampler(mode(name, steps), schedule)
    assert ours.timesteps == tuple(theirs.timesteps.tolist())
    # float32 rounding, and diffusers' float32 tables: at the cosine schedule's end alpha_bar is 2e-9 of their product
    assert_as_close(sample(ours), sample_oracle(theirs), 5e-5 if kind == "cosine" else 1e-5)


@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_all_thousand_steps_of_the_paper_agree_with_diffusers(prediction, zero_snr):
    schedule = build(prediction, zero_snr)
    theirs = oracle("ddpm", schedule, "scaled_linear", zero_snr)
    # their formula with our double-precision table: 1 - alpha_bar of a float32 table alone makes 1e-4 over 1000 steps
    theirs.alphas_cumprod = torch.tensor(schedule.alpha_bar, dtype=torch.float64)
    ours = make_sampler(mode("ddpm", 1000), schedule)
    assert ours.timesteps == tuple(range(999, -1, -1)) == tuple(theirs.timesteps.tolist())
    assert_as_close(sample(ours), sample_oracle(theirs), 1e-5)


@pytest.mark.parametrize("prediction", ["v", "x0"])
@pytest.mark.parametrize("steps", [2, 8, 20])
def test_multistep_at_zero_terminal_snr_is_the_limit_of_what_diffusers_clamps(prediction, steps):
    schedule = build(prediction, zero_snr=True)
    ours = sample(make_sampler(mode("dpmpp_2m", steps), schedule))
    away = []
    for clamp in (2.0**-24, 1e-36):
        theirs = oracle("dpmpp_2m", schedule, "scaled_linear", zero_snr=True)
        theirs.alphas_cumprod[-1] = clamp
        theirs.set_timesteps(steps)
        reference = sample_oracle(theirs)
        away.append(((ours - reference).abs().max() / reference.abs().max()).item())
    # the remainder goes as 1 / lambda_T: 8.3 against 41.4
    assert away[0] < 0.01
    assert away[1] < 0.25 * away[0]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precision_output_is_widened_before_any_arithmetic(name, dtype):
    sampler = make_sampler(mode(name, 4, (999, 749, 499, 249)), build("v"))
    narrow = sample(sampler, lambda x, t: network(x, t).to(dtype))
    widened = sample(sampler, lambda x, t: network(x, t).to(dtype).float())
    assert narrow.dtype == torch.float32
    assert torch.equal(narrow, widened)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(("prediction", "zero_snr"), CASES)
def test_a_network_that_knows_the_data_leads_every_sampler_to_it(name, prediction, zero_snr):
    schedule = build(prediction, zero_snr)
    truth = torch.linspace(-28.0, 3.0, 480).reshape(SHAPE)  # heavy tails: a clipping sampler cannot get there

    def knows(x, t):
        alpha, sigma = schedule.level(t)
        return schedule.target(truth, (x - alpha * truth) / sigma, t)

    sampler = make_sampler(mode(name, 4, (999, 749, 499, 249)), schedule)
    torch.testing.assert_close(sample(sampler, knows), truth, rtol=0, atol=2e-3 if prediction == "epsilon" else 2e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_distilled_network_moves_between_its_own_timesteps_with_the_noise_it_found(prediction):
    schedule = build(prediction)
    sampler = make_sampler(mode("distilled", 2, (999, 499)), schedule)
    assert sampler.timesteps == (999, 499)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    output = network(x, 999)
    moved = sampler.step(output, x, 0).x
    x0, noise = schedule.to_x0(output, x, 999), schedule.to_epsilon(output, x, 999)
    torch.testing.assert_close(moved, schedule.add_noise(x0, noise, 499))
    # one more call, and the answer is what the network says the data is
    output = network(moved, 499)
    assert torch.equal(sampler.step(output, moved, 1).x, schedule.to_x0(output, moved, 499))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_distilled_step_is_the_network_alone(prediction):
    schedule = build(prediction)
    sampler = make_sampler(mode("distilled", 1, (999,)), schedule)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sample(sampler), schedule.to_x0(network(x, 999), x, 999))


def test_a_batch_started_again_comes_out_the_same_because_samplers_hold_no_state():
    for name in SAMPLERS:
        sampler = make_sampler(mode(name, 4, (999, 749, 499, 249)), build())
        first = sample(sampler)
        sampler.step(network(first, 999), first, 0, noise=torch.zeros(SHAPE))  # a run that is given up after one step
        assert torch.equal(sample(sampler), first), name


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_step_leaves_its_arguments_alone(name):
    sampler = make_sampler(mode(name, 4, (999, 749, 499, 249)), build())
    given = [torch.randn(SHAPE, generator=torch.Generator().manual_seed(i)) for i in range(4)]
    output, x, memory, noise = (g.clone() for g in given)
    sampler.step(output, x, 1, memory, noise)
    assert all(torch.equal(a, b) for a, b in zip(given, (output, x, memory, noise), strict=True))


def test_only_ancestral_sampling_draws_noise_and_never_at_its_last_step():
    for name in SAMPLERS:
        sampler = make_sampler(mode(name, 4, (999, 749, 499, 249)), build())
        assert [sampler.needs_noise(i) for i in range(4)] == [name == "ddpm"] * 3 + [False]


@pytest.mark.parametrize(("name", "missing"), [("ddpm", "noise"), ("dpmpp_2m", "memory")])
def test_a_step_without_what_it_needs_fails_rather_than_guessing(name, missing):
    sampler = make_sampler(mode(name, 4), build())
    x = torch.zeros(SHAPE)
    with pytest.raises(ValueError, match=missing):
        sampler.step(x, x, 1)


def test_trailing_timesteps_begin_at_the_last_trained_one_for_every_number_of_steps():
    for steps in range(1, 1001):
        timesteps = np.array(trailing(1000, steps))
        assert len(timesteps) == steps and timesteps[0] == 999 and timesteps[-1] >= 0
        if steps > 1:
            gaps = -np.diff(timesteps)
            assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1, steps
    assert trailing(1000, 8) == (999, 874, 749, 624, 499, 374, 249, 124)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (mode("euler", 10), "'euler'"),
        (mode("ddpm", 0), "0 steps"),
        (mode("ddpm", 1001), "1001 steps"),
        (mode("distilled", 4), "does not say"),
        (mode("distilled", 4, (999, 499)), "4 steps but fixes 2"),
        (mode("distilled", 2, (499, 999)), r"\(499, 999\)"),
        (mode("distilled", 2, (999, 999)), r"\(999, 999\)"),
        (mode("distilled", 2, (1000, 499)), r"\(1000, 499\)"),
        (mode("distilled", 2, (999, -1)), r"\(999, -1\)"),
    ],
)
def test_a_mode_that_cannot_be_sampled_is_refused_in_one_sentence(asked, said):
    with pytest.raises(BundleError, match=said) as error:
        make_sampler(asked, build())
    assert "\n" not in str(error.value)


def test_a_mode_may_fix_the_timesteps_of_any_sampler():
    assert make_sampler(mode("dpmpp_2m", 3, (999, 600, 100)), build()).timesteps == (999, 600, 100)
