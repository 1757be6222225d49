"""What a user would pick instead: one pass of MONAI's SegResNet, as in its BraTS bundle, at full resolution.

Run as a program of its own so that its memory is its own: python -m Testing.benchmarks.segresnet_pass CASE_DIR float32|bfloat16
Prints the seconds of the forward pass alone. Random weights: a pass costs the same whatever they are.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.networks.nets import SegResNet


def main(folder: str, precision: str) -> None:
    images = [np.asarray(nib.load(next(Path(folder).glob(f"*{name}.nii*"))).dataobj, np.float32) for name in ("t1c", "t1n", "t2w", "t2f")]
    x = torch.from_numpy(np.stack([(i - i[i != 0].mean()) / i[i != 0].std() * (i != 0) for i in images]))[None]
    padding = [p for n in reversed(x.shape[2:]) for p in (0, -n % 8)]
    dtype = getattr(torch, precision)
    x = torch.nn.functional.pad(x, padding).to(dtype)
    network = SegResNet(blocks_down=[1, 2, 2, 4], blocks_up=[1, 1, 1], init_filters=16, in_channels=4, out_channels=3, dropout_prob=0.2)
    network = network.to(dtype).eval()
    with torch.inference_mode():
        start = time.monotonic()
        network(x)
        print(time.monotonic() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
