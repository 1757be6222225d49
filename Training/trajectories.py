"""What a distilled student learns from: where the teacher's trajectories end, computed once and kept on disk.

The teacher is the trained ControlNet on its frozen UNet, sampled by DPM-Solver++(2M). One file holds one MRI's embedding
and the ends of the trajectories from several noises. The noises are not stored, they follow from the seed. At 80×96×80
voxels, f = 4, 8 latent and 32 embedding channels that is 0.6 MB for the embedding and 0.15 MB a noise; 400 MRIs with 4
noises each, half of them crops of 64³, come to about 350 MB.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from LDMSegLib.diffusion.ensemble import Denoise
from LDMSegLib.diffusion.noise import MemberNoise
from LDMSegLib.diffusion.samplers import make_sampler
from LDMSegLib.diffusion.schedule import NoiseSchedule
from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import build
from LDMSegLib.specification import Latent, Mode
from Training.checkpoints import trained_weights
from Training.configuration import Configuration, Phase
from Training.controlnet import Steering
from Training.datasets import Cases
from Training.engine import Options
from Training.files import whole_file, write_text
from Training.latents import check_latents
from Training.sampling import sample_latents

PHASE = "distillation"
FOLDER = Path(PHASE) / "trajectories"
RECORD = "made_for.json"

# What only the student's own training depends on, and how many there are: more can be made.
LEARNING = ("learning_rate", "steps", "epochs", "schedule", "warmup", "ema", "validate_every", "trajectories", "timesteps", "student_unet")

# Noises of training must not be those that a user's seed 0, 1, 2, ... gives.
_SEEDS_APART = 1 << 40


class Teacher:
    """The networks that phase 3 left, frozen. `fingerprint` changes with any of their weights."""

    def __init__(self, configuration: Configuration, run: Path, device: torch.device) -> None:
        unet, extras = trained_weights(run, "diffusion")
        steering, _ = trained_weights(run, "controlnet")
        check_latents(run)
        self.latent = Latent(**extras["latent"])
        self.schedule = NoiseSchedule.from_specification(configuration.schedule)
        self.fingerprint = fingerprint(unet, steering)
        self.unet = _frozen(build(configuration.networks["unet"]), unet, device)
        self.steering = _frozen(Steering(configuration, run, device, self.latent), steering, device)
        self.device = device

    def denoiser(self, embedding: torch.Tensor) -> Denoise:
        """The network that a sampler asks, told by an embedding (1, E, x, y, z)."""
        return lambda x, t: self.steering.steer(self.unet, embedding.expand(len(x), -1, -1, -1, -1), x, t)

    def ends(self, embedding: torch.Tensor, members: int, seed: int, steps: int, first_member: int = 0) -> torch.Tensor:
        """Where the trajectories from these members' noises end, (members, C, x, y, z) float32."""
        sampler = make_sampler(Mode("dpmpp_2m", steps, members), self.schedule)
        shape = (self.latent.channels, *embedding.shape[2:])
        return sample_latents(self.denoiser(embedding), sampler, shape, members, seed, self.device, first_member)


