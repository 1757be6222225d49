"""The loop all phases share: Lightning Fabric for devices and precision, time budget, resuming, averaged weights, curves.

A phase says what to learn from, what is trained and what its loss is; it knows nothing of devices, files or clocks.
Under torchrun the same script trains on several GPUs: Fabric reads the environment, no launcher of ours.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from LDMSegLib.allocator import keep_freed_memory
from Training.configuration import Configuration, Phase, read_configuration


class Task(Protocol):
    """What a phase brings to the loop."""

    name: str
    phase: Phase
    model: nn.Module  # what is trained; everything else the task holds is frozen
    dataset: Dataset

    def loss(
        self, model: nn.Module, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of one batch and scalars worth a curve. All randomness comes from `generator`."""

    def validate(self, model: nn.Module) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        """Scalars and example pictures (C, H, W) on the held-out cases, from the averaged weights."""

    def extras(self) -> dict[str, Any]:
        """What the checkpoint keeps besides the weights, e.g. the latent's scale."""


@dataclass(frozen=True)
class Options:
    """How to run, as given on the command line."""

    run: Path
    max_minutes: float = math.inf
    seed: int = 0
    accelerator: str = "auto"
    devices: str = "auto"
    workers: int = 2
    steps: int = 0


def parse(description: str) -> tuple[Configuration, Options]:
    """The command line that all phases share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, required=True, help="one of Training/configs/*.json")
    parser.add_argument(
        "--data", type=Path, help="folder with BraTS cases and .npz files; prepared into the run folder if that was not done yet"
    )
    parser.add_argument("--run", type=Path, required=True, help="folder for prepared data, checkpoints and curves")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="stop (resumably) after this long")
    parser.add_argument("--steps", type=int, default=0, help="instead of the configuration's number of optimiser steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accelerator", default="auto", help="cpu, cuda, mps or auto")
    parser.add_argument("--devices", default="auto", help="how many; under torchrun this is per machine")
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare batches")
    arguments = vars(parser.parse_args())
    configuration = read_configuration(arguments.pop("config"))
    data = arguments.pop("data")
    if data is not None and not (arguments["run"] / "data").exists():
        from Training.prepare import prepare  # only a first run needs the image readers

        prepare(configuration, data, arguments["run"])
    return configuration, Options(**arguments)


def train(make_task: Any, configuration: Configuration, options: Options) -> None:
    """Train one phase until its steps are done or the time is up; started again, it goes on where it was.

    Args:
        make_task: called as make_task(configuration, options, fabric) → Task.
    """
    keep_freed_memory()
    torch.manual_seed(options.seed)
    phase_name = make_task.name
    phase = configuration.phases[phase_name]
    devices = options.devices if options.devices == "auto" else int(options.devices)
    fabric = Fabric(accelerator=options.accelerator, devices=devices, precision=phase.precision, strategy="auto")
    fabric.launch()
    task: Task = make_task(configuration, options, fabric)
    per_step = phase.batch_size * fabric.world_size
    steps = options.steps or phase.steps or math.ceil(phase.epochs * len(task.dataset) / per_step)
    optimiser = torch.optim.Adam([p for p in task.model.parameters() if p.requires_grad], lr=phase.learning_rate, foreach=True)
    averaged = AveragedModel(task.model, multi_avg_fn=get_ema_multi_avg_fn(phase.ema)) if phase.ema else None
    folder = options.run / phase_name
    folder.mkdir(parents=True, exist_ok=True)
    first = _resume(folder, task.model, optimiser, averaged)
    model, optimiser = fabric.setup(task.model, optimiser)
    if averaged is not None:
        averaged = averaged.to(fabric.device)
    writer = SummaryWriter(folder) if fabric.is_global_zero else None
    loader = _loader(task.dataset, phase, options, fabric, first, steps)
    deadline = time.monotonic() + options.max_minutes * 60
    stop = _StopOnSignal()
    started, seen = time.monotonic(), 0
    step = first
    for step, batch in enumerate(loader, start=first):
        batch = {key: value.to(fabric.device) for key, value in batch.items()}
        for group in optimiser.param_groups:
            group["lr"] = phase.learning_rate * _rate(phase, step, steps)
        generator = torch.Generator().manual_seed(_mix(options.seed, step, fabric.global_rank))
        with fabric.autocast():
            loss, scalars = task.loss(model, batch, generator)
        fabric.backward(loss)
        fabric.clip_gradients(model, optimiser, max_norm=1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if averaged is not None:
            averaged.update_parameters(task.model)
        seen += 1
        done = step + 1
        if writer and (done % 25 == 0 or done == steps):
            values = {"loss": loss.detach(), **scalars}
            for key, value in values.items():
                writer.add_scalar(f"{phase_name}/{key}", float(value), done)
            pace = (time.monotonic() - started) / seen
            text = "  ".join(f"{key} {float(value):.4f}" for key, value in values.items())
            print(f"{phase_name} {done}/{steps}  {text}  {pace:.2f} s/step", flush=True)
        last = done == steps or time.monotonic() > deadline or stop.requested
        if done % phase.validate_every == 0 or last:
            _validate(fabric, task, averaged, writer, done)
            _save(fabric, folder, task, optimiser, averaged, done, steps)
        if last:
            break
    if writer:
        writer.close()


def trained_weights(run: Path, phase: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The averaged weights (or the last ones, without averaging) of a phase and its extras.

    Raises:
        FileNotFoundError: the phase has not been trained in this run folder.
    """
    checkpoint = torch.load(run / phase / "checkpoint.pt", map_location="cpu", weights_only=True)
    return checkpoint["averaged"] or checkpoint["model"], checkpoint["extras"]


