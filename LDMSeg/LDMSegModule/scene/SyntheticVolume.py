"""Mark volumes of the synthetic patient when they are loaded, and recognise them later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

ATTRIBUTE = "LDMSeg.SyntheticImage"


def load_synthetic(path: Path, name: str) -> Any:
    """Load a volume of the synthetic patient under a name, and mark it."""
    node = slicer.util.loadVolume(str(path), {"name": name, "show": True})
    node.SetAttribute(ATTRIBUTE, "yes")
    return node


def is_synthetic(node: Any) -> bool:
    """Whether a volume is synthetic: from our sample, or called so in its name."""
    return node.GetAttribute(ATTRIBUTE) == "yes" or "synthetic" in node.GetName().lower()
