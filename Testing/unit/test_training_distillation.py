"""Distillation: the student is taught where trajectories end, keeps the distribution, and ends up in the bundle."""

import math
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from tiny_bundle import LABELS, REGIONS, SEQUENCES, save_small_case, tiny_configurations, tiny_specification
from torch import nn
from torch.nn import functional as F

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.diffusion.noise import MemberNoise
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.inference.segment import segment
from LDMSegLib.models.bundle import verify
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.models.networks import build
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.specification import Latent, Mode, Schedule
from Training.assemble import assemble
from Training.checkpoints import trained_steps, trained_weights
from Training.configuration import Configuration, Phase, read_configuration
from Training.controlnet import Steering
from Training.distillation import DistillationTask, distil, distillation_loss
from Training.engine import Options, train
from Training.sampling import sample_latents
from Training.trajectories import FOLDER, Teacher, Trajectories, make_trajectories, wait_for_trajectories

SHAPE = (16, 16, 8)
PHASE = Phase(
    batch_size=2, learning_rate=1e-3, steps=3, ema=0.5, draws=2, trajectories=4, teacher_steps=3, timesteps=(999, 499), precision="32-true"
)
CPU = torch.device("cpu")


def configuration(**changes) -> Configuration:
    spec = tiny_specification()
    values = dict(
        name="tiny",
        title="Tiny",
        sequences=SEQUENCES,
        reference="t1c",
        labels=LABELS,
        regions=REGIONS,
        grid=replace(spec.grid, shape=SHAPE),
        intensity=spec.intensity,
        latent={"channels": 2, "downsampling": 2},
        schedule=spec.schedule,
        modes={"solver": {"sampler": "dpmpp_2m", "steps": 3, "members": 2}},
        default_mode="solver",
        networks=tiny_configurations(spec),
        validation=(),
        excluded=(),
        phases={"distillation": replace(PHASE, **changes)},
    )
    return Configuration(**values)


def options(run, **changes) -> Options:
    return Options(**{"run": run, "accelerator": "cpu", "devices": "1", "workers": 0} | changes)


@pytest.fixture
def run(tmp_path):
    """A run folder as the phases before leave it, with random weights away from zero."""
    torch.manual_seed(3)
    c, folder = configuration(), tmp_path / "run"
    latent = Latent(2, 2, 0.7, (0.1, -0.2))
    extras = {"autoencoder": {}, "diffusion": {"latent": asdict(latent)}, "controlnet": {}}
    networks = {
        "autoencoder": build(c.networks["autoencoder"]),
        "diffusion": build(c.networks["unet"]),
        "controlnet": Steering(c, folder, torch.device("cpu"), latent),
    }
    for phase, network in networks.items():
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.15)
        (folder / phase).mkdir(parents=True)
        state = {"step": 5, "steps": 5, "model": network.state_dict(), "averaged": None, "optimiser": None, "extras": extras[phase]}
        torch.save(state, folder / phase / "checkpoint.pt")
    rng = np.random.default_rng(0)
    for kind, count in (("training", 3), ("validation", 1)):
        (folder / "data" / kind).mkdir(parents=True)
        for i in range(count):
            regions = np.zeros((3, *SHAPE), np.uint8)
            regions[:, 4:10, 4:10, 2:6] = 255
            image = rng.normal(size=(4, *SHAPE)).astype(np.float16)
            np.savez(folder / "data" / kind / f"case{i}.npz", image=image, regions=regions, affine=np.eye(4))
    return folder


class Tiny(nn.Module):
    """A network of 1×1×1 convolutions for latents of one voxel: a point's answer depends on that point alone."""

    def __init__(self, width=96):
        super().__init__()
        self.first, self.second = nn.Conv3d(3, width, 1), nn.Conv3d(width, width, 1)
        self.third, self.last = nn.Conv3d(width, width, 1), nn.Conv3d(width, 1, 1)

    def forward(self, x, t):
        level = (t / 500 - 1).reshape(-1, 1, 1, 1, 1).expand_as(x)
        h = F.silu(self.first(torch.cat([x, level, 8 * x], dim=1)))
        return self.last(F.silu(self.third(F.silu(self.second(h)))))


