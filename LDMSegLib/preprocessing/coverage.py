"""Whether the sequences of a case show the same part of the head: what an interrupted transfer leaves out, it leaves out of one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from LDMSegLib.spatial.foreground import Findings
from LDMSegLib.spatial.volume import Volume

# One end of a stack that is this much short of the others', while the other end is not, was not planned so.
SHORT_MM = 10.0
# The same in slices, for thick ones.
SHORT_SLICES = 1.5
# cos(10°): stacks that are tilted less against each other are parallel.
PARALLEL = 0.985
# A share of the brain that lies outside of a sequence's field of view without a word: the top slice or the brain stem.
UNSEEN = 0.04
# Voxels of one axis are slices where they are so much longer than those of the others.
_THICKER = 1.2
_POINTS = 40_000
_ENDS = (("left", "right"), ("back", "front"), ("bottom", "top"))


def short_stacks(volumes: Mapping[str, Volume]) -> list[str]:
    """Say which image ends before all others that were acquired in the same plane, at one end only.

    Args:
        volumes: by sequence, whose worlds are one.
    """
    said = []
    axes = {name: _slice_axis(volume) for name, volume in volumes.items()}
    for name, volume in volumes.items():
        direction, low, high = _interval(volume, axes[name], None)
        others = []
        for other, image in volumes.items():
            turned, *_ = _interval(image, axes[other], None)
            if other != name and abs(float(turned @ direction)) >= PARALLEL:
                others.append(_interval(image, axes[other], direction)[1:])
        if not others:
            continue
        lacks = (low - max(start for start, _ in others), min(end for _, end in others) - high)
        short = min(end - start for start, end in others) - (high - low)  # a stack that was merely shifted is as long as the others
        if min(short, max(lacks)) > max(SHORT_MM, SHORT_SLICES * volume.spacing[axes[name]]) >= min(lacks):
            end = _end(direction, lacks[1] > lacks[0])
            said.append(
                f"{name} ends {max(lacks):.0f} mm before the other sequences do at the {end} of the head, expected the same "
                "part of it; slices may be missing, so compare their number with the archive or the scanner"
            )
    return said


def unseen_brain(name: str, reference: str, brain: np.ndarray, brain_affine: np.ndarray, volume: Volume, matrix: np.ndarray) -> list[str]:
    """Say that a good part of the brain lies outside of a sequence's field of view.

    Args:
        name: of the sequence.
        reference: the sequence in which the brain was found.
        brain: (X, Y, Z) bool.
        brain_affine: its grid's voxel→world RAS mm.
        volume: the sequence's image.
        matrix: 4×4, from the sequence's world to the brain's.
    """
    points = np.argwhere(brain)
    if not len(points):
        return []
    points = points[:: max(1, len(points) // _POINTS)]
    to_index = np.linalg.inv(matrix @ volume.affine) @ brain_affine
    index = points @ to_index[:3, :3].T + to_index[:3, 3]
    outside = ((index < -0.5 - 1e-3) | (index > np.asarray(volume.shape) - 0.5 + 1e-3)).any(axis=1)
    share = float(outside.mean())
    if share <= UNSEEN:
        return []
    off = (points[outside].mean(axis=0) - points.mean(axis=0)) @ brain_affine[:3, :3].T
    litres = np.count_nonzero(brain) * abs(float(np.linalg.det(brain_affine[:3, :3]))) / 1e3
    return [
        f"{name} shows {1.0 - share:.0%} of the brain in {reference}: {share * litres:.0f} mL at its {_end(off, True)} lie outside of the "
        "field of view; slices may be missing, so compare their number with the archive or the scanner"
    ]


def unseen_stripped_brains(volumes: Mapping[str, Volume], findings: Mapping[str, Findings]) -> list[str]:
    """Say which skull-stripped image lacks a part of the brain that another shows, as their headers place them.

    Args:
        volumes: by sequence.
        findings: of `foreground.inspect`, by sequence.
    """
    stripped = {name: volume for name, volume in volumes.items() if not findings[name].skull}
    said = []
    for name, volume in stripped.items():
        for other, image in stripped.items():
            if other == name or (image.shape == volume.shape and np.allclose(image.affine, volume.affine)):
                continue
            coarse = image.array[::2, ::2, ::2] != np.float32(findings[other].background or 0.0)
            found = unseen_brain(name, other, coarse, image.affine @ np.diag([2.0, 2.0, 2.0, 1.0]), volume, np.eye(4))
            if found:
                said += found
                break
    return said


def _slice_axis(volume: Volume) -> int:
    """The axis along which slices follow each other: that of the longest voxels, else the last one."""
    spacing = np.asarray(volume.spacing)
    longest = int(spacing.argmax())
    return longest if spacing[longest] > _THICKER * np.delete(spacing, longest).max() else 2


def _interval(volume: Volume, axis: int, direction: np.ndarray | None) -> tuple[np.ndarray, float, float]:
    """Where a stack begins and ends, mm along a direction; along its own slices without one."""
    if direction is None:
        direction = volume.affine[:3, axis] / np.linalg.norm(volume.affine[:3, axis])
    index = np.append((np.asarray(volume.shape) - 1) / 2.0, 1.0)
    places = []
    for end in (-0.5, volume.shape[axis] - 0.5):
        index[axis] = end
        places.append(float((volume.affine @ index)[:3] @ direction))
    return direction, min(places), max(places)


def _end(direction: np.ndarray, towards: bool) -> str:
    """How the end of the head that a direction (RAS) points towards, or away from, is called."""
    axis = int(np.abs(direction).argmax())
    return _ENDS[axis][int((direction[axis] > 0) == towards)]
