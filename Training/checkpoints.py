"""What a phase keeps between two calls: one file, replaced at once, so that a kill leaves the last whole one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from LDMSegLib.errors import InputError
from Training.files import whole_file

# Weights that a phase begins with, where something has put them into its folder (see `weights`).
START = "start.pt"
CHECKPOINT = "checkpoint.pt"
WITHOUT = "_without_"


def trained_weights(run: Path, phase: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The averaged weights (or the last ones, without averaging) of a phase and its extras.

    Raises:
        InputError: the phase has not been trained in this run folder.
    """
    checkpoint = read_checkpoint(run / phase)
    if checkpoint is None:
        name, _, fold = phase.partition(WITHOUT)
        how = f" with --fold {fold}" if fold else ""
        raise InputError(f"{run} holds no trained {phase}; run Training.{name}{how} with this --run first")
    return checkpoint["averaged"] or checkpoint["model"], checkpoint["extras"]


def phase_folder(phase: str, fold: int | None = None) -> str:
    """Where a phase lies in its run folder: `conditioning`, or `conditioning_without_2` where fold 2 was left out."""
    return phase if fold is None else f"{phase}{WITHOUT}{fold}"


def trained_steps(run: Path, phase: str) -> tuple[int, int]:
    """(steps done, steps asked for) of a phase; (0, 0) before its first checkpoint."""
    checkpoint = read_checkpoint(run / phase)
    return (int(checkpoint["step"]), int(checkpoint["steps"])) if checkpoint else (0, 0)


def save(fabric: Fabric, folder: Path, task: Any, optimiser: Any, averaged: AveragedModel | None, done: int, steps: int) -> None:
    """Write `checkpoint.pt`, from the first process alone; the others wait."""
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
        with whole_file(folder / CHECKPOINT) as partial:
            torch.save(state, partial)
    fabric.barrier()


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """What `save` wrote into a phase's folder, on the CPU; None before that."""
    path = folder / CHECKPOINT
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def begin(folder: Path, model: nn.Module) -> None:
    """Put the weights a phase is to begin with into a fresh model, if there are any.

    Raises:
        InputError: they are another network's.
    """
    path = folder / START
    if not path.exists():
        return
    try:
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except RuntimeError:
        raise InputError(f"{path} holds other networks than the configuration's, expected the same; delete it and make it anew") from None


def resume(folder: Path, state: dict[str, Any], model: nn.Module, optimiser: torch.optim.Optimizer, averaged: AveragedModel | None) -> None:
    """Put a checkpoint's state into fresh objects.

    Raises:
        InputError: it holds weights alone, or other networks' weights.
    """
    if state.get("optimiser") is None:
        raise InputError(
            f"{folder / CHECKPOINT} holds the weights of step {state['step']} without the optimiser's state, so it cannot be trained "
            "further; bring the whole checkpoint, or delete it and train the phase anew"
        )
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        if averaged is not None and state["averaged"] is not None:
            averaged.module.load_state_dict(state["averaged"])
            averaged.n_averaged.fill_(state["updates"])
    except (RuntimeError, ValueError):
        raise InputError(
            f"{folder / CHECKPOINT} holds other networks than the configuration's, expected the same; give another --run, or delete "
            "it and train the phase anew"
        ) from None
