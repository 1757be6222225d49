"""How long a case would take on a GPU: an ESTIMATE from counted operations, for where no GPU is at hand to measure.

    python -m Testing.benchmarks.gpu_estimate [--bundle B] [--mode M] [--peak 60] [--reached 0.1] [--around 4]

Counted are the multiplications and additions of one reading, one step and one decoding; the GPU is believed to reach
`--reached` of its `--peak` (TFLOP/s in bfloat16). Convolutions of few channels on small grids are bound by memory and launches
and reach little of it: hence a tenth. `--around` are the seconds for starting, reading, resampling and writing, which stay on the
CPU (`python -m Testing.benchmarks.speed` measures them). On a machine with a GPU, that benchmark measures; this one only thinks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from Testing.benchmarks.common import parser
from Testing.benchmarks.process import table


def main() -> None:
    command = parser(__doc__, "mode")
    command.add_argument("--peak", type=float, default=60.0, help="TFLOP/s of the GPU in bfloat16")
    command.add_argument("--reached", type=float, default=0.1, help="share of it that is reached")
    command.add_argument("--around", type=float, default=4.0, help="seconds outside the networks")
    arguments = command.parse_args()
    bundle = find_bundle(arguments.bundle)
    spec = bundle.specification
    mode = sampling_mode(spec, arguments.mode, None, None)
    model = Model(bundle, mode, choose_device("cpu"))
    mri = np.zeros((len(spec.sequences), *spec.grid.shape), np.float32)
    (embedding, _), reading = counted(lambda: model.read(mri))
    noise = torch.zeros(1, *model.latent_shape(spec.grid.shape))
    with torch.inference_mode():
        _, step = counted(lambda: model.denoiser(embedding)(noise, torch.zeros(1, dtype=torch.int64)))
        _, decoding = counted(lambda: model.decode(noise))
    rows = [
        ("reading the MRI", reading, min(mode.views, mode.members)),
        ("a step of a member", step, mode.steps * mode.members),
        ("decoding a member", decoding, mode.members),
    ]
    total = sum(each * times for _, each, times in rows)
    body = [(what, f"{each:.3f}", str(times), f"{each * times:.2f}") for what, each, times in rows] + [("all", "", "", f"{total:.2f}")]
    print(table(f"Operations of one case, mode {arguments.mode or spec.default_mode}", ("what", "TFLOP", "times", "TFLOP in all"), body))
    seconds = total / (arguments.peak * arguments.reached)
    print(
        f"\nEstimated, not measured: {seconds:.1f} s in the networks at {arguments.reached:.0%} of {arguments.peak:g} TFLOP/s, "
        f"{seconds + arguments.around:.1f} s with {arguments.around:g} s around them."
    )


def counted(work: Callable[[], Any]) -> tuple[Any, float]:
    """(what it gives, how many 10^12 floating-point operations it took)."""
    with FlopCounterMode(display=False) as counter:
        out = work()
    return out, counter.get_total_flops() / 1e12


if __name__ == "__main__":
    main()
