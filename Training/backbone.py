"""A bundle whose conditioning network has learnt more: its backbone from a run folder, everything else as it was.

    python -m Training.backbone --bundle bundles/ldmseg-small --run runs/on --output bundles/on/ldmseg-small [--mantissa 4]

The ControlNet and its student know the backbone by what it says, not by its weights. Where it was trained on and says nearly the
same, a little more truly, they need not learn anew; whether that holds is for `Testing.benchmarks.accuracy` to show. All other
tensors stay byte for byte, so a repository's history grows by the backbone alone, and by half of that where its weights are rounded.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import Bundle, find_bundle, load_networks, save_bundle
from Training.checkpoints import trained_weights
from Training.command import one_sentence

NETWORK, PREFIX = "conditioning", "backbone."
FLOAT16_MANTISSA = 10


def rounded(weights: torch.Tensor, mantissa: int) -> torch.Tensor:
    """float16 values with so many bits of mantissa, the nearest ones, ties to even; the zeros at their end compress well.

    Args:
        weights: any shape and float type; finite in float16.
        mantissa: 1 to 10 bits; 10 leaves float16 as it is.
    """
    dropped = FLOAT16_MANTISSA - mantissa
    bits = weights.half().view(torch.int16).to(torch.int32)
    if dropped:
        last = (bits >> dropped) & 1
        bits = (bits + (1 << (dropped - 1)) - 1 + last) >> dropped << dropped
    return bits.to(torch.int16).view(torch.float16)


def with_backbone(bundle: Bundle, run: Path, output: Path, mantissa: int = FLOAT16_MANTISSA, overwrite: bool = False) -> Bundle:
    """Write the bundle with the backbone that was trained in `run`, and return it as read back.

    Raises:
        InputError: the run has no trained conditioning network, or one of another architecture; `mantissa` is impossible.
        OutputError: there is a bundle already and `overwrite` is False, or it cannot be written.
    """
    if not 1 <= mantissa <= FLOAT16_MANTISSA:
        raise InputError(f"--mantissa is {mantissa}, expected 1 to {FLOAT16_MANTISSA} bits; give another number")
    try:
        learnt, _ = trained_weights(run, NETWORK)
    except FileNotFoundError:
        raise InputError(f"{run} holds no trained {NETWORK} network; run Training.{NETWORK} with this --run first") from None
    networks = {name: network.state_dict() for name, network in load_networks(bundle).items()}
    there = {key.removeprefix(PREFIX): value for key, value in networks.get(NETWORK, {}).items() if key.startswith(PREFIX)}
    if {key: value.shape for key, value in there.items()} != {key: value.shape for key, value in learnt.items()}:
        raise InputError(
            f"{run} holds another {NETWORK} network than bundle '{bundle.name}', expected the same architecture; "
            "give the run of the configuration the bundle was made with"
        )
    networks[NETWORK] |= {PREFIX + key: rounded(value, mantissa) for key, value in learnt.items()}
    return save_bundle(output, bundle.specification, bundle.configurations, networks, overwrite=overwrite)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="the finished bundle's name or folder")
    parser.add_argument("--run", type=Path, required=True, help="run folder in which the conditioning network went on")
    parser.add_argument("--output", type=Path, required=True, help="the new bundle's folder")
    parser.add_argument("--mantissa", type=int, default=FLOAT16_MANTISSA, metavar="BITS", help="bits of mantissa that are kept (10, all)")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    arguments = parser.parse_args()
    with one_sentence():
        bundle = with_backbone(find_bundle(arguments.bundle), arguments.run, arguments.output, arguments.mantissa, arguments.overwrite)
        print(f"{bundle.folder}: the backbone of {arguments.run}")


if __name__ == "__main__":
    main()