def fingerprint(*states: dict[str, torch.Tensor]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of all weights in their order."""
    digest = hashlib.sha256()
    for state in states:
        for key, value in state.items():
            digest.update(key.encode())
            digest.update(value.contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def make_trajectories(configuration: Configuration, options: Options, device: torch.device, rank: int = 0, ranks: int = 1) -> bool:
    """Compute the trajectories that are missing; a stopped making goes on where it was.

    Args:
        rank: which of `ranks` processes this is: each makes every `ranks`-th one, the same as any other would.

    Returns:
        Whether this process's share is there; False when `options.max_minutes` were over first.

    Raises:
        InputError: an earlier phase is missing, there is no data, or those in the run folder were made by another teacher or
            from other items.
    """
    phase, folder = configuration.phases[PHASE], options.run / FOLDER
    deadline = time.monotonic() + options.max_minutes * 60
    teacher = Teacher(configuration, options.run, device)
    _check_record(folder, _purpose(phase, options.seed, teacher.fingerprint))
    missing = [number for number in range(rank, phase.trajectories, ranks) if not _path(folder, number).exists()]
    items = Cases(configuration, options.run, phase, options.seed) if missing else None
    begun = time.monotonic()
    for count, number in enumerate(missing):
        if time.monotonic() > deadline:
            print(f"{PHASE}: {len(missing) - count} of {phase.trajectories} trajectories are still to be made; run it again", flush=True)
            return False
        state = _answered(teacher, items[number]["image"], phase, options.seed, number)
        with whole_file(_path(folder, number)) as partial:
            torch.save(state, partial)
        if count % 10 == 0 or number == missing[-1]:
            pace = (time.monotonic() - begun) / (count + 1)
            size = sum(path.stat().st_size for path in folder.glob("*.pt")) / 1e6
            print(f"{PHASE}: trajectories of MRI {number + 1}/{phase.trajectories}  {pace:.3g} s each  {size:.0f} MB", flush=True)
    return True


def wait_for_trajectories(configuration: Configuration, options: Options) -> bool:
    """Wait while other processes make theirs; False when the time was up first, with a minute's grace for their last one."""
    phase, folder = configuration.phases[PHASE], options.run / FOLDER
    deadline = time.monotonic() + options.max_minutes * 60 + 60
    while not all(_path(folder, number).exists() for number in range(phase.trajectories)):
        if time.monotonic() > deadline:
            return False
        time.sleep(1.0)
    return True


class Trajectories(Dataset):
    """Pairs of noise and end: `embedding` (E, x, y, z), `noise` and `ends` (draws, C, x, y, z), all float32.

    All items of a batch are alike in shape: they are neighbours that were made so.
    """

    def __init__(self, run: Path, phase: Phase, seed: int, teacher: str) -> None:
        self._folder, self._phase, self._seed = run / FOLDER, phase, seed
        _check_record(self._folder, _purpose(phase, seed, teacher))
        there = sum(_path(self._folder, number).exists() for number in range(phase.trajectories))
        if there < phase.trajectories:
            raise InputError(
                f"{self._folder} holds {there} of {phase.trajectories} trajectories; let python -m Training.distillation make the others"
            )

    def __len__(self) -> int:
        return self._phase.trajectories

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        batch = self._phase.batch_size
        rng = np.random.default_rng((self._seed, 5, index // batch))
        number = int(rng.integers(self._phase.trajectories // batch)) * batch + index % batch
        state = torch.load(_path(self._folder, number), weights_only=True)
        noise = _noise(self._seed, number, state["ends"].shape)
        return {"embedding": state["embedding"].float(), "noise": noise, "ends": state["ends"].float()}


@torch.inference_mode()
def _answered(teacher: Teacher, image: torch.Tensor, phase: Phase, seed: int, number: int) -> dict[str, torch.Tensor]:
    with torch.autocast(teacher.device.type, torch.bfloat16, enabled=phase.precision == "bf16-mixed"):
        embedding = teacher.steering.embedding(image[None].to(teacher.device))
        ends = teacher.ends(embedding, phase.draws, seed + _SEEDS_APART, phase.teacher_steps, number * phase.draws)
    # .clone(): a file keeps what it holds, not what that was cut from
    return {"embedding": embedding[0].cpu().clone(), "ends": ends.half().cpu()}


def _noise(seed: int, number: int, shape: tuple[int, ...]) -> torch.Tensor:
    """What the trajectories of this file started from: the first field of the same members."""
    return torch.stack([MemberNoise(seed + _SEEDS_APART, number * shape[0] + draw).draw(shape[1:]) for draw in range(shape[0])])


def _frozen(network: nn.Module, state: dict[str, torch.Tensor], device: torch.device) -> nn.Module:
    network.load_state_dict(state)
    return network.to(device).eval().requires_grad_(False)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.pt"


def _purpose(phase: Phase, seed: int, teacher: str) -> dict[str, Any]:
    """What trajectories depend on."""
    entries = {key: value for key, value in asdict(phase).items() if key not in LEARNING}
    return json.loads(json.dumps({"teacher": teacher, "seed": seed, **entries}))


def _check_record(folder: Path, purpose: dict[str, Any]) -> None:
    path = folder / RECORD
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in purpose if found.get(key, math.nan) != purpose[key]]
        if other:
            raise InputError(
                f"{folder} holds trajectories of another {other[0].replace('_', ' ')}, expected those of this run; delete the folder "
                f"{folder.parent} and distil anew"
            )
        return
    write_text(path, json.dumps(purpose, indent=1))