WEIGHTS, MODES, WIDTH = (0.2, 0.8), (1.0, -1.0), 0.05
VARIANCE = 4 * WEIGHTS[0] * WEIGHTS[1] + WIDTH**2


def two_modes(schedule):
    """The perfect network for two narrow modes, in the schedule's prediction."""

    def network(x, t):
        alpha, sigma = schedule.level(int(t[0]))
        spread = alpha**2 * WIDTH**2 + sigma**2
        away = [x - alpha * mode for mode in MODES]
        share = torch.softmax(torch.stack([math.log(w) - a**2 / (2 * spread) for w, a in zip(WEIGHTS, away, strict=True)]), dim=0)
        x0 = sum(s * (mode + alpha * WIDTH**2 / spread * a) for s, mode, a in zip(share, MODES, away, strict=True))
        return schedule.target(x0, (x - alpha * x0) / sigma, t)

    return network


def test_a_distilled_student_keeps_the_weights_of_two_modes_and_the_variance_in_one_two_and_four_steps():
    schedule = NoiseSchedule.from_specification(Schedule(1000, "scaled_linear", 0.00085, 0.012, "v", zero_terminal_snr=True))
    times, count = (999, 749, 499, 249), 8192
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((count, 1, 1, 1, 1)).astype(np.float32))
    sampler, x, memory = make_sampler(Mode("dpmpp_2m", 20, 1), schedule), noise, None
    for index, t in enumerate(sampler.timesteps):
        x, memory = sampler.step(two_modes(schedule)(x, torch.full((count,), t)), x, index, memory)
    assert (x > 0).float().mean().item() == pytest.approx(0.2, abs=0.015)
    torch.manual_seed(0)
    student = Tiny()
    optimiser = torch.optim.Adam(student.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 700)
    for step in range(700):
        chosen = torch.randint(count, (1024,), generator=torch.Generator().manual_seed(step))
        loss = distillation_loss(schedule, x[chosen], noise[chosen], times, student, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    for chosen in ((999,), (999, 499), times):
        sampler = make_sampler(Mode("distilled", len(chosen), 1, timesteps=chosen), schedule)
        drawn = sample_latents(student, sampler, (1, 1, 1, 1), 4000, seed=8, device=CPU)
        # four standard errors of 4000 draws are .025 of the weight, .06 of the variance
        assert (drawn > 0).float().mean().item() == pytest.approx(WEIGHTS[0], abs=0.03), chosen
        assert drawn.var().item() == pytest.approx(VARIANCE, rel=0.1), chosen
        assert ((drawn.abs() - 1).abs() < 0.3).float().mean().item() > 0.9, "little is left between the modes"


def test_the_undistilled_teacher_has_no_variance_in_one_step():
    schedule = NoiseSchedule.from_specification(Schedule(1000, "scaled_linear", 0.00085, 0.012, "v", zero_terminal_snr=True))
    sampler = make_sampler(Mode("dpmpp_2m", 1, 1), schedule)
    assert sample_latents(two_modes(schedule), sampler, (1, 1, 1, 1), 500, seed=0, device=CPU).var().item() < 1e-3


@pytest.mark.parametrize("prediction", ["v", "x0"])
@pytest.mark.parametrize("zero_snr", [True, False])
def test_the_loss_of_a_perfect_student_is_zero_and_every_timestep_is_met_equally_often(prediction, zero_snr):
    schedule = NoiseSchedule.from_specification(Schedule(1000, "scaled_linear", 0.0015, 0.0195, prediction, zero_snr))
    ends, noise = torch.randn(8, 2, 3, 3, 3), torch.randn(8, 2, 3, 3, 3)
    seen = []

    def perfect(x, t):
        seen.extend(t.tolist())
        alpha, sigma = schedule.alpha[t].reshape(-1, 1, 1, 1, 1), schedule.sigma[t].reshape(-1, 1, 1, 1, 1)
        if (t == 999).any():  # sampling starts from the noise itself
            torch.testing.assert_close(x[t == 999], noise[t == 999])
        return schedule.target(ends, (x - alpha * ends) / sigma, t)

    loss = distillation_loss(schedule, ends, noise, (999, 499), perfect, torch.Generator().manual_seed(0))
    assert loss.item() < 1e-8
    assert sorted(seen) == [499] * 4 + [999] * 4


def test_an_error_of_x0_weighs_the_same_at_the_first_timestep_as_at_the_last():
    schedule = NoiseSchedule.from_specification(Schedule(1000, "scaled_linear", 0.0015, 0.0195, "v", True))
    ends, noise = torch.randn(4, 1, 2, 2, 2), torch.randn(4, 1, 2, 2, 2)

    def wrong_by_one_half(x, t):
        alpha, sigma = schedule.alpha[t].reshape(-1, 1, 1, 1, 1), schedule.sigma[t].reshape(-1, 1, 1, 1, 1)
        return schedule.target(ends + 0.5, (x - alpha * (ends + 0.5)) / sigma, t)

    for time in (999, 249):
        loss = distillation_loss(schedule, ends, noise, (time,), wrong_by_one_half, torch.Generator())
        assert loss.item() == pytest.approx(0.25, rel=1e-4)


def test_trajectories_are_the_teachers_own_from_the_noise_that_the_student_is_shown(run):
    c = configuration()
    assert make_trajectories(c, options(run), CPU)
    teacher = Teacher(c, run, CPU)
    item = Trajectories(run, c.phases["distillation"], 0, teacher.fingerprint)[0]
    assert item["noise"].shape == item["ends"].shape == (2, 2, 8, 8, 4)
    x, memory = item["noise"], None
    sampler = make_sampler(Mode("dpmpp_2m", 3, 2), teacher.schedule)
    with torch.no_grad():
        for index, t in enumerate(sampler.timesteps):
            output = teacher.denoiser(item["embedding"][None])(x, torch.full((2,), t))
            x, memory = sampler.step(output, x, index, memory)
    torch.testing.assert_close(item["ends"], x, rtol=2e-3, atol=2e-3)  # kept as float16
    users = MemberNoise(0, 0).draw((2, 8, 8, 4))
    assert not any(torch.equal(noise, users) for noise in item["noise"])


def test_a_stopped_making_of_trajectories_goes_on_where_it_was_to_the_same_files(run):
    c = configuration()
    assert make_trajectories(c, options(run), CPU)
    files = {path.name: torch.load(path) for path in sorted((run / FOLDER).glob("*.pt"))}
    assert len(files) == 4
    (run / FOLDER / "00002.pt").unlink()
    kept = (run / FOLDER / "00001.pt").stat().st_mtime_ns
    assert not make_trajectories(c, options(run, max_minutes=-1.0), CPU)
    with pytest.raises(InputError, match="3 of 4 trajectories"):
        Trajectories(run, c.phases["distillation"], 0, Teacher(c, run, CPU).fingerprint)
    assert make_trajectories(c, options(run), CPU)
    assert (run / FOLDER / "00001.pt").stat().st_mtime_ns == kept
    again = torch.load(run / FOLDER / "00002.pt")
    assert all(torch.equal(again[key], value) for key, value in files["00002.pt"].items())


def test_two_processes_make_each_their_share_of_the_files_that_one_would_make(run):
    c = configuration()
    assert make_trajectories(c, options(run), CPU)
    alone = {path.name: torch.load(path, weights_only=True) for path in (run / FOLDER).glob("*.pt")}
    shutil.rmtree(run / FOLDER)
    assert make_trajectories(c, options(run), CPU, rank=1, ranks=2)
    assert sorted(path.name for path in (run / FOLDER).glob("*.pt")) == sorted(alone)[1::2]
    assert not wait_for_trajectories(c, options(run, max_minutes=-2.0))
    assert make_trajectories(c, options(run), CPU, rank=0, ranks=2) and wait_for_trajectories(c, options(run))
    for name, state in alone.items():
        found = torch.load(run / FOLDER / name, weights_only=True)
        assert all(torch.equal(found[key], value) for key, value in state.items())


def test_more_trajectories_can_be_made_but_not_of_another_teacher_or_other_draws(run):
    assert make_trajectories(configuration(), options(run), CPU)
    assert make_trajectories(configuration(trajectories=6), options(run), CPU)
    assert len(list((run / FOLDER).glob("*.pt"))) == 6
    with pytest.raises(InputError, match="another draws"):
        make_trajectories(configuration(draws=3), options(run), CPU)
    path = run / "controlnet" / "checkpoint.pt"
    state = torch.load(path)
    next(iter(state["model"].values())).add_(0.01)
    torch.save(state, path)
    with pytest.raises(InputError, match="another teacher"):
        make_trajectories(configuration(), options(run), CPU)


@pytest.mark.parametrize("own_unet", [False, True])
def test_a_run_with_a_student_gives_a_bundle_that_verifies_and_segments_in_mode_fast(run, tmp_path, own_unet):
    c = configuration(student_unet=own_unet)
    distil(c, options(run))
    assert trained_steps(run, "distillation") == (3, 3)
    bundle = assemble(c, run, tmp_path / "bundle", default_mode="fast")
    fast = bundle.specification.mode()
    assert (fast.sampler, fast.timesteps, fast.steps, fast.members) == ("distilled", (999, 499), 2, 30)
    assert (fast.controlnet, fast.unet) == ("controlnet_fast", "unet_fast" if own_unet else "unet")
    assert ("unet_fast" in verify(bundle)) is own_unet
    case = load_case(find_case(save_small_case(tmp_path / "case"), SEQUENCES), bundle.specification)
    result = segment(case, Model(bundle, replace(fast, members=3), choose_device("cpu", "float32")))
    assert result.members_finished == 3
    assert result.probabilities.shape == (3, *case.grid.shape)


def test_a_run_without_a_student_gives_a_bundle_without_mode_fast(run, tmp_path):
    bundle = assemble(configuration(), run, tmp_path / "bundle")
    assert list(bundle.specification.modes) == ["solver"]
    assert "controlnet_fast" not in bundle.configurations
    with pytest.raises(BundleError, match="default mode 'fast'"):
        assemble(configuration(), run, tmp_path / "other", default_mode="fast")


def test_a_student_of_a_controlnet_that_was_trained_on_is_not_put_into_a_bundle(run, tmp_path):
    c = configuration()
    distil(c, options(run))
    path = run / "controlnet" / "checkpoint.pt"
    state = torch.load(path)
    next(iter(state["model"].values())).add_(0.01)
    torch.save(state, path)
    with pytest.raises(InputError, match="another UNet or ControlNet"):
        assemble(c, run, tmp_path / "bundle")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_student_learns_while_its_teacher_stays_as_it_was(run, precision):
    c = configuration(precision=precision)
    assert make_trajectories(c, options(run), CPU)
    tasks = []

    def make(*arguments):
        tasks.append(DistillationTask(*arguments))
        return tasks[-1]

    make.name = DistillationTask.name
    before = Teacher(c, run, CPU)
    train(make, c, options(run))
    teacher = tasks[0]._teacher
    for ours, theirs in ((teacher.unet, before.unet), (teacher.steering, before.steering)):
        assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    student, extras = trained_weights(run, "distillation")
    start = before.steering.controlnet.state_dict()
    assert any(not torch.equal(student[f"controlnet.{key}"], value) for key, value in start.items())
    assert extras["teacher"] == before.fingerprint


def test_a_phase_that_could_not_be_used_is_refused_before_anything_is_trained(tmp_path):
    import json
    from pathlib import Path

    source = Path(__file__).resolve().parents[2] / "Training" / "configs"
    for beside in ("glioma.json", "folds.json"):
        (tmp_path / beside).write_text((source / beside).read_text())
    good = json.loads((source / "small.json").read_text())
    for change, said in (
        ({"timesteps": [749, 499]}, "from 999"),
        ({"timesteps": [999, 999]}, "falling"),
        ({"trajectories": 0}, "trajectories is 0"),
        ({"teacher_steps": 0}, "teacher_steps is 0"),
        ({"crop": [20, 20, 20]}, "divide by 16"),
    ):
        data = json.loads(json.dumps(good))
        data["phases"]["distillation"] |= change
        (tmp_path / "changed.json").write_text(json.dumps(data))
        with pytest.raises(InputError, match=said):
            read_configuration(tmp_path / "changed.json")
    good["schedule"] |= {"prediction": "epsilon", "zero_terminal_snr": False}
    (tmp_path / "changed.json").write_text(json.dumps(good))
    with pytest.raises(InputError, match="prediction epsilon"):
        read_configuration(tmp_path / "changed.json")
