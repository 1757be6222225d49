"""Check the chosen volumes before a run starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import slicer

from LDMSegLib.preprocessing import quality
from LDMSegLib.remaining_time import duration
from LDMSegLib.spatial import foreground
from LDMSegLib.spatial.grids import coverage, difference
from LDMSegLib.spatial.limits import (
    FEWEST_VOXELS,
    FULL_COVERAGE,
    LARGEST_SPACING_MM,
    LEAST_FOREGROUND_DICE,
    NO_OVERLAP_DICE,
    SMALLEST_EXTENT_MM,
    SMALLEST_SPACING_MM,
)
from LDMSegLib.spatial.nearest import resample_nearest
from LDMSegLib.specification import Sequence
from LDMSegModule.checks.BrainMaskCheck import mask_findings
from LDMSegModule.checks.Finding import PROBLEM, WARNING, Finding
from LDMSegModule.parameters.SegmentParameters import ALWAYS, DEEPBET, HD_BET, NEVER
from LDMSegModule.scene.BrainChoice import BrainChoice
from LDMSegModule.scene.SceneImage import SceneImage


class Sequences(Protocol):
    """What the preflight needs of a bundle's specification."""

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """All that the model reads."""

    @property
    def reference(self) -> str:
        """The name of the sequence whose grid the result takes."""


@dataclass(frozen=True)
class Preflight:
    """Checks the chosen volumes against a bundle's specification, in half a second at most.

    The sentences about single images are those of the command line (LDMSegLib.preprocessing.quality), measured on every n-th voxel.
    `prepare` is what `ldmseg segment --prepare` will be told: what it puts right is announced, not complained of. `brain` says
    how the brain will be told from the head.
    """

    specification: Sequences
    prepare: str = NEVER
    brain: BrainChoice = BrainChoice()

    @property
    def _sequences(self) -> tuple[Sequence, ...]:
        return self.specification.sequences

    def check(self, nodes: Mapping[str, Any]) -> list[Finding]:
        """What there is to say about sequence name → volume node (or None where nothing is chosen); problems first."""
        chosen = {s.name: nodes[s.name] for s in self._sequences if nodes.get(s.name) is not None}
        findings = [*self._missing(chosen), *_chosen_twice(chosen)]
        images: dict[str, SceneImage] = {}
        for name, node in chosen.items():
            unusable = _unusable(name, node)
            if unusable:
                findings.append(unusable)
            else:
                images[name] = SceneImage.of(node)
        images = {name: image for name, image in images.items() if _keep(_bad_values(name, image), findings)}
        findings += _same_voxels(images)
        measured = {name: foreground.inspect(image.sample) for name, image in images.items()}
        if images:
            findings += self._of_images(images, measured)
        findings += self._of_mask(images, measured)
        return sorted(findings, key=lambda finding: not finding.is_problem)

    def _missing(self, chosen: Mapping[str, Any]) -> list[Finding]:
        if not chosen:
            names = ", ".join(s.title for s in self._sequences)
            return [Finding(PROBLEM, f"No volume is chosen yet: choose {names}.", tuple(s.name for s in self._sequences))]
        findings = []
        for s in self._sequences:
            if s.name in chosen:
                continue
            if s.required:
                text = f"{s.title} ({s.name}) is missing, and this model cannot do without it: choose its volume."
                findings.append(Finding(PROBLEM, text, (s.name,)))
            else:
                text = f"{s.title} ({s.name}) is missing: the model can do without it, but the result will be less sure."
                findings.append(Finding(WARNING, text, (s.name,)))
        return findings

    def _reference(self, images: Mapping[str, SceneImage]) -> str:
        wanted = self.specification.reference
        return wanted if wanted in images else next(iter(images), wanted)

    def _of_mask(self, images: Mapping[str, SceneImage], measured: Mapping[str, foreground.Findings]) -> list[Finding]:
        if self.brain.mask is None:
            return []
        name = self._reference(images)
        background = measured[name].background if name in measured and not measured[name].skull else None
        found = mask_findings(self.brain.mask, self.prepare, name, images.get(name), background)
        return [replace(finding, preparing=True) for finding in found]

    def _of_images(self, images: Mapping[str, SceneImage], measured: Mapping[str, foreground.Findings]) -> list[Finding]:
        reference = self._reference(images)
        skull = [name for name, found in measured.items() if found.skull]
        others = [name for name in images if name != reference]
        said = {name: found for name, found in measured.items() if self.prepare == NEVER or not found.skull}
        findings = [_warning(text, images) for text in quality.image_warnings(said, reference)]
        target = images[reference]
        overlaps, apart = {}, []
        for name, image in images.items():
            if image.geometry.world is None:
                text = f"{name} lies under a non-linear transform and will be resampled where it is seen."
                findings.append(Finding(WARNING, text, (name,)))
            if name == reference:
                continue
            if not image.same_grid(target):
                grid = _grid(name, image, reference, target)
                apart.append(name)
                if self.prepare == NEVER or (grid.is_problem and self.prepare != ALWAYS):
                    findings.append(grid)
                if grid.is_problem:
                    continue
            if not (measured[name].skull or measured[reference].skull):
                overlaps[name] = _foreground_dice(image, measured[name], target, measured[reference])
        if self.prepare != NEVER:
            apart += [name for name, dice in overlaps.items() if dice < LEAST_FOREGROUND_DICE and name not in apart]
            # with a skull nothing tells cheaply whether the patient has moved
            moved = others if skull or self.prepare == ALWAYS else apart
            return findings + _preparing(moved, skull, apart, reference, self.brain)
        nowhere = [name for name, dice in overlaps.items() if dice < NO_OVERLAP_DICE]
        for name in nowhere:
            text = f"The brains in {name} and {reference} do not overlap: check that they belong together and register them."
            findings.append(Finding(PROBLEM, text, (name, reference)))
        rest = {name: dice for name, dice in overlaps.items() if name not in nowhere}
        return findings + [_warning(text, rest) for text in quality.overlap_warnings(rest, reference)]


