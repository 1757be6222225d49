"""Undo an import that fails half-way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def all_or_nothing(scene: Any) -> Iterator[None]:
    """Take every node away again that the block has added (display nodes and colour tables too) when it ends in an error."""
    before = {node.GetID() for node in _nodes(scene)}
    try:
        yield
    except BaseException:
        for node in _nodes(scene):
            if node.GetID() not in before and node.GetScene() is scene:
                scene.RemoveNode(node)
        raise


def _nodes(scene: Any) -> list[Any]:
    return [scene.GetNthNode(k) for k in range(scene.GetNumberOfNodes())]
