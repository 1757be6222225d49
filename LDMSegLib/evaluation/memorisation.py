"""Whether a generated mask is a training mask in disguise: its nearest neighbour by Dice, mirrored copies included."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Neighbour:
    """The training mask most like a generated one: its index, their Dice, and the axes to mirror the generated one on."""

    index: int
    dice: float
    mirrored: tuple[int, ...]


def nearest(
    generated: Iterable[np.ndarray], training: Iterable[np.ndarray], axes: Sequence[int] = (0, 1, 2), centred: bool = False
) -> list[Neighbour]:
    """For every generated mask the training mask of the highest Dice.

    Args:
        generated, training: Masks (X, Y, Z) bool of one shape.
        axes: Mirrorings tried, alone and together.
        centred: Compare after moving every mask's centroid to one place, which finds shifted copies too.

    Returns:
        One neighbour per generated mask; Dice 0 for an empty one.

    Raises:
        ValueError: There is no training mask, or shapes differ.
    """
    generated, training = [np.asarray(m, dtype=bool) for m in generated], [np.asarray(m, dtype=bool) for m in training]
    shapes = {mask.shape for mask in (*generated, *training)}
    if not training or len(shapes) > 1:
        raise ValueError(f"{len(training)} training masks and shapes {sorted(shapes)} given, expected at least one and one shape")
    if not generated:
        return []
    known = _rows(training, (), centred)
    best = [Neighbour(0, 0.0, ())] * len(generated)
    for mirrored in itertools.chain.from_iterable(itertools.combinations(axes, n) for n in range(len(axes) + 1)):
        dice = _dice(_rows(generated, mirrored, centred), known)
        for i, j in enumerate(dice.argmax(axis=1)):
            if dice[i, j] > best[i].dice:
                best[i] = Neighbour(int(j), float(dice[i, j]), mirrored)
    return best


def nearest_among(training: Iterable[np.ndarray], axes: Sequence[int] = (0, 1, 2), centred: bool = False) -> np.ndarray:
    """(n,) highest Dice of every training mask with another one: what likeness is ordinary. Arguments as `nearest`."""
    training = [np.asarray(mask, dtype=bool) for mask in training]
    known = _rows(training, (), centred)
    best = np.zeros(len(training))
    for mirrored in itertools.chain.from_iterable(itertools.combinations(axes, n) for n in range(len(axes) + 1)):
        dice = _dice(_rows(training, mirrored, centred), known)
        np.fill_diagonal(dice, 0.0)
        best = np.maximum(best, dice.max(axis=1, initial=0.0))
    return best


def _rows(masks: Sequence[np.ndarray], mirrored: Sequence[int], centred: bool) -> sparse.csr_matrix:
    """(masks, voxels) of ones: lesions fill about 1 % of a volume, so that hundreds of masks fit into memory."""
    shape = masks[0].shape
    # twice the size leaves room to move any mask's centroid to the middle
    room = [2 * n + 1 for n in shape] if centred else list(shape)
    indices, ends = [], [0]
    for mask in masks:
        voxels = np.argwhere(np.flip(mask, mirrored) if mirrored else mask)
        if centred and len(voxels):
            voxels = voxels - np.round(voxels.mean(axis=0)).astype(np.int64) + np.array(shape)
        indices.append(np.sort(np.ravel_multi_index(tuple(voxels.T), room)))
        ends.append(ends[-1] + len(voxels))
    ones = np.ones(ends[-1], np.float32)
    return sparse.csr_matrix((ones, np.concatenate(indices), ends), shape=(len(masks), int(np.prod(room))))


def _dice(a: sparse.csr_matrix, b: sparse.csr_matrix) -> np.ndarray:
    common = (a @ b.T).toarray().astype(np.float64)
    sizes = np.diff(a.indptr)[:, None] + np.diff(b.indptr)[None, :]
    return 2 * common / np.maximum(sizes, 1)
