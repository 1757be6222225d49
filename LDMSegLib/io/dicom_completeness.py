"""Whether all images of a DICOM series have arrived, told from the series alone.

An interrupted transfer leaves a series that looks whole: the first or the last slices are missing, or every second one, and what
is left is evenly spaced. Headers give it away by how images are numbered, how many there should be, and how far apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from LDMSegLib.io.dicom_slices import Slice
from LDMSegLib.io.dicom_stack import Damaged, Stack

# A header's spacing is met within this share. Slices may have gaps: of their thickness alone more is allowed.
SAME_SPACING, WIDEST_GAP = 0.1, 0.6
# Slices this many times as far apart as they are thick leave room for another one between them.
ROOM_FOR_ANOTHER = 1.9


def reject_lost_images(slices: Sequence[Slice], grids: Mapping[str, Stack]) -> None:
    """Raise where it is certain that images of a series are missing.

    Args:
        slices: all images of the series, without copies.
        grids: the volumes they make.

    Raises:
        Damaged: fewer images than the header counts, or every second (third, ...) slice alone, by number and by spacing.
    """
    there = _instances(slices)
    counted = [one.counts.of_series for one in slices if one.counts.of_series]
    if counted and there < max(counted):
        raise Damaged(
            f"holds {there} of the {max(counted)} images that its header counts (NumberOfSeriesRelatedInstances), expected all of them; "
            "copy or export the whole series again"
        )
    for grid in grids.values():
        every = _numbered_every(grid.slices) if len(grids) == 1 else 1
        if every > 1 and _fits_between(grid, every):
            raise Damaged(
                f"holds only every {_ordinal(every)} slice ({_numbers_in_words(grid.slices)}, {_apart_mm(grid):.1f} mm apart), expected "
                "every slice; copy or export the whole series again"
            )


def signs_of_loss(slices: Sequence[Slice], grid: Stack) -> tuple[str, ...]:
    """What makes it likely that images are missing from a volume: each a sentence that begins with a verb, for the series' name.

    Args:
        slices: all images of the series, without copies.
        grid: one volume of it.
    """
    check = "compare the number of images with the archive or the scanner and copy the series again if any are missing"
    said = []
    acquired = [one.counts.of_acquisition for one in slices if one.counts.of_acquisition and one.frame is None]
    there = _instances(slices)
    if acquired and there < max(acquired):
        said.append(f"holds {there} images and its header counts {max(acquired)} (ImagesInAcquisition); {check}")
    numbers = sorted({one.counts.number for one in slices if one.counts.number is not None})
    if len(numbers) == there and there > 1 and slices[0].frame is None:
        first, missing = numbers[0], numbers[-1] - numbers[0] + 1 - there
        # The phases of a dynamic series are numbered on from one to the next.
        if first > 1 and (first - 1) % there:
            said.append(f"has images numbered from {first} on, so the {first - 1} before may be missing; {check}")
        if missing and not _in_order(grid.slices) and _numbered_every(grid.slices) == 1:
            said.append(f"has images numbered {numbers[0]} to {numbers[-1]} without {missing} of these numbers; {check}")
    between = [one.counts.between for one in grid.slices if one.counts.between]
    thick = [one.counts.thickness for one in grid.slices if one.counts.thickness]
    wanted = max([*between[:1], *thick[:1]], default=0.0)
    if wanted and _apart_mm(grid) >= ROOM_FOR_ANOTHER * wanted:
        said.append(
            f"has slices {_apart_mm(grid):.1f} mm apart, and {wanted:.1f} mm by its header, so that slices in between may be missing; "
            f"{check}"
        )
    return tuple(said)


def _instances(slices: Sequence[Slice]) -> int:
    return len({one.instance.split("#")[0] for one in slices})


def _numbered_every(ordered: Sequence[Slice]) -> int:
    """By how much the numbers of neighbouring slices differ where that is the same everywhere, else 1."""
    numbers = [one.counts.number for one in ordered]
    if None in numbers or ordered[0].frame is not None or len(numbers) < 3:
        return 1
    steps = set(np.diff(numbers).tolist())
    return abs(steps.pop()) if len(steps) == 1 else 1


def _in_order(ordered: Sequence[Slice]) -> bool:
    """Whether the images are numbered as they lie, so that evenly spaced slices leave no room for a number that is not there."""
    numbers = [one.counts.number for one in ordered]
    steps = np.diff([0 if n is None else n for n in numbers])
    return bool((steps > 0).all() or (steps < 0).all())


def _fits_between(grid: Stack, every: int) -> bool:
    """Whether the header's spacing or thickness says too that slices lie `every` times as far apart as they should."""
    mm, first = _apart_mm(grid) / every, grid.slices[0].counts
    if first.between and abs(mm / first.between - 1.0) <= SAME_SPACING:
        return True
    return bool(first.thickness) and -SAME_SPACING <= mm / first.thickness - 1.0 <= WIDEST_GAP


def _apart_mm(grid: Stack) -> float:
    return float(np.linalg.norm(grid.affine[:3, 2]))


def _numbers_in_words(ordered: Sequence[Slice]) -> str:
    first = sorted(one.counts.number for one in ordered)[:3]
    return f"numbered {', '.join(str(n) for n in first)}, ..."


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")
