"""Files that appear whole or not at all, so that whoever is killed while writing leaves nothing that looks finished."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, and put what was written there into its place at the end. The folder is made.

    Several processes may write the same file at once: the last one's stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_arrays(path: Path, compressed: bool = True, **arrays: np.ndarray) -> None:
    """An .npz file."""
    with whole_file(path) as partial, partial.open("wb") as stream:
        (np.savez_compressed if compressed else np.savez)(stream, **arrays)
