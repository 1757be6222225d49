"""What may be wrong with images that can be read: warnings, each with what to do. None of them stops a case.

A skull-stripped image has one constant value all around the brain; that value is what most of these checks stand on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from LDMSegLib.spatial.foreground import Findings
from LDMSegLib.spatial.limits import (
    FEWEST_VALUES,
    LARGEST_BRAIN_ML,
    LARGEST_CUT_CM2,
    LEAST_FOREGROUND_DICE,
    MOST_NEGATIVE,
    SMALLEST_BRAIN_ML,
)
from LDMSegLib.spatial.volume import Volume


def without_noise(volume: Volume, found: Findings) -> Volume:
    """The volume with exactly the background's value where it has almost that value; itself where there is nothing to change."""
    if not found.noise:
        return volume
    background = np.float32(found.background)
    return replace(volume, array=np.where(np.abs(volume.array - background) <= found.noise, background, volume.array))


def image_warnings(findings: Mapping[str, Findings], reference: str) -> list[str]:
    """One sentence for each thing that is wrong, naming all the images it is true of.

    Args:
        findings: by sequence name.
        reference: the sequence whose brain is measured.
    """
    said = []
    skull = [name for name, found in findings.items() if found.skull]
    if skull:
        said.append(
            f"{_all(skull)} seem not to be skull-stripped, expected the brain alone on a background of exactly 0; extract the brain "
            "(e.g. with HD-BET or SynthStrip) after bringing all sequences onto one grid, or the result cannot be relied on"
        )
    stripped = {name: found for name, found in findings.items() if not found.skull}
    noisy = [f"{name} (less than {found.noise:.1g})" for name, found in stripped.items() if found.noise]
    if noisy:
        said.append(f"the background of {_all(noisy)} is not quite constant and was made so; check the program that extracted the brain")
    shifted = [f"{name} ({found.background:g})" for name, found in stripped.items() if found.background != 0]
    if shifted:
        said.append(f"the background of {_all(shifted)} is not 0 and was brought to 0; check that the images are not already normalised")
    if reference in stripped and stripped[reference].foreground_ml < SMALLEST_BRAIN_ML:
        said.append(
            f"the brain in {reference} measures {stripped[reference].foreground_ml:.0f} mL, expected {SMALLEST_BRAIN_ML:.0f} to "
            f"{LARGEST_BRAIN_ML:.0f} mL; check the voxel size in the file and the brain extraction"
        )
    cut = [name for name, found in stripped.items() if found.cut_cm2 > LARGEST_CUT_CM2]
    if cut:
        said.append(
            f"the field of view cuts through the brain in {_all(cut)}; what lies outside cannot be segmented, use whole-brain images"
        )
    flat = [f"{name} ({found.values})" for name, found in findings.items() if found.values < FEWEST_VALUES]
    if flat:
        said.append(f"there are very few different grey values in {_all(flat)}; check that these are MR images and not masks or label maps")
    negative = [name for name, found in findings.items() if found.background == 0 and found.negative_share > MOST_NEGATIVE]
    if negative:
        said.append(f"there are negative values in {_all(negative)}, so they seem already normalised; give the images before normalisation")
    unknown = [name for name, found in findings.items() if not found.oriented]
    if unknown:
        said.append(
            f"there is no orientation in the headers of {_all(unknown)} (sform and qform codes are 0), so left and right may be swapped; "
            "check the side of the result"
        )
    return said


def overlap_warnings(overlaps: Mapping[str, float], reference: str) -> list[str]:
    """One sentence naming the sequences whose brains do not lie where the reference's does.

    Args:
        overlaps: Dice of each sequence's foreground with the reference's, on the reference's grid.
        reference: the sequence compared with.
    """
    apart = [f"{name} (Dice {dice:.2f})" for name, dice in overlaps.items() if dice < LEAST_FOREGROUND_DICE]
    if not apart:
        return []
    return [
        f"the brain in {_all(apart)} does not lie where it does in {reference}, expected co-registered sequences (Dice of at least "
        f"{LEAST_FOREGROUND_DICE:g}); register all sequences to {reference} and extract the same brain from each"
    ]


def largest_area_near_a_face(inside: np.ndarray, affine: np.ndarray, mm: float) -> float:
    """The largest area in mm² of foreground on any slice whose middle lies within `mm` of a face of the image."""
    columns = affine[:3, :3].T
    areas = []
    for axis in range(3):
        pixel = float(np.linalg.norm(np.cross(*np.delete(columns, axis, axis=0))))
        thick = abs(float(np.linalg.det(affine[:3, :3]))) / pixel
        counts = np.count_nonzero(inside, axis=tuple({0, 1, 2} - {axis}))
        near = max(1, int(np.floor(mm / thick + 0.5)))
        areas += [pixel * int(counts[:near].max()), pixel * int(counts[-near:].max())]
    return max(areas)


def _all(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
