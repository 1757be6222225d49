"""What new masks are asked for, why they cannot be drawn like that, and how the command line is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from LDMSegLib.specification import Specification
from LDMSegModule.parameters.SegmentParameters import AUTO, CPU


@dataclass(frozen=True)
class SynthesizeParameters:
    """One run of `ldmseg synthesize`. `like` is an image into whose brain they are drawn, None = the bundle's own space. With
    `any_shape`, masks of unusual shapes are kept too.
    """

    output: Path
    count: int = 8
    seed: int = 0
    min_volume_ml: float = 0.0
    like: Path | None = None
    bundle: str = ""
    steps: int | None = None
    threshold: float | None = None
    device: str = AUTO
    batch_size: int = 8
    threads: int | None = None
    overwrite: bool = False
    any_shape: bool = False

    def problems(self, specification: Specification | None = None) -> list[str]:
        """Why this cannot be run, one sentence each; empty = it can."""
        found = []
        for title, value in (("masks", self.count), ("steps", self.steps), ("masks at once", self.batch_size)):
            if value is not None and value < 1:
                found.append(f"The number of {title} is {value}, expected 1 or more.")
        if self.seed < 0:
            found.append(f"The seed is {self.seed}, expected 0 or more.")
        if not 0.0 <= self.min_volume_ml < math.inf:
            found.append(f"The smallest volume is {self.min_volume_ml:g} mL, expected 0 or more.")
        if self.threshold is not None and not 0.0 < self.threshold <= 1.0:
            found.append(f"The threshold is {self.threshold:g}, expected a probability above 0 and at most 1.")
        if self.like is not None and not Path(self.like).exists():
            found.append(f"The image {self.like} is not there; export the volume again.")
        if specification is not None and not _draws(specification):
            found.append(f"The bundle '{specification.name}' cannot draw masks; choose another one.")
        return found

    def arguments(self) -> list[str]:
        """The arguments of `python -m LDMSegLib`."""
        given = ["synthesize", "-n", str(self.count), "-o", str(self.output), "--seed", str(self.seed)]
        given += ["--min-volume", f"{self.min_volume_ml:g}", "--device", self.device, "--batch-size", str(self.batch_size)]
        for option, value in (
            ("--like", self.like),
            ("--bundle", self.bundle or None),
            ("--steps", self.steps),
            ("--threshold", self.threshold),
            ("--threads", self.threads),
        ):
            if value is not None:
                given += [option, str(value)]
        return given + ["--overwrite"] * self.overwrite + ["--any-shape"] * self.any_shape

    def with_less_memory(self) -> SynthesizeParameters | None:
        """As `SegmentParameters.with_less_memory`."""
        if self.batch_size > 1:
            return replace(self, batch_size=max(1, self.batch_size // 4))
        return replace(self, device=CPU) if self.device != CPU else None


def _draws(specification: Specification) -> bool:
    mode = specification.modes.get(specification.synthesis_mode)
    return mode is not None and mode.controlnet is None