# Measured on two cores (Testing/benchmarks/raw_speed.py and brain_extraction.py): one sequence of 1 mm, the brain by each method, and
# the turning and resampling around them.
_REGISTRATION_S, _EXTRACTION_S, _AROUND_S = 6.3, {DEEPBET: 5.0, HD_BET: 27.0}, 8.0


def _preparing(moved: list[str], skull: list[str], apart: list[str], reference: str, brain: BrainChoice) -> list[Finding]:
    """What will be done to raw scans before they are segmented, and why."""
    masked, searched = brain.mask is not None, bool(skull) and brain.mask is None
    if not (moved or skull or masked):
        return []
    by = f" by {brain.extraction}" if brain.extraction != DEEPBET else ""
    steps = [f"{', '.join(moved)} will be registered to {reference}"] * bool(moved)
    steps += [f"the brain will be extracted{by}"] * searched + ["the brain will be cut out by the brain mask"] * masked
    reasons = [f"{', '.join(skull)} with skull"] * bool(skull) + [f"{', '.join(apart)} not where {reference} is"] * bool(apart)
    why = f" ({'; '.join(reasons)})" if reasons else ""
    seconds = _AROUND_S + _REGISTRATION_S * len(moved) + _EXTRACTION_S.get(brain.extraction, 0.0) * searched
    text = (
        f"Before the segmentation {' and '.join(steps)}{why}, which takes about {duration(seconds)} more on two CPU cores; look at the "
        "picture of these steps afterwards."
    )
    findings = [Finding(WARNING, text, tuple(moved or skull or (reference,)), preparing=True)]
    if searched and not brain.installed:
        text = (
            f"The brain is to be extracted by {brain.extraction}, which is not installed: install it under Prepare raw scans, or choose "
            f"{DEEPBET} or a brain mask there."
        )
        findings.append(Finding(PROBLEM, text, preparing=True))
    return findings


def _keep(finding: Finding | None, findings: list[Finding]) -> bool:
    if finding:
        findings.append(finding)
    return finding is None


def _chosen_twice(chosen: Mapping[str, Any]) -> list[Finding]:
    return [
        Finding(
            PROBLEM, f"The volume '{node.GetName()}' is chosen both as {name} and as {other}: give each sequence its own.", (name, other)
        )
        for (name, node), (other, same) in combinations(chosen.items(), 2)
        if node is same or (node.GetID() and node.GetID() == same.GetID())
    ]


