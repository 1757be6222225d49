"""Weights of phases as half-precision files: small enough for a repository or a transfer between machines.

    python -m Training.weights save    --run runs/small --folder Training/weights
    python -m Training.weights restore --run runs/small --folder Training/weights

A restored finished phase serves the phases after it. A restored unfinished one begins anew from its weights, with a fresh optimiser
and learning rate, because half precision and a lost optimiser state cannot continue a run bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from LDMSegLib.errors import InputError
from Training.checkpoints import CHECKPOINT, START, read_checkpoint
from Training.command import one_sentence, parser
from Training.files import whole_file

SUFFIX = ".safetensors"


def save_weights(run: Path, phase: str, folder: Path) -> Path:
    """Write the averaged weights of a phase as `<folder>/<phase>.safetensors`, float16 where they fit into it.

    Args:
        run: the run folder.
        phase: the phase's folder in it, e.g. `conditioning_without_2`.
        folder: created where it does not exist; a file of the same phase is replaced.

    Raises:
        InputError: the phase has not been trained in this run folder.
    """
    checkpoint = read_checkpoint(run / phase)
    if checkpoint is None:
        raise InputError(f"{run} holds no trained {phase}, expected a checkpoint; train it first or name another --run")
    weights = {key: _half(value).contiguous() for key, value in (checkpoint["averaged"] or checkpoint["model"]).items()}
    about = {key: json.dumps(checkpoint[key]) for key in ("step", "steps", "extras")}
    target = folder / f"{phase}{SUFFIX}"
    with whole_file(target) as partial:
        save_file(weights, partial, metadata=about)
    return target


def restore_weights(folder: Path, run: Path) -> list[str]:
    """Put saved weights into a run folder, for phases that have no checkpoint there.

    Returns:
        The phases that were restored.
    """
    restored = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        target = run / path.stem
        if (target / CHECKPOINT).exists() or (target / START).exists():
            continue
        with safe_open(path, "pt") as file:
            weights = {key: _single(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118 -- it is no dict
            about = {key: json.loads(value) for key, value in file.metadata().items()}
        finished = about["step"] >= about["steps"]
        state = {**about, "model": weights, "averaged": None, "updates": 0, "optimiser": None} if finished else weights
        with whole_file(target / (CHECKPOINT if finished else START)) as partial:
            torch.save(state, partial)
        restored.append(path.stem)
    return restored


def _half(value: torch.Tensor) -> torch.Tensor:
    half = value.half() if value.is_floating_point() else value
    return half if half.isfinite().all() else value


def _single(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def main() -> None:
    """The command line."""
    command = parser(__doc__, "run")
    command.add_argument("what", choices=["save", "restore"])
    command.add_argument("--folder", type=Path, required=True, help="of the half-precision files")
    arguments = command.parse_args()
    with one_sentence():
        if arguments.what == "restore":
            done = restore_weights(arguments.folder, arguments.run)
        else:
            phases = sorted(path.parent.name for path in arguments.run.glob(f"*/{CHECKPOINT}"))
            done = [save_weights(arguments.run, phase, arguments.folder).name for phase in phases]
    print(", ".join(done) or "nothing to do")


if __name__ == "__main__":
    main()
