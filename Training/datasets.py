"""What each phase learns from. Item i is a pure function of (seed, i): a resumed run sees what it would have seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch.utils.data import Dataset

from LDMSegLib.errors import InputError
from Training.augmentation import deform, drop_sequences, flip, recolour
from Training.configuration import Configuration, Phase
from Training.prepared_cases import COPIES, Packed, PreparedCases, refuse_held_out, region_maps, training_files
from Training.small_lesions import shrunk, small_lesion_in_labels, stands_out
from Training.transplant import transplant

SMALL, MOST_LESIONS = (0.3, 0.8), 3
"""Sizes of synthetic small lesions, as shares of the lesions they are made of, and how many a brain gets."""


class LabelMaps(Dataset):
    """Region maps (R, X, Y, Z) in [0, 1]: the autoencoder's and the unconditional model's world."""

    def __init__(self, configuration: Configuration, run: Path, phase: Phase, seed: int) -> None:
        self._phase, self._seed = phase, seed
        folder = run / "data" / "training"
        self._maps = [Packed(regions) for regions in region_maps(training_files(folder, configuration)) if regions.any()]
        archive = run / "data" / "labelmaps.npz"
        if archive.exists():
            with np.load(archive) as columns:
                names = columns.get("name", ())
                refuse_held_out(names, archive, configuration)
                kept = [not configuration.leaves_out(str(name)) for name in names] or [True] * len(columns["regions"])
                self._maps += [Packed(regions) for regions, keep in zip(columns["regions"], kept, strict=True) if keep]
        if not self._maps:
            raise InputError(f"{run / 'data'} holds no label map; run Training.prepare first")

    def __len__(self) -> int:
        return len(self._maps)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng((self._seed, 1, index))
        regions = self._maps[int(rng.integers(len(self._maps)))].unpacked().astype(np.float32) / 255
        size, centre = regions.shape[1:], None
        if _cropped(self._phase, index):
            size, centre = self._phase.crop, _somewhere(regions, rng)
        if self._phase.flips:
            regions = flip(regions, (0, 1, 2) if self._phase.crop else (0,), rng)
            centre = None if centre is None else _somewhere(regions, rng)
        if rng.random() < self._phase.small_lesions_in_labels:
            regions = self._with_small_lesions(regions, centre, rng)
        return {"regions": torch.tensor(deform(regions, self._phase, rng, size, centre))}

    def _with_small_lesions(self, regions: np.ndarray, centre: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
        """One to three lesions more, in sight: near the crop's centre, or anywhere in the middle half of a whole volume."""
        shape = np.array(regions.shape[1:])
        middle, reach = (shape / 2, shape / 4) if centre is None else (centre, np.array(self._phase.crop) / 3)
        for _ in range(rng.integers(1, 4)):
            other = self._maps[int(rng.integers(len(self._maps)))].unpacked().astype(np.float32) / 255
            regions = small_lesion_in_labels(regions, other, np.round(middle + rng.uniform(-reach, reach)).astype(int), rng)
        return regions


