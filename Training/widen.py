"""A phase begins with what another run learnt, in a network as wide or wider, instead of from nothing.

    python -m Training.widen --phase conditioning --from runs/narrow --config Training/configs/small.json --run runs/small

With the same widths the weights are the same ones, and only the learning rate's schedule begins anew.

Every channel is copied, and what reads it reads each copy with its share of the old weight, so that the wider network
computes what the narrow one did (Chen et al. 2016, Net2Net, arXiv:1511.05641, section 2.3). Copies stand side by side and a
normalisation group holds all copies of its channels, so its mean and variance stay as well. The shares are uneven; without
that, copies would get equal gradients and stay copies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from LDMSegLib.errors import InputError
from LDMSegLib.models.networks import build
from Training.checkpoints import START, trained_weights
from Training.command import one_sentence
from Training.configuration import Configuration, read_configuration


def widen(narrow: dict[str, torch.Tensor], wide: nn.Module, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights for `wide` under which it computes what the narrow network did.

    Args:
        narrow: the narrow network's weights, by the same names as the wide one's.
        wide: the same architecture, each inner width a whole multiple. Its weights are not changed.
        seed: draws the shares.

    Raises:
        InputError: a weight is missing or its shape is not a multiple of the narrow one's.
    """
    generator = torch.Generator().manual_seed(seed)
    return {name: _widened(name, narrow.get(name), target, generator) for name, target in wide.state_dict().items()}


def _widened(name: str, source: torch.Tensor | None, target: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    fits = source is not None and source.dim() == target.dim()
    if not fits or any(wide % narrow for wide, narrow in zip(target.shape[:2], source.shape[:2], strict=True)):
        found = "none" if source is None else "x".join(map(str, source.shape))
        raise InputError(
            f"the weight '{name}' is {found} in the narrow network and {'x'.join(map(str, target.shape))} in the wide one, expected whole "
            "multiples; change only the widths between the two configurations"
        )
    out = source
    if out.dim() > 1 and (copies := target.shape[1] // source.shape[1]) > 1:
        shares = 0.5 + torch.rand(source.shape[1], copies, generator=generator)
        shares = (shares / shares.sum(dim=1, keepdim=True)).reshape(1, -1, *[1] * (out.dim() - 2))
        out = out.repeat_interleave(copies, dim=1) * shares
    return out.repeat_interleave(target.shape[0] // source.shape[0], dim=0) if out.dim() else out


def beginning(configuration: Configuration, phase: str, source: Path, run: Path) -> dict[str, torch.Tensor]:
    """The weights with which a phase of `run` begins, learnt in the run folder `source`.

    Diffusion and conditioning stand alone. The ControlNet phase holds the frozen backbone of its conditioning network too: that
    is the one trained in `run`, not the one that the ControlNet of `source` looked through.

    Raises:
        InputError: a phase is not trained where it has to be, or the widths do not fit.
    """
    if phase == "diffusion":
        return widen(_trained(source, phase), build(configuration.networks["unet"]))
    conditioning = build(configuration.networks["conditioning"])
    if phase == "conditioning":
        return widen(_trained(source, phase), conditioning.backbone)
    both = nn.ModuleDict({"conditioning": conditioning, "controlnet": build(configuration.networks["controlnet"])})
    backbone = {f"conditioning.backbone.{name}": weight for name, weight in _trained(run, "conditioning").items()}
    return {**widen(_trained(source, phase), both), **backbone}


def _trained(run: Path, phase: str) -> dict[str, torch.Tensor]:
    try:
        return trained_weights(run, phase)[0]
    except FileNotFoundError:
        raise InputError(f"{run} holds no trained {phase}; run Training.{phase} with this --run first") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--phase", default="conditioning", choices=["diffusion", "conditioning", "controlnet"], help="whose weights are taken"
    )
    parser.add_argument("--from", dest="source", type=Path, required=True, help="run folder in which they were learnt")
    parser.add_argument("--config", type=Path, required=True, help="configuration of the networks that go on")
    parser.add_argument("--run", type=Path, required=True, help="run folder in which they will be trained")
    args = parser.parse_args()
    with one_sentence():
        weights = beginning(read_configuration(args.config), args.phase, args.source, args.run)
        target = args.run / args.phase / START
        if target.exists():
            raise InputError(f"{target} is there already, expected a run folder without it; delete it to begin anew")
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save(weights, target)
        print(f"{target}: training of {args.phase} in this run folder begins with it")


if __name__ == "__main__":
    main()
