"""Phase 4: a student that reaches in one to four steps what its teacher reaches in twenty, with the same spread.

    python -m Training.distillation --config Training/configs/small.json --data DATA --run runs/small

The student is a copy of the trained ControlNet (with `student_unet` also of the UNet) and learns where the teacher's
probability-flow trajectory from a noise ends. What follows from noise alone is a map, not an average: so a perfect student
keeps the distribution, where one step of its teacher gives the posterior's mean. See `trajectories` for the teacher.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional as F

from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import InputError
from LDMSegLib.models.device import choose_device
from LDMSegLib.specification import Mode
from Training.command import one_sentence
from Training.configuration import Configuration
from Training.engine import Options, Outcome, parse, train
from Training.latents import load_autoencoder, to_raw
from Training.losses import hard_dice
from Training.prepared_cases import Validation
from Training.sampling import sample_latents
from Training.task import Batch, Pictures, Scalars, Task, two_pictures
from Training.trajectories import PHASE, Teacher, Trajectories, make_trajectories, wait_for_trajectories

VALIDATION_MEMBERS = 4
# Where torchrun, or a scheduler, says which process this is and how many there are.
_PLACE = (("RANK", "SLURM_PROCID", 0), ("WORLD_SIZE", "SLURM_NTASKS", 1))


class Student(nn.Module):
    """A ControlNet, and a UNet where it is not the teacher's that serves."""

    def __init__(self, teacher: Teacher, own_unet: bool) -> None:
        super().__init__()
        self.controlnet = copy.deepcopy(teacher.steering.controlnet).requires_grad_(True)
        self.unet = copy.deepcopy(teacher.unet).requires_grad_(True) if own_unet else None

    def forward(self, unet: nn.Module, embedding: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """The student's prediction for noisy latents."""
        down, middle = self.controlnet(x, t, embedding)
        network = unet if self.unet is None else self.unet
        return network(x, t, down_block_additional_residuals=down, mid_block_additional_residual=middle)


class DistillationTask(Task):
    """Find the end of the teacher's trajectory from what the fast mode will show."""

    name = PHASE

    def __init__(self, configuration: Configuration, options: Options, fabric: Fabric) -> None:
        self.phase = configuration.phases[self.name]
        self._teacher = Teacher(configuration, options.run, fabric.device)
        self.model = Student(self._teacher, self.phase.student_unet)
        self.dataset = Trajectories(options.run, self.phase, options.seed, self._teacher.fingerprint)
        self._autoencoder = load_autoencoder(configuration, options.run, fabric.device)
        self._validation = Validation(options.run)
        self._names = [region.name for region in configuration.regions]
        self._answers: dict[str, torch.Tensor] = {}

    def loss(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, Batch]:
        ends, noise = batch["ends"].flatten(0, 1), batch["noise"].flatten(0, 1)
        embedding = batch["embedding"].repeat_interleave(self.phase.draws, dim=0)

        def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return model(self._teacher.unet, embedding, x, t)

        return distillation_loss(self._teacher.schedule, ends, noise, self.phase.timesteps, network, generator), {}

    def validate(self, model: Student) -> tuple[Scalars, Pictures]:
        """Both, from the same noises: Dice of the mean with the truth, and the student's variance over the teacher's."""
        rows, pictures = [], {}
        for case in self._validation:
            name, target = case["name"], case["regions"]
            embedding = self._teacher.steering.embedding(case["image"][None].to(self._teacher.device))
            if name not in self._answers:  # the teacher's do not change
                self._answers[name] = self._decoded(self._teacher.ends(embedding, VALIDATION_MEMBERS, 1, self.phase.teacher_steps))
            theirs, ours = self._answers[name].float(), self._decoded(self._sampled(model, embedding)).float()
            ratio = ours.var(dim=0).sum() / theirs.var(dim=0).sum().clamp(min=1e-9)
            dice, reached = hard_dice(ours.mean(dim=0), target), hard_dice(theirs.mean(dim=0), target)
            rows.append(torch.cat([torch.stack([F.mse_loss(ours, theirs), ratio]), dice, reached]))
            pictures[name] = two_pictures(theirs.mean(dim=0), ours.mean(dim=0))
        if not rows:
            return {}, {}
        keys = ["error", "variance_ratio", *(f"dice_{name}" for name in self._names), *(f"teacher_dice_{name}" for name in self._names)]
        return dict(zip(keys, torch.stack(rows).mean(dim=0).tolist(), strict=True)), pictures

    def extras(self) -> dict[str, Any]:
        return {
            "teacher": self._teacher.fingerprint,
            "latent": asdict(self._teacher.latent),
            "timesteps": list(self.phase.timesteps),
            "student_unet": self.phase.student_unet,
        }

    def _sampled(self, model: Student, embedding: torch.Tensor) -> torch.Tensor:
        times, teacher = self.phase.timesteps, self._teacher
        sampler = make_sampler(Mode("distilled", len(times), VALIDATION_MEMBERS, timesteps=times), teacher.schedule)
        shape = (teacher.latent.channels, *embedding.shape[2:])

        def network(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return model(teacher.unet, embedding.expand(len(x), -1, -1, -1, -1), x, t)

        return sample_latents(network, sampler, shape, VALIDATION_MEMBERS, 1, teacher.device)

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        """(N, R, X, Y, Z) float16 on the CPU, decoded one at a time."""
        raw = to_raw(latents, self._teacher.latent)
        # Made half after they are joined: torch's autocast on the CPU joins no float16.
        return torch.cat([torch.sigmoid(self._autoencoder.decode(z).float()).cpu() for z in raw.split(1)]).half()


def distillation_loss(
    schedule: NoiseSchedule,
    ends: torch.Tensor,
    noise: torch.Tensor,
    timesteps: Sequence[int],
    network: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of x_0 at the student's own timesteps, each met equally often and weighing the same.

    Shown is x_t = alpha_t x_0 + sigma_t eps, with x_0 the trajectory's end and eps = (x_T - alpha_T x_0) / sigma_T: what the
    distilled sampler's step keeps (`LDMSegLib.diffusion.samplers.ddim`), not a point on the teacher's curved trajectory. The
    regression from noise to the end of the ODE is that of Luhman & Luhman 2021 (arXiv:2101.02388), at several levels.

    The error is that of x_0, not of the schedule's prediction: x_0 is what every step hands on, and all the variety of the
    members is decided at the first timestep. The error of v is that of x_0 over sigma_t^2, which weighs the easy late levels
    more; that of eps is multiplied by alpha_t^2 / sigma_t^2, which forgets the first level altogether.

    Args:
        schedule: of the teacher.
        ends: (N, C, x, y, z), where the trajectories end.
        noise: the same shape, x_T, where they start.
        timesteps: falling, the first the schedule's last.
        network: called as network(x_t, t) with t (N,) int64.
        generator: draws who is asked at which timestep.
    """
    alpha, sigma = schedule.level(schedule.steps - 1)
    eps = (noise - alpha * ends) / sigma
    order = torch.randperm(len(ends), generator=generator) + torch.randint(len(timesteps), (1,), generator=generator)
    t = torch.tensor(timesteps)[order % len(timesteps)].to(ends.device)
    x_t = schedule.add_noise(ends, eps, t)
    return F.mse_loss(schedule.to_x0(network(x_t, t), x_t, t), ends)


def distil(configuration: Configuration, options: Options) -> Outcome | None:
    """Make the trajectories, then train with the minutes that are left; None where none were left.

    Raises:
        InputError: see `make_trajectories` and `train`.
    """
    if PHASE not in configuration.phases:
        raise InputError(f"the configuration '{configuration.name}' has no phase '{PHASE}', it has {', '.join(configuration.phases)}")
    begun = time.monotonic()
    # Fabric has not started yet: under torchrun the environment says which process this is. Each makes its share and waits for
    # the others', which a collective operation would not do for so long.
    rank, ranks = (int(os.environ.get(name, os.environ.get(other, default))) for name, other, default in _PLACE)
    device = choose_device(options.accelerator.replace("gpu", "cuda")).kind
    made = make_trajectories(configuration, options, torch.device(device), rank, ranks) and wait_for_trajectories(configuration, options)
    if not made:
        return None
    minutes = (time.monotonic() - begun) / 60
    return train(DistillationTask, configuration, replace(options, max_minutes=max(options.max_minutes - minutes, 0.0)))


def main() -> None:
    """The command line."""
    with one_sentence():
        distil(*parse(__doc__))


if __name__ == "__main__":
    main()
