"""The weights of a phase between those of two runs, the one of which went on from the other.

    python -m Training.average --phase conditioning --from runs/small runs/again --run runs/mean [--share 0.5]

A network trained on under harder conditions reads those better and the easy ones worse; half way between the two it often does
both at least as well, because the loss has no ridge between weights of one training path (Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from LDMSegLib.errors import InputError
from Training.checkpoints import trained_steps, trained_weights
from Training.command import one_sentence

PHASES = ("diffusion", "conditioning", "controlnet")


def between(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """(1 - share) of the first weights and `share` of the second, by name.

    Raises:
        InputError: they are not of one architecture.
    """
    shapes = [{name: tuple(weight.shape) for name, weight in weights.items()} for weights in (first, second)]
    if shapes[0] != shapes[1]:
        name = next(n for n in (*shapes[0], *shapes[1]) if shapes[0].get(n) != shapes[1].get(n))
        raise InputError(
            f"the weight '{name}' is {shapes[0].get(name, 'absent')} in the first run and {shapes[1].get(name, 'absent')} in the second, "
            "expected one architecture; give two runs of one configuration"
        )
    return {name: torch.lerp(weight, second[name], share) if weight.is_floating_point() else weight for name, weight in first.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phase", default="conditioning", choices=PHASES)
    parser.add_argument("--from", dest="sources", type=Path, nargs=2, required=True, help="the two run folders")
    parser.add_argument("--run", type=Path, required=True, help="run folder that gets the result, as a finished phase")
    parser.add_argument("--share", type=float, default=0.5, help="of the second run's weights, 0 to 1")
    args = parser.parse_args()
    with one_sentence():
        if not 0.0 <= args.share <= 1.0:
            raise InputError(f"--share is {args.share:g}, expected 0 to 1; give the part of the second run's weights")
        target = args.run / args.phase / "checkpoint.pt"
        if target.exists():
            raise InputError(f"{target} is there already, expected a run folder without it; delete it to average anew")
        (first, _), (second, extras) = (_trained(run, args.phase) for run in args.sources)
        done, steps = trained_steps(args.sources[1], args.phase)
        state = {"step": done, "steps": steps, "model": between(first, second, args.share), "averaged": None, "updates": 0}
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save({**state, "optimiser": None, "extras": extras}, target.with_suffix(".part"))
        os.replace(target.with_suffix(".part"), target)
        print(f"{target}: {1 - args.share:g} of {args.sources[0]} and {args.share:g} of {args.sources[1]}")


def _trained(run: Path, phase: str) -> tuple[dict[str, torch.Tensor], dict]:
    try:
        return trained_weights(run, phase)
    except FileNotFoundError:
        raise InputError(f"{run} holds no trained {phase}, expected two runs that do; run Training.{phase} with this --run first") from None


if __name__ == "__main__":
    main()
