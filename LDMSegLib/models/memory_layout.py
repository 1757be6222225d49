"""In which order the numbers of a network lie in memory."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def lay_channels_last(networks: Iterable[torch.nn.Module]) -> None:
    """Lay the weights so that 3D convolutions compute with all channels of a voxel side by side; their results follow.

    For bfloat16 on a CPU: it takes 6 to 43 % of a network's time away and is as exact (`Testing.benchmarks.channels_last`). In
    float32 it saves as much, but torch's group normalisation then works on sums of squares, six to a hundred and seventy times less
    exactly, and exactness is what float32 is for.
    """
    for network in networks:
        network.to(memory_format=torch.channels_last_3d)
