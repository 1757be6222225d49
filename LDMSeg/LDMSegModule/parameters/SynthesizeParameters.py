"""Parameters of a synthesis of masks, and its command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from LDMSegModule.parameters.Arguments import arguments
from LDMSegModule.parameters.SegmentParameters import AUTO


@dataclass(frozen=True)
class SynthesizeParameters:
    """One run of `ldmseg synthesize`.

    Attributes:
        output: The folder for the masks.
        count: How many.
        min_volume_ml: Smaller masks are drawn again.
        like: An image into whose brain they are drawn; None = the bundle's own space.
        any_shape: Whether masks of unusual shapes are kept too.
    """

    output: Path
    count: int = 8
    seed: int = 0
    min_volume_ml: float = 0.0
    like: Path | None = None
    bundle: str = ""
    device: str = AUTO
    batch_size: int = 8
    any_shape: bool = False

    def arguments(self) -> list[str]:
        """Return the arguments of `python -m LDMSegLib`."""
        options = {
            "-n": self.count,
            "-o": self.output,
            "--seed": self.seed,
            "--min-volume": self.min_volume_ml,
            "--device": self.device,
            "--batch-size": self.batch_size,
            "--like": self.like,
            "--bundle": self.bundle,
            "--any-shape": self.any_shape,
        }
        return arguments("synthesize", options)
