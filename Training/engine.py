"""The loop all phases share: Lightning Fabric for devices and precision, time budget, resuming, averaged weights, curves.

What a phase brings is its `task.Task`.
Under torchrun the same script trains on several GPUs: Fabric reads the environment, no launcher of ours.
"""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

from LDMSegLib.errors import InputError
from Training.checkpoints import begin, phase_folder, read_checkpoint, resume, save
from Training.command import one_sentence, parser
from Training.configuration import Configuration, Phase, read_configuration
from Training.pace import Pace
from Training.task import Task


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
    fold: int | None = None


def parse(description: str) -> tuple[Configuration, Options]:
    """The command line that all phases share."""
    command = parser(description, "config", "run", seed=0)
    command.add_argument(
        "--data", type=Path, help="folder with BraTS cases and .npz files; prepared into the run folder if that was not done yet"
    )
    command.add_argument("--max-minutes", type=float, default=math.inf, help="stop (resumably) after this long, loading included")
    command.add_argument("--steps", type=int, default=0, help="instead of the configuration's number of optimiser steps")
    command.add_argument("--fold", type=int, help="leave this fold's patients out, for their out-of-fold answers")
    command.add_argument("--accelerator", default="auto", help="cpu, cuda, mps or auto")
    command.add_argument("--devices", default="auto", help="how many; torchrun decides this itself")
    command.add_argument("--workers", type=int, default=2, help="processes that prepare batches")
    arguments = vars(command.parse_args())
    configuration = read_configuration(arguments.pop("config"))
    data = arguments.pop("data")
    if data is not None:
        from Training.prepare import prepare_once  # only a first run needs the image readers

        # Fabric has not started yet: under torchrun the environment says which process this is.
        prepare_once(configuration, data, arguments["run"], rank=int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))))
    if arguments["fold"] is not None:
        configuration = configuration.without_fold(arguments["fold"])
    return configuration, Options(**arguments)


def main(make_task: Any, description: str) -> None:
    """What `python -m Training.<phase>` does."""
    with one_sentence():
        train(make_task, *parse(description))


@dataclass(frozen=True)
class Outcome:
    """Where a call of `train` left a phase. `seconds_per_step` is None where no step was timed (the first few never are)."""

    done: int
    steps: int
    interrupted: bool = False
    seconds_per_step: float | None = None

    @property
    def finished(self) -> bool:
        """Whether all steps were taken."""
        return self.done >= self.steps