def picture(channels: torch.Tensor) -> torch.Tensor:
    """A (3, H, W) picture in [0, 1] of the slice with most signal of a (C, X, Y, Z) volume, its channels side by side."""
    volume = channels.detach().float().cpu()
    z = int(volume.clamp(0, 1).sum(dim=(0, 1, 2)).argmax())
    row = torch.cat([channel[:, :, z].T.flip(0) for channel in volume], dim=1)
    return row.clamp(0, 1)[None].repeat(3, 1, 1)


class _StopOnSignal:
    """Ctrl-C and a scheduler's SIGTERM end the run at the next step, with a checkpoint."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, *_: Any) -> None:
        self.requested = True


class _Range:
    """Item numbers of this rank from a given step on: the order in which every run sees its data."""

    def __init__(self, first: int, steps: int, batch: int, rank: int, ranks: int) -> None:
        self._numbers = [((step * ranks + rank) * batch + i) for step in range(first, steps) for i in range(batch)]

    def __iter__(self):
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def _loader(dataset: Dataset, phase: Phase, options: Options, fabric: Fabric, first: int, steps: int) -> DataLoader:
    sampler = _Range(first, steps, phase.batch_size, fabric.global_rank, fabric.world_size)
    return DataLoader(dataset, batch_size=phase.batch_size, sampler=sampler, num_workers=options.workers, worker_init_fn=_one_thread)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):  # the main process decides when to stop
        signal.signal(number, signal.SIG_IGN)


def _rate(phase: Phase, step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / phase.warmup) if phase.warmup else 1.0
    if phase.schedule == "cosine":
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))
    return warm


def _mix(*numbers: int) -> int:
    mixed = 0x9E3779B97F4A7C15
    for number in numbers:
        mixed = ((mixed ^ number) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
    return mixed


def _validate(fabric: Fabric, task: Task, averaged: AveragedModel | None, writer: SummaryWriter | None, step: int) -> None:
    if fabric.is_global_zero:
        model = averaged.module if averaged is not None else task.model
        was_training = model.training
        model.eval()
        with torch.no_grad(), fabric.autocast():
            scalars, pictures = task.validate(model)
        model.train(was_training)
        for key, value in scalars.items():
            writer.add_scalar(f"{task.name}/validation_{key}", value, step)
        for key, value in pictures.items():
            writer.add_image(f"{task.name}/{key}", value, step)
        print(f"{task.name} validation at {step}: " + "  ".join(f"{key} {value:.4f}" for key, value in scalars.items()), flush=True)
    fabric.barrier()


def _save(fabric: Fabric, folder: Path, task: Task, optimiser: Any, averaged: AveragedModel | None, done: int, steps: int) -> None:
    if fabric.is_global_zero:
        state = {
            "step": done,
            "steps": steps,
            "model": task.model.state_dict(),
            "averaged": averaged.module.state_dict() if averaged is not None else None,
            "updates": int(averaged.n_averaged) if averaged is not None else 0,
            "optimiser": optimiser.state_dict(),
            "extras": task.extras(),
        }
        partial = folder / "checkpoint.part"
        torch.save(state, partial)
        os.replace(partial, folder / "checkpoint.pt")
    fabric.barrier()


def _resume(folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, averaged: AveragedModel | None) -> int:
    path = folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    if averaged is not None and state["averaged"] is not None:
        averaged.module.load_state_dict(state["averaged"])
        averaged.n_averaged.fill_(state["updates"])
    return int(state["step"])
