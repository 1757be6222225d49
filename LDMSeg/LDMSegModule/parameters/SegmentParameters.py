"""Parameters of a segmentation, and its command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from LDMSegModule.parameters.Arguments import arguments

AUTOMATIC, ALWAYS, NEVER = "automatic", "always", "never"
DEEPBET, HD_BET = "deepbet", "hd-bet"
AUTO, CPU = "auto", "cpu"


@dataclass(frozen=True)
class SegmentParameters:
    """One run of `ldmseg segment`. What is None or "" is left to the bundle.

    Attributes:
        inputs: Sequence name → NIfTI file.
        output: The folder for the result.
        threshold: A probability.
        prepare: AUTOMATIC, ALWAYS or NEVER.
        brain_extraction: DEEPBET or HD_BET.
        brain_mask: A NIfTI file to use instead of extracting the brain.
        site_rules: The file by which the inputs were chosen, for the record.
        synthetic: Whether the images were computed and are no patient's.
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
    prepare: str = ""
    brain_extraction: str = ""
    brain_mask: Path | None = None
    site_rules: Path | None = None
    synthetic: bool = False

    def arguments(self) -> list[str]:
        """Return the arguments of `python -m LDMSegLib`."""
        options = {
            **{f"--{name}": path for name, path in self.inputs.items()},
            "-o": self.output,
            "--seed": self.seed,
            "--device": self.device,
            "--batch-size": self.batch_size,
            "--bundle": self.bundle,
            "--mode": self.mode,
            "--members": self.members,
            "--steps": self.steps,
            "--threshold": self.threshold,
            "--prepare": self.prepare,
            "--brain-extraction": self.brain_extraction,
            "--brain-mask": self.brain_mask,
            "--site-rules": self.site_rules,
            "--synthetic": self.synthetic,
        }
        return arguments("segment", options)

    def with_less_memory(self) -> SegmentParameters | None:
        """Return the same run in smaller batches, then one member at a time, then on the CPU; None where nothing is left to try."""
        if self.batch_size > 1:
            return replace(self, batch_size=max(1, self.batch_size // 4))
        return replace(self, device=CPU) if self.device != CPU else None
