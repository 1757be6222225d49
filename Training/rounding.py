"""A bundle's weights with fewer bits, so that a new version of them costs a repository little.

    python -m Training.rounding --bundle bundles/ldmseg-small --networks conditioning --bits 4

Weights are noise to a compressor, which finds next to nothing in a float16's ten bits of mantissa. Rounded to a few of them, the
rest are zeros: the conditioning network costs 5.2 MiB with four instead of 9. The file keeps its size and format. Measure after
rounding (calibration, accuracy), since it is the rounded network that is used.
"""

from __future__ import annotations

import argparse

import torch

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import find_bundle, load_networks, save_bundle
from LDMSegLib.models.layout import LICENSE, README
from Training.command import one_sentence

MANTISSA = 10
"""Bits of a float16's mantissa."""


def rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The nearest float16 with so many bits of mantissa, of two equally near ones the even one; what is no float stays as it is.

    Args:
        weight: of any shape, with values that float16 can hold.
        bits: 0 to 10.
    """
    if not weight.is_floating_point():
        return weight
    low = MANTISSA - bits
    # As bits, floats of one sign are in their order, and a carry out of the mantissa goes into the exponent as it should.
    pattern = weight.to(torch.float16).view(torch.int16).to(torch.int32) & 0xFFFF
    sign, size = pattern & 0x8000, pattern & 0x7FFF
    half = ((1 << low) >> 1) - 1 + ((size >> low) & 1) if low else torch.zeros_like(size)
    size = (size + half) >> low << low
    pattern = sign | size
    return torch.where(pattern >= 0x8000, pattern - 0x10000, pattern).to(torch.int16).view(torch.float16).to(weight.dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, help="the bundle's name or folder; it is rewritten")
    parser.add_argument("--networks", nargs="+", required=True)
    parser.add_argument("--bits", type=int, required=True, help="of mantissa that are kept, 0 to 10")
    arguments = parser.parse_args()
    with one_sentence():
        if not 0 <= arguments.bits <= MANTISSA:
            raise InputError(f"--bits is {arguments.bits}, expected 0 to {MANTISSA}; give how much of the mantissa is kept")
        bundle = find_bundle(arguments.bundle)
        states = {name: network.state_dict() for name, network in load_networks(bundle, "cpu", torch.float32).items()}
        if unknown := sorted(set(arguments.networks) - set(states)):
            raise InputError(f"bundle '{bundle.name}' has no network '{unknown[0]}', expected some of {', '.join(states)}")
        for name in arguments.networks:
            states[name] = {key: rounded(weight, arguments.bits) for key, weight in states[name].items()}
        texts = {file: (bundle.folder / file).read_text(encoding="utf-8") for file in (LICENSE, README)}
        save_bundle(bundle.folder, bundle.specification, bundle.configurations, states, bundle.metadata, documents=texts, overwrite=True)
    print(f"{bundle.folder}: {', '.join(arguments.networks)} rounded to {arguments.bits} bits of mantissa")


if __name__ == "__main__":
    main()
