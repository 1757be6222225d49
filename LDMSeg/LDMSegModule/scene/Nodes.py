"""The nodes of a scene."""

from __future__ import annotations

from typing import Any


def nodes_of(scene: Any, kind: str) -> list[Any]:
    """Return a scene's nodes of a class, those of derived classes included, in the order in which they were added; none without a scene."""
    return [] if scene is None else [scene.GetNthNodeByClass(k, kind) for k in range(scene.GetNumberOfNodesByClass(kind))]
