"""Files that appear whole or not at all, so that whoever is killed while writing leaves nothing that looks finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from LDMSegLib.io.atomic_file import atomic_file


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """As `atomic_file`, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as unfinished:
        yield unfinished


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_arrays(path: Path, compressed: bool = True, **arrays: np.ndarray) -> None:
    """An .npz file."""
    with whole_file(path) as partial, partial.open("wb") as stream:
        (np.savez_compressed if compressed else np.savez)(stream, **arrays)
