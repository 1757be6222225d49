"""Where one image lies relative to another: a rigid transform found by mutual information, and how good it is.

Everything outside this file is RAS and mm. SimpleITK, which thinks in LPS, is imported only when something is to be
registered: it belongs to the optional extra "prepare".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage

from LDMSegLib.errors import InputError
from LDMSegLib.optional import simpleitk
from LDMSegLib.preprocessing.similarity import BINS, averaged, comparison, distinctness
from LDMSegLib.spatial.affine import LPS_TO_RAS
from LDMSegLib.spatial.volume import Volume


@dataclass(frozen=True)
class Level:
    """Voxel size `mm` that the images are averaged to, how many `samples` of them are looked at, the first `step` and the most `steps`."""

    mm: float
    samples: int
    step: float
    steps: int


LEVELS = (Level(4.0, 20_000, 2.0, 200), Level(2.0, 40_000, 0.5, 150), Level(1.0, 50_000, 0.2, 60))

# What is left of a step when the gradient turns back. With ITK's usual 0.5 to 0.6 the search stood still before it had arrived: 4 of
# 60 sequences were 2 to 4 mm off (see Documentation/decisions/).
RELAXATION = 0.9

# Turns in degrees about each axis that a second attempt starts from.
TURNS = (-20.0, 20.0)


@dataclass(frozen=True, eq=False)
class Registration:
    """`matrix` takes world points (RAS mm) of the moving image to the fixed image's world.

    `quality` is the normalised mutual information there (see `similarity.mutual_information`), `attempts` how many starts it took, and
    `distinct` how much the place matters (see `similarity.distinctness`; NaN where it was not asked for).
    """

    matrix: np.ndarray
    quality: float
    attempts: int = 1
    distinct: float = float("nan")


def register(
    moving: Volume,
    fixed: Volume,
    inside: np.ndarray | None = None,
    deep: np.ndarray | None = None,
    enough: float = 0.0,
    seed: int = 0,
) -> Registration:
    """Find the rigid transform that brings one image onto another: the same to the bit for the same images, whatever runs beside it.

    The whole images take part: a skull is as rigid as the brain in it, and the edge of a brain that stands alone says most.
    Masks of the brain were tried and were worse: an image can slide inside them.

    Args:
        moving: the image to be moved.
        fixed: the image that stays.
        inside: (X, Y, Z) bool on the fixed image's grid: where the quality is measured; everywhere without it.
        deep: as `inside`: where their detail is compared too, if it is asked whether they belong together (see `similarity.distinctness`).
        enough: below this distinctness a second attempt is made from other starts, and the better one kept; 0 does not ask for it.
        seed: of the voxels looked at.

    Raises:
        InputError: SimpleITK is not installed, or the images do not overlap from any start.
    """
    sitk = simpleitk("bringing scans into register", ", or give co-registered images")
    if max(moving.spacing) > 1.2 * max(fixed.spacing):
        # The image with the thicker slices is looked at where it has voxels: between them there are only interpolated values.
        find = _finder(sitk, fixed, moving, seed)
        search = lambda starts: np.linalg.inv(find(starts))  # noqa: E731
    else:
        search = _finder(sitk, moving, fixed, seed)
    compare = comparison(moving, fixed, inside)
    distinct = distinctness(moving, fixed, inside, deep) if enough else lambda matrix: float("nan")
    best, attempts = None, 0
    for turns in ((None,), tuple((axis, angle) for axis in range(3) for angle in TURNS)):
        attempts += 1
        matrix = search(turns)
        quality = compare(matrix)
        if best is None or quality > best.quality:
            best = Registration(matrix, quality, attempts, distinct(matrix))
        if not best.distinct < enough:
            break
    assert best is not None, "there is at least one attempt"
    assert best is not None, "there is at least one attempt"
    assert best is not None, "there is at least one attempt"
    return replace(best, attempts=attempts)


def _finder(sitk: Any, moving: Volume, fixed: Volume, seed: int) -> Callable[[Sequence[tuple[int, float] | None]], np.ndarray]:
    """A search for the matrix from moving to fixed that starts from given turns (axis, degrees)."""
    pairs = [(_image(sitk, averaged(fixed, level.mm)), _image(sitk, averaged(moving, level.mm))) for level in LEVELS]
    starts = _starts(sitk, averaged(fixed, LEVELS[0].mm), averaged(moving, LEVELS[0].mm))

    def search(turns: Sequence[tuple[int, float] | None]) -> np.ndarray:
        starting = [start if turn is None else _turned(sitk, start, *turn) for turn in turns for start in starts]
        found, value = min((_refined(sitk, start, *pairs[0], LEVELS[0], seed) for start in starting), key=lambda one: one[1])
        if not np.isfinite(value):
            raise InputError(
                f"{moving.path or 'one image'} and {fixed.path or 'the other'} do not overlap in any way that was tried, expected images "
                "of one head; check that they belong together"
            )
        for pair, level in zip(pairs[1:], LEVELS[1:], strict=True):
            found, _ = _refined(sitk, found, *pair, level, seed)
        return _matrix(found, fixed, moving)

    return search


def _straight(affine: np.ndarray) -> np.ndarray:
    """The affine with right angles nearest to this one: what ITK can hold. Rounding in headers is all it usually changes."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    out = affine.copy()
    out[:3, :3] = (left @ right) * spacing
    return out


