"""Telling that memory ran out from everything else that can fail, and giving back what a failed try still holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SIGNS = (
    "out of memory",  # CUDA, MPS, XPU
    "can't allocate memory",  # torch's CPU allocator
    "not enough memory",  # the same on Windows
    "alloc_failed",  # cuBLAS and cuDNN workspaces
    "bad_alloc",  # C++
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error means that an allocation failed for want of memory, on whatever device."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


class OutOfMemory(Exception):
    """Memory ran out in a part that can be tried again."""


@contextmanager
def noticing_out_of_memory() -> Iterator[None]:
    """Raise `OutOfMemory` for every error that means it; others pass unchanged."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory from error
        raise


def release(device: torch.device) -> None:
    """Return unused cached memory to the device. Call it outside the `except` block: there the traceback holds the tensors."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def synchronize(device: torch.device) -> None:
    """Wait for the device, so that a step that returned is a step that is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
