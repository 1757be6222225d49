"""What the order of the weights in memory is worth: each network of a bundle, plain and with channels last, in one run.

    python -m Testing.benchmarks.channels_last [--bundle B] [--repeats N]

The time is the shortest of N; the error is the mean distance from the same network in float64, plainly laid, over the standard
deviation of its output.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from LDMSegLib.models.bundle import find_bundle, load_networks
from LDMSegLib.models.layout import Bundle
from LDMSegLib.models.memory_layout import lay_channels_last
from Testing.benchmarks.process import machine, table

NETWORKS = ("conditioning", "controlnet", "unet", "autoencoder")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    bundle = find_bundle(arguments.bundle)
    exact = {name: answer() for name, answer in _answers(bundle, torch.float64, last=False).items()}
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        found = {last: _measured(_answers(bundle, dtype, last), exact, arguments.repeats) for last in (False, True)}
        for name in NETWORKS:
            (plain, error), (last, error_last) = found[False][name], found[True][name]
            rows.append((name, str(dtype)[6:], f"{plain:.3f}", f"{last:.3f}", f"{last / plain:.2f}", f"{error:.1e}", f"{error_last:.1e}"))
    print(f"Machine: {machine()}. Bundle {bundle.name}.")
    head = ("network", "precision", "plain s", "channels last s", "ratio", "error, plain", "error, channels last")
    print(table("Channels last against the plain order", head, rows))


def _measured(
    answers: dict[str, Callable[[], torch.Tensor]], exact: dict[str, torch.Tensor], repeats: int
) -> dict[str, tuple[float, float]]:
    """Seconds and error of each network."""
    out = {}
    for name, answer in answers.items():
        value, seconds = answer(), []
        for _ in range(repeats):
            start = time.perf_counter()
            answer()
            seconds.append(time.perf_counter() - start)
        out[name] = min(seconds), float((value.double() - exact[name]).abs().mean() / exact[name].std())
    return out


def _answers(bundle: Bundle, dtype: torch.dtype, last: bool) -> dict[str, Callable[[], torch.Tensor]]:
    """Each network as a question without arguments: the MRI of a case, or the latents of four members, is noise from one seed."""
    spec = bundle.specification
    networks = load_networks(bundle, "cpu", dtype, NETWORKS)
    if last:
        lay_channels_last(networks.values())
    noise = torch.Generator().manual_seed(0)
    cells = tuple(n // spec.latent.downsampling for n in spec.grid.shape)
    mri = torch.randn(1, len(spec.sequences), *spec.grid.shape, generator=noise).to(dtype)
    x = torch.randn(4, spec.latent.channels, *cells, generator=noise).to(dtype)
    width = bundle.configurations["conditioning"]["out_channels"]
    embedding = torch.randn(4, width, *cells, generator=noise).to(dtype)
    t = torch.full((4,), spec.schedule.steps // 2)
    return {
        "conditioning": lambda: networks["conditioning"].logits(mri),
        "controlnet": lambda: networks["controlnet"](x, t, embedding)[1],
        "unet": lambda: networks["unet"](x, t),
        "autoencoder": lambda: networks["autoencoder"].decode(x[:1]),
    }


if __name__ == "__main__":
    main()