def _image(sitk: Any, volume: Volume) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.array.T))
    affine = LPS_TO_RAS @ _straight(volume.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing([float(s) for s in spacing])
    image.SetOrigin([float(x) for x in affine[:3, 3]])
    image.SetDirection([float(x) for x in (affine[:3, :3] / spacing).ravel()])
    return image


def _starts(sitk: Any, fixed: Volume, moving: Volume) -> list[Any]:
    """Where the headers put the images, and their centres of mass on one another."""
    centre = _mass(fixed)
    start = sitk.Euler3DTransform()
    start.SetCenter([float(x) for x in centre])
    shifted = sitk.Euler3DTransform(start)
    shifted.SetTranslation([float(x) for x in _mass(moving) - _mass(fixed)])
    return [start, shifted]


def _mass(volume: Volume) -> np.ndarray:
    """Centre of the brighter part, LPS mm."""
    array = volume.array
    index = np.array(ndimage.center_of_mass(array > array.mean()))
    return (LPS_TO_RAS @ volume.affine @ np.append(index, 1.0))[:3]


def _turned(sitk: Any, start: Any, axis: int, degrees: float) -> Any:
    turned = sitk.Euler3DTransform(start)
    angles = [0.0, 0.0, 0.0]
    angles[axis] = float(np.radians(degrees))
    turned.SetRotation(*angles)
    return turned


def _refined(sitk: Any, start: Any, fixed: Any, moving: Any, level: Level, seed: int) -> tuple[Any, float]:
    method = sitk.ImageRegistrationMethod()
    # Several threads add up the metric in an order of chance, and the last bits of the transform differ from run to run. Sequences are
    # registered side by side instead (`preprocessing.pipeline`), which is faster too.
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, level.samples / fixed.GetNumberOfPixels()), seed + 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(level.step, level.step / 200.0, level.steps, RELAXATION, 1e-10)
    method.SetOptimizerScalesFromPhysicalShift()
    transform = type(start)(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
        return transform, float(method.GetMetricValue())
    except RuntimeError:  # ITK's word for "the images do not overlap from this start"
        return start, np.inf


def _matrix(transform: Any, fixed: Volume, moving: Volume) -> np.ndarray:
    """World of the moving image to world of the fixed one, RAS; ITK's transform goes the other way, in LPS."""
    linear = np.array(transform.GetMatrix()).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    to_moving = np.eye(4)
    to_moving[:3, :3] = linear
    to_moving[:3, 3] = np.array(transform.GetTranslation()) + centre - linear @ centre
    back = np.linalg.inv(LPS_TO_RAS @ to_moving @ LPS_TO_RAS)
    fixed_exact = fixed.affine @ np.linalg.inv(_straight(fixed.affine))
    moving_exact = moving.affine @ np.linalg.inv(_straight(moving.affine))
    return fixed_exact @ back @ np.linalg.inv(moving_exact)
