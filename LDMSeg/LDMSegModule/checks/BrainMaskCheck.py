"""Check a brain mask before a run starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from LDMSegLib.spatial.affine import spacing_of
from LDMSegLib.spatial.limits import FULL_COVERAGE, LARGEST_BRAIN_ML, SMALLEST_BRAIN_ML
from LDMSegModule.checks.Finding import PROBLEM, WARNING, Finding
from LDMSegModule.parameters.SegmentParameters import NEVER
from LDMSegModule.scene.BrainMask import BrainMask
from LDMSegModule.scene.SceneImage import SceneImage
from LDMSegModule.scene.SequenceGuess import RESULT_ATTRIBUTE

LEAST_SHOWN = 0.5
LATTICE = 32
"""Every n-th voxel of the box around the mask is looked at, so that at most this many remain along an axis."""


def mask_findings(node: Any, prepare: str, name: str, image: SceneImage | None, background: float | None) -> list[Finding]:
    """What there is to say about a mask.

    Args:
        node: vtkMRMLSegmentationNode or vtkMRMLLabelMapVolumeNode.
        prepare: As `ldmseg segment --prepare`.
        name: Of the sequence whose brain it is.
        image: Of that sequence; None where there is none that can be read.
        background: The value around a brain that stands alone in that image; None where there is none.
    """
    title = node.GetName() or "without a name"
    if prepare == NEVER:
        text = f"The brain mask '{title}' will not be used, because raw scans are never to be prepared: choose that differently or no mask."
        return [Finding(WARNING, text)]
    if node.GetAttribute(RESULT_ATTRIBUTE) is not None:
        return [Finding(PROBLEM, f"'{title}' is a result of LDMSeg, expected a mask of the brain: choose another brain mask or none.")]
    mask = BrainMask.of(node)
    if mask.problem:
        return [Finding(PROBLEM, f"{mask.problem[0].upper()}{mask.problem[1:]}.")]
    findings = _place(mask, name, image, background) if image is not None and image.geometry.world is not None else []
    if any(finding.is_problem for finding in findings):
        return findings
    if mask.parts > 1:
        findings.append(
            Finding(WARNING, f"The brain mask '{title}' has {mask.parts} segments, all of which together are taken for the brain.")
        )
    if not SMALLEST_BRAIN_ML <= mask.millilitres <= LARGEST_BRAIN_ML:
        text = (
            f"The brain mask '{title}' measures {mask.millilitres:.0f} mL, expected a brain of {SMALLEST_BRAIN_ML:.0f} to "
            f"{LARGEST_BRAIN_ML:.0f} mL: check that it marks the whole brain and nothing else."
        )
        findings.append(Finding(WARNING, text))
    return findings


def _place(mask: BrainMask, name: str, image: SceneImage, background: float | None) -> list[Finding]:
    """Whether the mask lies where the image does, and where that shows something."""
    index = _points(mask) @ _to_voxels(mask, image)[:3].T
    inside = ((index >= -0.5) & (index <= np.asarray(image.geometry.shape) - 0.5)).all(axis=1)
    if not inside.any():
        text = f"The brain mask '{mask.title}' lies nowhere near {name}: choose the mask of this patient's brain, or none."
        return [Finding(PROBLEM, text, (name,))]
    seen = float(inside.mean())
    if seen < FULL_COVERAGE:
        text = f"Of the brain mask '{mask.title}' only {seen:.0%} lies in the field of view of {name}: check that the two belong together."
        return [Finding(WARNING, text, (name,))]
    if background is None:
        return []
    steps = image.sample.spacing / spacing_of(image.geometry.affine)
    nearest = np.clip(np.rint(index[inside] / steps).astype(int), 0, np.array(image.sample.shape) - 1)
    shown = float((image.sample.array[tuple(nearest.T)] != background).mean())
    if shown >= LEAST_SHOWN:
        return []
    text = f"The brain mask '{mask.title}' lies beside the brain in {name}, which fills {shown:.0%} of it: check that they belong together."
    return [Finding(WARNING, text, (name,))]


def _points(mask: BrainMask) -> np.ndarray:
    """(N, 4) homogeneous voxel indices (i, j, k, 1) of marked voxels: every n-th along each axis where that is enough."""
    steps = [-(-n // LATTICE) for n in mask.array.shape]
    found = np.argwhere(mask.array[tuple(slice(None, None, step) for step in steps)]) * steps
    if not len(found):
        found = np.argwhere(mask.array)
    return np.column_stack([found[:, ::-1], np.ones(len(found))])


def _to_voxels(mask: BrainMask, image: SceneImage) -> np.ndarray:
    return np.linalg.inv(image.geometry.affine) @ mask.affine
