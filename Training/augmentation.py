"""Random changes that real scanners and real heads make, on the model's grid."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional as F

from Training.configuration import Phase


def deform(
    volume: np.ndarray, phase: Phase, rng: np.random.Generator, size: tuple[int, ...], centre: np.ndarray | None = None
) -> np.ndarray:
    """Rotate, scale, bend and crop in one linear interpolation.

    Args:
        volume: (C, X, Y, Z).
        phase: `rotation` degrees (SD), `scaling` relative (SD), `elastic` voxels (SD).
        size: of the result, (x, y, z).
        centre: voxel that comes to the middle; the volume's own middle without it.

    Returns:
        float32 (C, x, y, z), zero outside.
    """
    shape = np.array(volume.shape[1:])
    middle = (shape - 1) / 2 if centre is None else np.asarray(centre, dtype=float)
    matrix = _rotation(rng.normal(0, phase.rotation, 3)) * np.exp(rng.normal(0, phase.scaling))
    plain = phase.rotation == 0 and phase.scaling == 0 and phase.elastic == 0
    if plain and tuple(size) == tuple(shape) and centre is None:
        return np.ascontiguousarray(volume, dtype=np.float32)  # torch takes no mirrored views
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ torch.from_numpy(matrix.T.astype(np.float32))
    if phase.elastic:
        knots = torch.from_numpy(rng.normal(0, phase.elastic, (1, 3, 5, 5, 5)).astype(np.float32))
        grid = grid + F.interpolate(knots, size=tuple(size), mode="trilinear", align_corners=True)[0].permute(1, 2, 3, 0)
    grid = (grid + torch.from_numpy(middle.astype(np.float32))) * 2 / torch.from_numpy((shape - 1).astype(np.float32)) - 1
    source = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None]
    # grid_sample counts axes from the last: x of its grid is our Z.
    return F.grid_sample(source, grid.flip(-1)[None], align_corners=True)[0].numpy()


def flip(volume: np.ndarray, axes: tuple[int, ...], rng: np.random.Generator, chance: float = 0.5) -> np.ndarray:
    """Mirror along each of the given spatial axes with the given chance."""
    chosen = [axis + 1 for axis in axes if rng.random() < chance]
    return np.flip(volume, chosen) if chosen else volume


def recolour(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Contrast, brightness, shading, thick slices, a small slip and noise, each sequence on its own; the background stays 0.

    Args:
        image: (S, X, Y, Z) normalised, background 0.
        strength: relative size of the changes, about 0.15.
    """
    foreground = image != 0
    out = np.empty_like(image, dtype=np.float32)
    # Clinical exams often have one sequence of thin slices, or none: thick ones come together. So does shading: one coil, one head.
    thick = 0.8 if rng.random() < 0.3 else 0.2
    uneven = 0.9 if rng.random() < 0.5 else 0.2
    for channel, source in enumerate(image):
        x = source.astype(np.float32)
        if rng.random() < thick:
            # Along one axis: slices of 5 mm, interpolated, blur like a Gaussian of about 2.5 mm.
            x = ndimage.gaussian_filter1d(x, rng.uniform(0.4, 1.6), axis=int(rng.integers(3)))
        if rng.random() < 0.1:
            x = _slipped(x, rng.uniform(0.2, 0.8), axis=int(rng.integers(3)), step=int(rng.choice((-1, 1))))
        if rng.random() < uneven:
            x = shaded(x, source != 0, rng.uniform(0.3, 1.5) * strength, rng)
        x = x * np.exp(rng.normal(0, strength)) + rng.normal(0, strength)
        x = x + smooth_field(x.shape, 3, rng.normal(0, strength, 27))
        if rng.random() < 0.5:
            x = x + rng.normal(0, rng.uniform(0, strength), x.shape).astype(np.float32)
        out[channel] = x
    return np.where(foreground, out, 0.0).astype(np.float32)


def shaded(x: np.ndarray, foreground: np.ndarray, depth: float, rng: np.random.Generator) -> np.ndarray:
    """A coil's uneven reach: a smooth field that multiplies the signal itself, whose zero lies far below that of normalised values.

    The mean of a brain is 1.7 to 7.4 of its standard deviations (24 cases, four sequences): so far below it the signal ends. A field
    added to normalised values, of the same size, is that much weaker.

    Args:
        x: (X, Y, Z) normalised: half a z-score.
        foreground: (X, Y, Z) bool; the field's mean there is 1.
        depth: standard deviation of the field's logarithm at its knots, 3 to 5 along each axis.
        rng: draws the field, and where the signal's zero lies.

    Returns:
        float32 (X, Y, Z).
    """
    below = rng.uniform(2.0, 5.5) / 2  # normalised values are half z-scores
    knots = int(rng.integers(3, 6))
    field = np.exp(smooth_field(x.shape, knots, rng.normal(0, depth, knots**3)))
    inside = field[foreground]
    return (x + below) * (field / inside.mean() if inside.size else field) - below


def _slipped(x: np.ndarray, part: float, axis: int, step: int) -> np.ndarray:
    """Part of a voxel to one side: what registration leaves."""
    return (1 - part) * x + part * np.roll(x, step, axis=axis)


def smooth_field(shape: tuple[int, ...], knots: int, values: np.ndarray) -> np.ndarray:
    """Few values per axis, linear in between; float32 of `shape`."""
    coarse = torch.from_numpy(values.reshape(1, 1, knots, knots, knots).astype(np.float32))
    return F.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0].numpy()


def drop_sequences(image: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Make sequences missing (background everywhere), each with the given chance, never all of them."""
    missing = rng.random(len(image)) < chance
    if missing.all():
        missing[rng.integers(len(image))] = False
    out = image.copy()
    out[missing] = 0.0
    return out


def _rotation(degrees: np.ndarray) -> np.ndarray:
    a, b, c = np.deg2rad(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z
