"""What `Training.prepare` has written, read again: cases by number, label maps, validation cases; never one that the split keeps out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from LDMSegLib.errors import InputError
from Training.configuration import Configuration

COPIES = "bias_corrected"
"""The folder below run/data of what `Training.bias_corrected` writes."""

# Cases stay in memory up to this size together; beyond it (BraTS at 1 mm is 120 GB) each is read when its turn comes.
IN_MEMORY_BYTES = 8 * 2**30


class Validation(Dataset):
    """The held-out cases, untouched: `name`, `image`, `regions`."""

    def __init__(self, run: Path) -> None:
        self._cases = PreparedCases(sorted((run / "data" / "validation").glob("*.npz")))

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> dict:
        name, image, regions = self._cases[index]
        return {
            "name": name,
            "image": torch.from_numpy(image.astype(np.float32)),
            "regions": torch.from_numpy(regions.astype(np.float32) / 255),
        }


class Packed:
    """Region maps of one case, compressed: they are mostly empty."""

    def __init__(self, regions: np.ndarray) -> None:
        self._bytes, self._shape = zlib.compress(regions.tobytes(), 1), regions.shape

    def unpacked(self) -> np.ndarray:
        return np.frombuffer(zlib.decompress(self._bytes), np.uint8).reshape(self._shape)


class PreparedCases:
    """Prepared cases by number, each (name, image, regions): in memory where they fit, else from their files."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._kept: list | None = None
        if paths and len(paths) * sum(array.nbytes for array in _case(paths[0])[1:]) <= IN_MEMORY_BYTES:
            self._kept = [_case(path) for path in paths]

    @property
    def names(self) -> list[str]:
        """Of the cases, in their order."""
        return [path.stem for path in self._paths]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[str, np.ndarray, np.ndarray]:
        if index >= len(self._paths):
            raise IndexError(index)
        return _case(self._paths[index]) if self._kept is None else self._kept[index]


def _case(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    with np.load(path) as archive:
        return path.stem, archive["image"], archive["regions"]


def region_maps(paths: list[Path]) -> Iterator[np.ndarray]:
    """Yield the region maps (R, X, Y, Z) uint8 of prepared cases, in the order of their files."""
    for path in paths:
        with np.load(path) as archive:
            yield archive["regions"]


def training_files(folder: Path, configuration: Configuration) -> list[Path]:
    """The prepared training cases in their order, without those of the fold that is left out."""
    paths = sorted(folder.glob("*.npz"))
    refuse_held_out([path.stem for path in paths], folder, configuration)
    return [path for path in paths if not configuration.leaves_out(path.stem)]


def refuse_held_out(names: Iterable[str], where: Path, configuration: Configuration) -> None:
    """The split may have changed since the data was prepared: what it names now must not be trained on all the same."""
    for name in names:
        if configuration.keeps_out(str(name)):
            raise InputError(
                f"{where} holds '{name}', which the configuration's split keeps out of training; delete {where.parent} and run "
                "Training.prepare again, or give another --run"
            )