class Cases(Dataset):
    """MRI (S, X, Y, Z) with region maps (R, X, Y, Z): whole cases, and lesion crops transplanted into other brains."""

    def __init__(self, configuration: Configuration, run: Path, phase: Phase, seed: int) -> None:
        self._phase, self._seed = phase, seed
        self._spacing = np.asarray(configuration.grid.spacing)
        self._cases = PreparedCases(training_files(run / "data" / "training", configuration))
        if not len(self._cases):
            raise InputError(f"{run / 'data' / 'training'} holds no case; run Training.prepare first")
        if phase.bias_corrected:
            self._copies = PreparedCases(training_files(run / "data" / COPIES, configuration))
            self._of_case = self._copies_of_cases(run / "data" / COPIES)
        archive = run / "data" / "patches.npz"
        self._patches = dict(np.load(archive)) if archive.exists() and (phase.transplants or phase.small_lesions_in_images) else None
        if self._patches is not None:
            names = self._patches.pop("name", ())
            refuse_held_out(names, archive, configuration)
            if configuration.left_out:
                kept = np.array([not configuration.leaves_out(str(name)) for name in names])
                self._patches = {key: values[kept] for key, values in self._patches.items()}

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        phase, rng = self._phase, np.random.default_rng((self._seed, 2, index))
        name, image, regions = self._cases[int(rng.integers(len(self._cases)))]
        if phase.bias_corrected and rng.random() < phase.bias_corrected:
            _, image, regions = self._copies[self._of_case[name][int(rng.integers(len(self._of_case[name])))]]
        image, regions = image.astype(np.float32), regions.astype(np.float32) / 255
        if self._patches is not None and rng.random() < phase.transplants:
            image, regions = transplant(image, regions, self._patch(rng), self._spacing, rng)
        scattered = bool(phase.small_lesions_in_images) and self._patches is not None and rng.random() < phase.small_lesions_in_images
        if scattered:
            image, regions = self._with_small_lesions(image, regions, rng)
        both = np.concatenate([image, regions])
        if phase.flips:
            both = flip(both, (0,), rng)
        if phase.mirrors:
            both = flip(both, (1, 2), rng, phase.mirrors)
        size, centre = both.shape[1:], None
        if _cropped(phase, index):
            size = phase.crop
            tumour = both[len(image) :]
            if scattered:
                tumour = _one_of(tumour, rng)
            centre = _somewhere(tumour, rng) if rng.random() < 0.8 else _inside(both[: len(image)], rng)
        both = deform(both, phase, rng, size, centre)
        image, regions = both[: len(image)], both[len(image) :]
        if phase.intensity:
            image = recolour(image, phase.intensity, rng)
        if phase.sequence_dropout:
            image = drop_sequences(image, phase.sequence_dropout, rng)
        return {"image": torch.tensor(image), "regions": torch.tensor(regions)}

    def _with_small_lesions(self, image: np.ndarray, regions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Small lesions more, anywhere in the brain outside the tumour, as far as they can be seen there."""
        limit = np.array(image.shape[1:])
        for _ in range(rng.integers(1, MOST_LESIONS + 1)):
            place = _inside(image * (regions[-1] < 0.5), rng)
            small = shrunk(self._patch(rng), rng.uniform(*SMALL), place, limit, self._spacing)
            more = transplant(image, regions, small, self._spacing, rng)
            if stands_out(more[0], (more[1][-1] > 0.5) & (regions[-1] < 0.5)):
                image, regions = more
        return image, regions

    def _copies_of_cases(self, folder: Path) -> dict[str, list[int]]:
        """Numbers of the copies of each case that `Training.bias_corrected` has written, by the case's name."""
        numbers: dict[str, list[int]] = {name: [] for name in self._cases.names}
        for number, name in enumerate(self._copies.names):
            numbers.setdefault(name.rpartition("_")[0], []).append(number)
        if lacking := sorted(name for name, found in numbers.items() if not found):
            names = ", ".join(lacking)
            raise InputError(f"{folder} holds no copy of {names}, expected some of every case; run Training.bias_corrected to its end")
        return numbers

    def _patch(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        chosen = int(rng.integers(len(self._patches["centre"])))
        patch = {key: values[chosen] for key, values in self._patches.items()}
        patch["image"] = patch["image"].astype(np.float32)
        patch["regions"] = patch["regions"].astype(np.float32) / 255
        if rng.random() < 0.5:  # the same lesion in the other hemisphere
            patch = {"centre": patch["centre"] * np.array([-1, 1, 1]), **{k: np.flip(patch[k], -3) for k in ("image", "regions", "inside")}}
        return patch


def _cropped(phase: Phase, index: int) -> bool:
    """Whether item `index` is a crop; all items of one batch are alike, so that they stack."""
    full = phase.full_every and (index // phase.batch_size) % phase.full_every == 0
    return bool(phase.crop) and not full


def _somewhere(regions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A voxel of a region drawn at random, so that small regions are seen as often as large ones."""
    order = rng.permutation(len(regions))
    for region in order:
        voxels = np.flatnonzero(regions[region] > 0.5)
        if len(voxels):
            return np.array(np.unravel_index(voxels[rng.integers(len(voxels))], regions.shape[1:]))
    return np.array(regions.shape[1:]) // 2


def _one_of(regions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The regions of one lesion alone, drawn at random, so that a small one is looked at as often as a large one."""
    parts, count = ndimage.label(regions[-1] > 0.5)
    return regions * (parts == rng.integers(1, count + 1)) if count else regions


def _inside(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A voxel of the brain drawn at random."""
    voxels = np.flatnonzero((image != 0).any(axis=0))
    return np.array(np.unravel_index(voxels[rng.integers(len(voxels))], image.shape[1:]))
