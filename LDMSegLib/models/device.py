"""Where the networks run, and in which precision that pays."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import torch

from LDMSegLib.errors import InputError

_log = logging.getLogger(__name__)
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Device:
    """`kind` is "cpu", "cuda" (or "cuda:1") or "mps"; `dtype` what the networks compute in; `name` for people."""

    kind: str
    dtype: torch.dtype
    name: str

    @property
    def precision(self) -> str:
        """The floating-point type that networks run in, as provenance names it."""
        return str(self.dtype).removeprefix("torch.")


def choose_device(kind: str = "auto", precision: str = "auto") -> Device:
    """Pick a device: CUDA, then Apple's MPS, then the CPU, unless told which.

    bfloat16 is chosen where the hardware multiplies it faster than float32: CUDA from compute capability 8.0, CPUs with
    AVX512-BF16 or AMX. Elsewhere (older CPUs, MPS) it would be emulated, so float32 stays.

    Args:
        kind: "auto", "cpu", "cuda", "cuda:N" or "mps".
        precision: "auto", "bfloat16" or "float32".

    Raises:
        InputError: the device is not there or the name is unknown.
    """
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,4})?", kind):
        raise InputError(
            f"the device is '{kind}', expected one of {', '.join(DEVICES)} or cuda:N with the number N of a GPU, e.g. cuda:1; choose one "
            "of these with --device"
        )
    base = kind.partition(":")[0]
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[base]
    if not present:
        raise InputError(
            f"the device '{kind}' is not available to this torch ({torch.__version__}); use --device cpu or install a torch for it"
        )
    if base == "cuda":
        number = int(kind.partition(":")[2]) if ":" in kind else torch.cuda.current_device()
        if number >= torch.cuda.device_count():
            raise InputError(f"the device is '{kind}', but there are {torch.cuda.device_count()} CUDA devices; choose a lower number")
        fast, name = torch.cuda.get_device_capability(number) >= (8, 0), torch.cuda.get_device_name(number)
    elif base == "cpu":
        fast, name = _cpu_multiplies_bfloat16(), f"CPU ({torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"
    else:
        fast, name = False, "Apple GPU"
    dtypes = {"auto": torch.bfloat16 if fast else torch.float32, "bfloat16": torch.bfloat16, "float32": torch.float32}
    if precision not in dtypes:
        raise InputError(f"the precision is '{precision}', expected one of {', '.join(dtypes)}; choose one of these with --precision")
    _log.info("device %s, %s", kind, precision)
    return Device(kind, dtypes[precision], name)


def _cpu_multiplies_bfloat16() -> bool:
    # Private names of torch, so their absence in another version means "don't know": float32 is always right.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)
