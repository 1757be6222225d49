"""What a segmentation is asked for, why it cannot be run like that, and how the command line is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from LDMSegLib.specification import Specification

PREPARE = AUTOMATIC, ALWAYS, NEVER = "automatic", "always", "never"
EXTRACTIONS = DEEPBET, HD_BET = "deepbet", "hd-bet"
AUTO, CPU = "auto", "cpu"


@dataclass(frozen=True)
class SegmentParameters:
    """One run of `ldmseg segment`. What is None or "" is left to the bundle.

    `inputs` maps a sequence's name to its NIfTI file; `threshold` is a probability; `prepare` is one of `PREPARE`,
    `brain_extraction` one of `EXTRACTIONS`, and `brain_mask` a file to use instead.
    """

    inputs: Mapping[str, Path]
    output: Path
    bundle: str = ""
    mode: str = ""
    members: int | None = None
    steps: int | None = None
    seed: int = 0
    threshold: float | None = None
    device: str = AUTO
    batch_size: int = 8
    threads: int | None = None
    prepare: str = ""
    brain_extraction: str = ""
    brain_mask: Path | None = None
    synthetic: bool = False
    overwrite: bool = False

    def problems(self, specification: Specification | None = None) -> list[str]:
        """Why this cannot be run, one sentence each; empty = it can. With a specification the bundle's own rules count too."""
        found = [f"No volume is chosen for {title}; choose one." for title in self._missing(specification)]
        found += [f"The file {path} of {name} is not there; export the volume again." for name, path in self._absent()]
        if not self.inputs and specification is None:
            found.append("No volumes are chosen; choose one for each sequence.")
        for title, value, least in (("members", self.members, 1), ("steps", self.steps, 1), ("batch size", self.batch_size, 1)):
            if value is not None and value < least:
                found.append(f"The number of {title} is {value}, expected {least} or more.")
        if self.seed < 0:
            found.append(f"The seed is {self.seed}, expected 0 or more.")
        if self.threshold is not None and not 0.0 < self.threshold <= 1.0:
            found.append(f"The threshold is {self.threshold:g}, expected a probability above 0 and at most 1.")
        for title, value, known in (("Preparation", self.prepare, PREPARE), ("Brain extraction", self.brain_extraction, EXTRACTIONS)):
            if value and value not in known:
                found.append(f"{title} is '{value}', expected one of {', '.join(known)}.")
        if specification is not None and self.mode and self.mode not in specification.modes:
            found.append(f"The bundle '{specification.name}' has no mode '{self.mode}'; choose one of {', '.join(specification.modes)}.")
        return found

    def arguments(self) -> list[str]:
        """The arguments of `python -m LDMSegLib`."""
        given = ["segment"]
        for name, path in self.inputs.items():
            given += [f"--{name}", str(path)]
        given += ["-o", str(self.output), "--seed", str(self.seed), "--device", self.device, "--batch-size", str(self.batch_size)]
        for option, value in (
            ("--bundle", self.bundle or None),
            ("--mode", self.mode or None),
            ("--members", self.members),
            ("--steps", self.steps),
            ("--threshold", self.threshold),
            ("--threads", self.threads),
            ("--prepare", self.prepare or None),
            ("--brain-extraction", self.brain_extraction or None),
            ("--brain-mask", self.brain_mask),
        ):
            if value is not None:
                given += [option, str(value)]
        return given + ["--synthetic"] * self.synthetic + ["--overwrite"] * self.overwrite

    def with_less_memory(self) -> SegmentParameters | None:
        """The same run in smaller batches, then one member at a time, then on the CPU; None where nothing is left to try."""
        if self.batch_size > 1:
            return replace(self, batch_size=max(1, self.batch_size // 4))
        return replace(self, device=CPU) if self.device != CPU else None

    def _missing(self, specification: Specification | None) -> list[str]:
        sequences = specification.sequences if specification else ()
        return [sequence.title for sequence in sequences if sequence.required and sequence.name not in self.inputs]

    def _absent(self) -> list[tuple[str, Path]]:
        mask = {} if self.brain_mask is None else {"the brain mask": self.brain_mask}
        return [(name, path) for name, path in {**self.inputs, **mask}.items() if not Path(path).exists()]
