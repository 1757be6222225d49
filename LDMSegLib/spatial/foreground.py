"""What one image shows as it is in its file: its background, its foreground, where that is cut, and whether it is a brain alone.

A skull-stripped image has one constant value all around the brain. What the limits rest on is told in limits.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from LDMSegLib.spatial.limits import LARGEST_BRAIN_ML, LEAST_BACKGROUND
from LDMSegLib.spatial.volume import Volume

# A brain's cross-sections of slabs as thin as this many mm take no more than LARGEST_BRAIN_ML; of thinner ones in proportion less.
WHOLE_BRAIN_MM = 100.0
# What a program computed to be 0 is 0 to within this share of the brightness: less than any scanner's noise.
NO_NOISE = 1e-3


@dataclass(frozen=True)
class Findings:
    """What one image shows. `background` is the constant value around the brain, None where there is none.

    `thinnest_mm` is the least extent of the field of view, and `noise` how far values that count as background are from it.
    """

    background: float | None
    background_share: float
    foreground_ml: float
    cut_cm2: float
    values: int
    negative_share: float
    oriented: bool
    thinnest_mm: float = WHOLE_BRAIN_MM
    noise: float = 0.0

    @property
    def skull(self) -> bool:
        """Whether the image is not skull-stripped: no constant background, or far more left than a brain has in so much of a head."""
        return self.background is None or self.foreground_ml > LARGEST_BRAIN_ML * min(1.0, self.thinnest_mm / WHOLE_BRAIN_MM)


def inspect(volume: Volume) -> Findings:
    """Measure one image as it is in its file, before anything is resampled or shifted."""
    found = _inspect(volume, background_value(volume.array), 0.0)
    if found.skull:
        # Perhaps a stripped brain on almost nothing, as arithmetic leaves it.
        near = _inspect(volume, *_nearly_constant(volume.array))
        found = found if near.skull else near
    return found


def _inspect(volume: Volume, background: float | None, noise: float) -> Findings:
    array = volume.array
    inside = array != (0.0 if background is None else background) if not noise else np.abs(array - np.float32(background)) > noise
    voxel_mm3 = float(abs(np.linalg.det(volume.affine[:3, :3])))
    # A sample of the voxels is enough to count values and signs.
    sample = array[::2, ::2, ::2][inside[::2, ::2, ::2]]
    return Findings(
        background=background,
        background_share=1.0 - float(inside.mean()),
        foreground_ml=float(np.count_nonzero(inside)) * voxel_mm3 / 1000.0,
        cut_cm2=largest_cut(inside, volume.affine) / 100.0,
        values=len(np.unique(sample)),
        negative_share=float((sample < min(0.0, background or 0.0)).mean()) if sample.size else 0.0,
        oriented=_oriented(volume),
        thinnest_mm=float((np.asarray(volume.spacing) * array.shape).min()),
        noise=noise,
    )


def _nearly_constant(array: np.ndarray) -> tuple[float | None, float]:
    """The value near which most corners of an image and a good part of it lie, and how far from it they do; (None, 0) if there is none."""
    corners = np.sort(_corners(array).ravel())
    middle = float(np.median(corners))
    noise = NO_NOISE * float(np.percentile(array[::2, ::2, ::2], 99.5) - middle)
    if noise <= 0 or np.count_nonzero(np.abs(corners - middle) <= noise) < 5:
        return None, 0.0
    background = 0.0 if abs(middle) <= noise else middle
    if float((np.abs(array - np.float32(background)) <= noise).mean()) < LEAST_BACKGROUND:
        return None, 0.0
    return background, noise


def background_value(array: np.ndarray) -> float | None:
    """The exact value that most corners of an image share and that fills a good part of it; None where there is none."""
    values, counts = np.unique(_corners(array), return_counts=True)
    common = values[counts.argmax()]
    if counts.max() < 5 or float((array == common).mean()) < LEAST_BACKGROUND:
        return None
    return float(common)


def foreground_dice(array: np.ndarray, other: np.ndarray) -> float:
    """Dice of two images' non-zero voxels on one grid, on every second voxel of each axis."""
    a, b = (image[::2, ::2, ::2] != 0 for image in (array, other))
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 0.0


def _corners(array: np.ndarray) -> np.ndarray:
    return array[np.ix_(*[(0, -1)] * 3)]


def largest_cut(inside: np.ndarray, affine: np.ndarray) -> float:
    """The largest area in mm² of foreground on one face of the image."""
    columns = affine[:3, :3].T
    areas = []
    for axis in range(3):
        pixel = float(np.linalg.norm(np.cross(*np.delete(columns, axis, axis=0))))
        areas += [pixel * int(np.count_nonzero(inside.take(index, axis=axis))) for index in (0, -1)]
    return max(areas)


def _oriented(volume: Volume) -> bool:
    """Whether the file says how it lies; an image without a file is taken at its word."""
    header = volume.header
    return header is None or int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
