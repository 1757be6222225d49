"""Where new masks are drawn: on a grid of their own, or in the brain of an image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LDMSegLib.events import Reporter
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.preprocessing.quality import image_warnings
from LDMSegLib.spatial.atlas import find_space
from LDMSegLib.spatial.foreground import inspect
from LDMSegLib.spatial.model_grid import PlacedGrid, place
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Grid

SPACING_MM = 1.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """The model's grid, placed in the world, and the grid of the files: `affine` voxel→world RAS mm, `shape` (X, Y, Z).

    `image` is the image drawn into, if any, and `inside` (X, Y, Z) bool where its brain is; nothing is drawn outside.
    """

    placed: PlacedGrid
    affine: np.ndarray
    shape: tuple[int, int, int]
    image: Volume | None = None
    inside: np.ndarray | None = None
    warnings: tuple[str, ...] = ()


def choose_canvas(like: str | os.PathLike[str] | None, grid: Grid, reporter: Reporter) -> Canvas:
    """The brain of an image where one is given, which is told as the stage "read"; else a grid of its own. Raises as `canvas_like`."""
    if like is None:
        return blank_canvas(grid)
    reporter.stage("read", "Reading the image")
    canvas = canvas_like(like, grid)
    for warning in canvas.warnings:
        reporter.warning(warning)
    return canvas


def blank_canvas(grid: Grid) -> Canvas:
    """A 1 mm grid along the RAS axes with the extent of the model's, around the place that the model's grid names.

    Where the space of that grid is known, its average brain is the brain that is drawn into.
    """
    spacing, shape = np.asarray(grid.spacing), np.asarray(grid.shape)
    centre = _centre(grid)
    wanted = np.ceil(spacing * shape / SPACING_MM - 1e-6).astype(int)
    placed = placed_blank(grid)
    affine, size, space = _around(centre, np.full(3, SPACING_MM), wanted), tuple(int(n) for n in wanted), find_space(grid.space)
    return Canvas(placed, affine, size, inside=space.inside(affine, size) if space else None)


def placed_blank(grid: Grid) -> PlacedGrid:
    """The model's grid along the RAS axes, around the place that it names."""
    return PlacedGrid(_around(_centre(grid), np.asarray(grid.spacing), np.asarray(grid.shape)), grid.shape)


def canvas_like(path: str | os.PathLike[str], grid: Grid) -> Canvas:
    """The grid of an image, with the model's grid placed on its brain as for a case.

    Raises:
        InputError: as `read_volume`, or the image is far larger than a head.
    """
    volume = read_volume(path)
    findings = inspect(volume)
    name = Path(path).name
    inside = volume.array != (findings.background or 0.0)
    warnings = tuple(image_warnings({name: findings}, name))
    return Canvas(place(inside, volume.affine, grid), volume.affine, volume.shape, volume, inside, warnings)


def _centre(grid: Grid) -> np.ndarray:
    return np.asarray(grid.centre or (0.0, 0.0, 0.0))


def _around(centre: np.ndarray, spacing: np.ndarray, shape: np.ndarray) -> np.ndarray:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = centre - spacing * (shape - 1) / 2
    return affine
