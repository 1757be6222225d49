"""Why the packages cannot be installed in this Slicer at all, known before anything is downloaded, and what to do instead."""

from __future__ import annotations

import platform
import sys

from LDMSegModule.install.Installed import Installed
from LDMSegModule.install.Requirement import PYTHON, TORCH

LAST_TORCH_FOR_INTEL_MACS = (2, 2)


def obstacle(
    installed: Installed, system: str = sys.platform, machine: str | None = None, python: tuple[int, ...] = tuple(sys.version_info[:2])
) -> str:
    """One sentence or two; "" where nothing stands in the way.

    Args:
        installed: what is there; a package that is there and works needs no installing.
        system, machine, python: of Slicer's own Python. A Slicer for Intel processors says so on a Mac with Apple silicon too, and
            pip then looks for packages for Intel.
    """
    if installed.ready:
        return ""
    if python < PYTHON:
        found, wanted = (".".join(map(str, version)) for version in (python, PYTHON))
        return (
            f"LDMSeg's packages cannot be installed in this Slicer: its Python is {found}, expected {wanted} or newer. Use a newer Slicer "
            "(5.10 or later)."
        )
    machine = platform.machine() if machine is None else machine
    if (
        system == "darwin"
        and machine.lower() in ("x86_64", "amd64")
        and installed.torch_wanted
        and TORCH.numbers > LAST_TORCH_FOR_INTEL_MACS
    ):
        last = ".".join(map(str, LAST_TORCH_FOR_INTEL_MACS))
        return (
            f"PyTorch {TORCH.least}, which LDMSeg needs, cannot be installed in this Slicer: it is built for Macs with Intel processors, "
            f"for which PyTorch ends with {last}. Use Slicer on Linux or Windows; or, on a Mac with Apple silicon, run the command line "
            "in a Python of your own (pip install ldmseg; ldmseg segment CASE -o RESULT) and bring the result into this Slicer "
            "by its Python console: slicer.util.getModuleLogic('LDMSeg').loadResult('RESULT')."
        )
    return ""