def _unusable(name: str, node: Any) -> Finding | None:
    """Why a node cannot be read as an image at all."""
    title = node.GetName() or "without a name"
    if node.GetScene() is None:
        return Finding(PROBLEM, f"The volume '{title}' chosen as {name} was deleted: choose another.", (name,))
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLVectorVolumeNode"):
        return Finding(PROBLEM, f"'{title}' ({name}) is not a grey-value volume: choose an MRI volume.", (name,))
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return Finding(PROBLEM, f"'{title}' ({name}) is a label map: choose an MRI volume.", (name,))
    image = node.GetImageData()
    if image is None or min(image.GetDimensions()) == 0 or image.GetPointData().GetScalars() is None:
        return Finding(PROBLEM, f"'{title}' ({name}) holds no voxels: load it again or choose another.", (name,))
    if image.GetNumberOfScalarComponents() != 1:
        return Finding(PROBLEM, f"'{title}' ({name}) holds several values a voxel: choose a grey-value MRI volume.", (name,))
    size = "×".join(str(n) for n in image.GetDimensions())
    if min(image.GetDimensions()) < FEWEST_VOXELS:
        text = (
            f"'{title}' ({name}) has {size} voxels, expected at least {FEWEST_VOXELS} along each axis: choose a volume of the whole brain."
        )
        return Finding(PROBLEM, text, (name,))
    return None


def _bad_values(name: str, image: SceneImage) -> Finding | None:
    spacing = np.asarray(image.geometry.spacing)
    extent = spacing * image.geometry.shape
    flat = not np.isfinite(spacing).all() or abs(np.linalg.det(image.geometry.affine[:3, :3])) < 0.01 * spacing.prod()
    if flat or extent.min() < SMALLEST_EXTENT_MM or spacing.min() < SMALLEST_SPACING_MM or spacing.max() > LARGEST_SPACING_MM:
        size, voxels = "×".join(f"{e:.0f}" for e in extent), "×".join(f"{s:.3g}" for s in spacing)
        text = (
            f"'{image.title}' ({name}) measures {size} mm in voxels of {voxels} mm, expected a whole head (at least "
            f"{SMALLEST_EXTENT_MM:g} mm along each axis, in voxels of {SMALLEST_SPACING_MM:g} to {LARGEST_SPACING_MM:g} mm): check its "
            "voxel size or choose another volume."
        )
        return Finding(PROBLEM, text, (name,))
    low, high = float(image.sample.array.min()), float(image.sample.array.max())
    if not np.isfinite([low, high]).all():
        text = f"'{image.title}' ({name}) holds values that are not numbers: replace them or load the volume again."
        return Finding(PROBLEM, text, (name,))
    if low == high:
        return Finding(PROBLEM, f"'{image.title}' ({name}) is empty: every voxel looked at is {low:g}; choose another volume.", (name,))
    return None


def _same_voxels(images: Mapping[str, SceneImage]) -> list[Finding]:
    findings = []
    for (name, a), (other, b) in combinations(images.items(), 2):
        if a.node is not b.node and a.geometry.shape == b.geometry.shape and np.array_equal(a.sample.array, b.sample.array):
            if np.array_equal(slicer.util.arrayFromVolume(a.node), slicer.util.arrayFromVolume(b.node)):
                text = f"'{a.title}' ({name}) and '{b.title}' ({other}) hold the same image: give each sequence its own."
                findings.append(Finding(PROBLEM, text, (name, other)))
    return findings


def _grid(name: str, image: SceneImage, reference: str, target: SceneImage) -> Finding:
    covered = coverage(*image.grid, *target.grid)
    if covered == 0.0:
        text = f"'{image.title}' ({name}) lies nowhere near {reference}: check that both belong to one patient, and register them."
        return Finding(PROBLEM, text, (name, reference))
    part = f"; it covers {covered:.0%} of its field of view" if covered < FULL_COVERAGE else ""
    text = f"{name} has another voxel grid than {reference} ({difference(*image.grid, *target.grid)}) and will be resampled onto it{part}."
    return Finding(WARNING, text, (name,))


def _foreground_dice(image: SceneImage, found: foreground.Findings, target: SceneImage, wanted: foreground.Findings) -> float:
    """Dice of two images' brains, on a sample of the target's voxels."""
    here = target.sample.array[::2, ::2, ::2]
    every_second = target.sample.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    moved = resample_nearest(image.sample.array, image.sample.affine, every_second, here.shape) != (found.background or 0.0)
    here = here != (wanted.background or 0.0)
    total = int(moved.sum()) + int(here.sum())
    return 2.0 * int((moved & here).sum()) / total if total else 0.0


def _warning(text: str, names: Mapping[str, Any]) -> Finding:
    words = set(text.replace(",", " ").replace("(", " ").split())
    return Finding(WARNING, text[0].upper() + text[1:] + ".", tuple(name for name in names if name in words))
