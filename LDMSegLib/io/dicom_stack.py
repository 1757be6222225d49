"""From the slices of a series to one grid, or to the sentence that says why they are none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from LDMSegLib.io.dicom_slices import Slice
from LDMSegLib.spatial.affine import plane_affine, spacing_of
from LDMSegLib.spatial.limits import FEWEST_VOXELS, LARGEST_SPACING_MM, SMALLEST_EXTENT_MM, SMALLEST_SPACING_MM

# Positions are written with few digits: what is closer than this is one place.
SAME_PLACE_MM = 0.01
SAME_DIRECTION = 1e-3
# Slices may stray from even spacing by this share of it (reconstructions round), and from their normal by this angle.
UNEVEN = 0.1
TILT_DEGREES = 0.5


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in order along their normal, `shape` (columns, rows, slices), `affine` voxel→world RAS mm."""

    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray


class NotAStack(ValueError):
    """Why slices make no grid: what was found, expected, and what to do; without the series' name."""


class Damaged(NotAStack):
    """Images are missing, or are not told apart as they must be: what is there is less than what was acquired."""


class SeveralDirections(NotAStack):
    """The images are not parallel: a localizer, or several stacks in one series."""


class RepeatedPlaces(NotAStack):
    """Several images lie at one place: more than three dimensions."""


def stack(slices: list[Slice]) -> Stack:
    """Order the slices of one series and find the grid they lie on.

    Args:
        slices: of one series, in any order, without copies.

    Raises:
        SeveralDirections: the images are not parallel.
        RepeatedPlaces: several images at one place.
        Damaged: slices are missing in between.
        NotAStack: not MR, colours, no geometry, one slice, several sizes, unevenly spaced slices, gantry tilt, or
            voxels or an extent that cannot be a head.
    """
    first = slices[0]
    _reject_what_is_no_mr(slices)
    if any(s.position is None or s.orientation is None or s.spacing is None for s in slices):
        raise NotAStack("has images that don't say where they lie, expected position, orientation and spacing; export the original series")
    turned = {tuple(np.round(s.orientation, 2)) for s in slices}
    if len(turned) > 1 and max(np.abs(np.subtract(s.orientation, first.orientation)).max() for s in slices) > SAME_DIRECTION:
        raise SeveralDirections(
            f"holds images in {len(turned)} directions (as a localizer does), expected parallel slices; leave it out or export "
            "one direction alone"
        )
    sizes = {(s.columns, s.rows, *np.round(s.spacing, 4)) for s in slices}
    if len(sizes) > 1:
        raise NotAStack(f"holds images of {len(sizes)} sizes, expected one size; export each as a series of its own")
    _reject_units(first.spacing)
    if len(slices) == 1:
        raise NotAStack("holds a single image, expected the slices of a whole head; export the whole series")
    along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    if abs(along_row @ along_column) > SAME_DIRECTION or np.abs(np.linalg.norm([along_row, along_column], axis=1) - 1).max() > 1e-2:
        raise NotAStack("has axes that are not at right angles, expected an orthogonal image plane; export the original series")
    normal = np.cross(along_row, along_column)
    ordered = sorted(slices, key=lambda s: float(np.dot(s.position, normal)))
    positions = np.array([s.position for s in ordered])
    _reject_uneven(positions, normal)
    step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    affine = plane_affine(positions[0], first.orientation, first.spacing, step)
    shape = (first.columns, first.rows, len(ordered))
    _reject_size(shape, spacing_of(affine))
    return Stack(tuple(ordered), shape, affine)


def _reject_what_is_no_mr(slices: list[Slice]) -> None:
    first = slices[0]
    if first.modality != "MR":
        raise NotAStack(f"is {first.modality or 'of no stated modality'}, expected MR; leave it out")
    if not all(s.grey for s in slices):
        raise NotAStack("holds colour or inverted pictures, expected one grey value a voxel (MONOCHROME2); choose the original series")


def _reject_uneven(positions: np.ndarray, normal: np.ndarray) -> None:
    depths = positions @ normal
    steps = np.diff(depths)
    repeated = int((steps < SAME_PLACE_MM).sum())
    if repeated:
        places = len(steps) + 1 - repeated
        raise RepeatedPlaces(
            f"holds {len(positions)} images at {places} places (4-D: several echoes, b-values or time points), expected one image a "
            "place; export one of its volumes as a series of its own"
        )
    usual = float(np.median(steps))
    gaps = np.flatnonzero(steps > 1.5 * usual)
    if gaps.size:
        missing = int(np.rint(steps[gaps] / usual - 1).sum())
        at = int(gaps[0]) + 1
        raise Damaged(
            f"lacks {max(missing, 1)} slice(s), first after slice {at} of {len(positions)} ({steps[gaps[0]]:.1f} mm instead of {usual:.1f} "
            "mm), expected every slice; copy or export the whole series again"
        )
    if np.abs(steps - usual).max() > max(UNEVEN * usual, 2 * SAME_PLACE_MM):
        raise NotAStack(
            f"has slices {steps.min():.2f} to {steps.max():.2f} mm apart, expected even spacing; export the series again or resample it"
        )
    sideways = positions[-1] - positions[0]
    tilt = float(np.degrees(np.arctan2(np.linalg.norm(np.cross(sideways, normal)), sideways @ normal)))
    if tilt > TILT_DEGREES:
        raise NotAStack(
            f"was acquired with a gantry tilt of {tilt:.1f}° (its slices are shifted against each other), expected slices stacked at right "
            "angles; convert it with a program that undoes the tilt (dcm2niix does) and give the NIfTI file"
        )
    line = positions[0] + np.linspace(0, 1, len(positions))[:, None] * sideways
    astray = float(np.linalg.norm(positions - line, axis=1).max())
    if astray > max(UNEVEN * usual, 0.1):
        raise NotAStack(f"has slices {astray:.1f} mm off their common line, expected a straight stack; export the original series")


def _reject_units(spacing: tuple[float, ...] | np.ndarray) -> None:
    if min(spacing) < SMALLEST_SPACING_MM or max(spacing) > LARGEST_SPACING_MM:
        raise NotAStack(
            f"has voxels of {'×'.join(f'{s:.4g}' for s in spacing)} mm, expected {SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm; its "
            "header seems to be in other units: correct PixelSpacing and ImagePositionPatient, or export the original series"
        )


def _reject_size(shape: tuple[int, int, int], spacing: np.ndarray) -> None:
    _reject_units(spacing)
    extent = spacing * shape
    if min(shape) < FEWEST_VOXELS or extent.min() < SMALLEST_EXTENT_MM:
        raise NotAStack(
            f"has {'×'.join(str(n) for n in shape)} voxels and covers {'×'.join(f'{e:.0f}' for e in extent)} mm, expected a whole head "
            f"(at least {FEWEST_VOXELS} voxels and {SMALLEST_EXTENT_MM:g} mm along each axis); export the whole series"
        )