def train(make_task: Any, configuration: Configuration, options: Options) -> Outcome:
    """Train one phase until its steps are done or the time is up; started again, it goes on where it was.

    Args:
        make_task: called as make_task(configuration, options, fabric) → Task.

    Raises:
        InputError: the configuration has no such phase, an earlier phase is missing, there is no data, or the run folder
            holds a checkpoint that cannot be continued.
    """
    deadline = time.monotonic() + options.max_minutes * 60
    torch.manual_seed(options.seed)
    phase_name = make_task.name
    if phase_name not in configuration.phases:
        raise InputError(f"the configuration '{configuration.name}' has no phase '{phase_name}', it has {', '.join(configuration.phases)}")
    phase = configuration.phases[phase_name]
    fabric = Fabric(accelerator=options.accelerator, precision=phase.precision, strategy="auto", **_processes(options))
    fabric.launch()
    task: Task = make_task(configuration, options, fabric)
    per_step = phase.batch_size * fabric.world_size
    steps = options.steps or phase.steps or math.ceil(phase.epochs * len(task.dataset) / per_step)
    folder = options.run / phase_folder(phase_name, options.fold)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = read_checkpoint(folder)
    first = checkpoint["step"] if checkpoint else 0
    if first >= steps:
        fabric.print(f"{phase_name} is at step {first} of {steps}: nothing to do", flush=True)
        return Outcome(first, steps)
    if not checkpoint:
        begin(folder, task.model)  # before the averaged copy is made
    optimiser = torch.optim.Adam([p for p in task.model.parameters() if p.requires_grad], lr=phase.learning_rate, foreach=True)
    averaged = AveragedModel(task.model, multi_avg_fn=get_ema_multi_avg_fn(phase.ema)) if phase.ema else None
    if checkpoint:
        if checkpoint["steps"] != steps and phase.schedule != "constant":
            fabric.print(f"{phase_name}: goes on for {steps} steps what was begun for {checkpoint['steps']}: its learning rate jumps")
        resume(folder, checkpoint, task.model, optimiser, averaged)
        del checkpoint
    model, optimiser = fabric.setup(task.model, optimiser)
    _move_state(optimiser, fabric.device)
    if averaged is not None:
        averaged = averaged.to(fabric.device)
    writer = SummaryWriter(folder) if fabric.is_global_zero else None
    loader = _loader(task.dataset, phase, options, fabric, first, steps)
    done, pace = first, Pace()
    with _StopOnSignal() as stop:
        for step, batch in enumerate(loader, start=first):
            batch = {key: value.to(fabric.device, non_blocking=True) for key, value in batch.items()}
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
            done = step + 1
            pace.stepped()
            if writer and (done % 25 == 0 or done == steps):
                _tell(writer, phase_name, {"loss": loss.detach(), **scalars}, done, steps, pace)
            last = done == steps or _anyone(fabric, time.monotonic() > deadline or stop.requested)
            if done % phase.validate_every == 0 or last:
                pace.pause(fabric.device)
                _validate(fabric, task, averaged, writer, done)
                save(fabric, folder, task, optimiser, averaged, done, steps)
                pace.go_on()
            if last:
                break
        interrupted = stop.requested
    if writer:
        writer.close()
    return Outcome(done, steps, interrupted, pace.seconds_per_step)


class _StopOnSignal:
    """Ctrl-C and a scheduler's SIGTERM end the run at the next step, with a checkpoint."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> _StopOnSignal:
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, *_: Any) -> None:
        self.requested = True


def _processes(options: Options) -> dict[str, Any]:
    """How many devices and machines: under torchrun its processes are counted, one device each, wherever they run."""
    if "LOCAL_WORLD_SIZE" in os.environ and torch.distributed.is_torchelastic_launched():
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        return {"devices": here, "num_nodes": int(os.environ["WORLD_SIZE"]) // here}
    return {"devices": options.devices if options.devices == "auto" else int(options.devices)}


def _anyone(fabric: Fabric, wish: bool) -> bool:
    """Whether any process wants to stop: clocks and signals differ, but all must leave the loop at the same step."""
    if fabric.world_size == 1:
        return wish
    return bool(fabric.all_reduce(torch.tensor(float(wish), device=fabric.device), reduce_op="sum") > 0)


def _move_state(optimiser: torch.optim.Optimizer, device: torch.device) -> None:
    """A resumed optimiser's moments follow the parameters to their device; its step counts stay where Adam wants them."""
    for state in optimiser.state.values():
        for key, value in state.items():
            if isinstance(value, torch.Tensor) and key != "step":
                state[key] = value.to(device)


def _tell(writer: SummaryWriter, phase: str, values: dict[str, torch.Tensor], done: int, steps: int, pace: Pace) -> None:
    for key, value in values.items():
        writer.add_scalar(f"{phase}/{key}", float(value), done)
    text = "  ".join(f"{key} {float(value):.4f}" for key, value in values.items())
    took = f"  {pace.seconds_per_step:.3g} s/step" if pace.seconds_per_step is not None else ""
    print(f"{phase} {done}/{steps}  {text}{took}", flush=True)


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
    return DataLoader(
        dataset,
        batch_size=phase.batch_size,
        sampler=sampler,
        num_workers=options.workers,
        worker_init_fn=_one_thread,
        pin_memory=fabric.device.type == "cuda",
    )


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
