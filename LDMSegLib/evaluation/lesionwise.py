"""Lesion-wise Dice and HD95 by the definition of the BraTS 2023 challenges.

Moawad et al. 2023, arXiv:2306.00838; LaBella et al. 2023, arXiv:2305.07642; evaluation by R. Saluja,
github.com/rachitsaluja/BraTS-2023-Metrics.

The reference mask is dilated; its parts that share a dilated 26-connected blob are one lesion, whose own voxels do not
change. Every 26-connected component of the prediction that touches a lesion's blob is taken, whole, as the answer to
that lesion. Lesions up to a size count neither way. Components that touch no blob, of any size, are false positives:
each counts as one more lesion with Dice 0 and the worst distance. One stray voxel is enough, so numbers are worth
reading with and without a filter on the prediction, the same for every method compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from LDMSegLib.postprocessing.regions import EVERY_NEIGHBOUR
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.spatial.surfaces import hausdorff95


@dataclass(frozen=True)
class Rules:
    """What a challenge fixed.

    Dilation in voxels (18-neighbourhood), the size up to which a lesion is not counted (mm³), and the distance given to a missed or
    invented lesion (mm).
    """

    dilation: int = 3
    uncounted_mm3: float = 50.0
    worst_mm: float = 374.0


BRATS_2023_GLIOMA = Rules()
BRATS_2023_MENINGIOMA = Rules(dilation=1)
BRATS_2023_METASTASES = Rules(dilation=1, uncounted_mm3=2.0)
BRATS_2023_RULES = {"glioma": BRATS_2023_GLIOMA, "meningioma": BRATS_2023_MENINGIOMA, "metastases": BRATS_2023_METASTASES}


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference and what was predicted for it (sizes in mm³, distance in mm)."""

    reference_mm3: float
    prediction_mm3: float
    dice: float
    hd95: float
    counted: bool

    @property
    def found(self) -> bool:
        """Whether anything of it was predicted."""
        return self.prediction_mm3 > 0


@dataclass(frozen=True)
class Score:
    """One region of one case.

    `dice` and `hd95` are lesion-wise; `global_dice` and `global_hd95` compare the masks as wholes. `false_positives`
    holds their sizes in mm³.
    """

    dice: float
    hd95: float
    global_dice: float
    global_hd95: float
    lesions: tuple[Lesion, ...]
    false_positives: tuple[float, ...]

    @property
    def missed(self) -> int:
        """Lesions large enough to count that nothing was predicted for."""
        return sum(lesion.counted and not lesion.found for lesion in self.lesions)


def score(
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    rules: Rules = BRATS_2023_GLIOMA,
    smallest_mm3: float = 0.0,
) -> Score:
    """Score one region.

    Args:
        reference, prediction: (X, Y, Z) bool, on one grid.
        spacing: Voxel size along the array's axes in mm.
        rules: The challenge's.
        smallest_mm3: Not part of the definition: predicted components smaller than this are removed first.

    Returns:
        The score; Dice 1 and HD95 0 where there is nothing to find and nothing was found.

    Raises:
        ValueError: The masks have different shapes.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"masks of shapes {reference.shape} and {prediction.shape} given, expected equal ones")
    reference, prediction = reference.astype(bool), prediction.astype(bool)
    box = bounding_box(reference | prediction, margin=rules.dilation + 1)
    if box is None:
        return Score(1.0, 0.0, 1.0, 0.0, (), ())
    reference, prediction = reference[box], prediction[box]
    voxel_mm3 = float(np.prod(spacing))
    components, sizes = _components(prediction, smallest_mm3 / voxel_mm3)
    prediction = components > 0

    blobs, _ = ndimage.label(_dilate(reference, rules.dilation), EVERY_NEIGHBOUR)
    lesions, answers = [], set()
    for number, near in enumerate(ndimage.find_objects(blobs), start=1):
        # a blob is the dilation of its own lesion alone, since every dilated voxel hangs together with its origin
        blob = blobs[near] == number
        touching = np.unique(components[near][blob])
        touching = touching[touching > 0]
        answers.update(touching.tolist())
        lesions.append(_compare(reference, blobs, number, components, touching, spacing, rules))
    invented = tuple(float(size * voxel_mm3) for c, size in sizes.items() if c not in answers)

    counted = [lesion for lesion in lesions if lesion.counted]
    total = len(counted) + len(invented)
    return Score(
        dice=sum(lesion.dice for lesion in counted) / total if total else 1.0,
        hd95=(sum(lesion.hd95 for lesion in counted) + rules.worst_mm * len(invented)) / total if total else 0.0,
        global_dice=dice(reference, prediction),
        global_hd95=min(hausdorff95(reference, prediction, spacing), rules.worst_mm),
        lesions=tuple(lesions),
        false_positives=invented,
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """2 |A ∩ B| / (|A| + |B|); 1 where both are empty (Dice 1945)."""
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2.0 * np.count_nonzero(a & b) / total if total else 1.0


def _components(mask: np.ndarray, smallest: float) -> tuple[np.ndarray, dict[int, int]]:
    components, n = ndimage.label(mask, EVERY_NEIGHBOUR)
    sizes = np.bincount(components.ravel(), minlength=n + 1)
    large = sizes >= smallest * (1 - 1e-6)
    large[0] = False
    return np.where(large[components], components, 0), {int(c): int(sizes[c]) for c in np.flatnonzero(large)}


def _dilate(mask: np.ndarray, iterations: int) -> np.ndarray:
    if iterations == 0:  # which scipy takes for "until nothing changes"
        return mask
    return ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations)


def _compare(
    reference: np.ndarray,
    blobs: np.ndarray,
    number: int,
    components: np.ndarray,
    touching: np.ndarray,
    spacing: Sequence[float],
    rules: Rules,
) -> Lesion:
    lesion = reference & (blobs == number)
    answer = np.isin(components, touching) if touching.size else np.zeros_like(lesion)
    voxel_mm3 = float(np.prod(spacing))
    size = np.count_nonzero(lesion) * voxel_mm3
    return Lesion(
        reference_mm3=float(size),
        prediction_mm3=float(np.count_nonzero(answer) * voxel_mm3),
        dice=dice(lesion, answer),
        hd95=min(hausdorff95(lesion, answer, spacing), rules.worst_mm) if touching.size else rules.worst_mm,
        counted=bool(size > rules.uncounted_mm3),
    )
