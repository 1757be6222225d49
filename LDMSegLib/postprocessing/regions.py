"""From region probabilities to one integer per voxel, and back, whatever the regions are.

Nesting rule: an inner region is capped at its outer one, p[inner] <- min(p[inner], p[outer]), outermost pair first.
Capping, not raising: where the two disagree the outer region has already been doubted, and lifting it would let the
smallest and most error-prone region enlarge every region around it. Capping also commutes with a threshold
(min(a, b) >= t exactly when a >= t and b >= t) and survives averaging: if every member is nested, so is their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.spatial.boxes import bounding_box
from LDMSegLib.specification import Label, Region, nesting

EVERY_NEIGHBOUR = np.ones((3, 3, 3), bool)
"""26-connectivity, as BraTS counts lesions."""


def nest(probabilities: Any, regions: tuple[Region, ...]) -> Any:
    """Cap every inner region's probability at its outer region's (see the module's first lines).

    Args:
        probabilities: (R, ...) numpy array or torch tensor, one channel per region; not changed.
        regions: The R regions, in channel order.

    Returns:
        A nested copy of the same kind, type and shape.
    """
    nested = probabilities + 0
    for inner, outer in nesting(regions):
        nested[inner] = nested[inner].clip(max=nested[outer])
    return nested


def threshold_masks(probabilities: np.ndarray, regions: tuple[Region, ...], threshold: float | Sequence[float]) -> np.ndarray:
    """Where each region is on: probability at or above the threshold there and in every region around it.

    Args:
        probabilities: (R, X, Y, Z), nested or not.
        regions: The R regions, in channel order.
        threshold: One for all, or one per region.

    Returns:
        (R, X, Y, Z) bool, nested.
    """
    limits = np.broadcast_to(np.asarray(threshold, dtype=np.float32), (len(regions),))
    masks = np.stack([channel >= limit for channel, limit in zip(probabilities, limits, strict=True)])
    for inner, outer in nesting(regions):
        masks[inner] &= masks[outer]
    return masks


def drop_small_components(masks: np.ndarray, regions: tuple[Region, ...], smallest_mm3: float, voxel_mm3: float) -> np.ndarray:
    """Remove 26-connected components smaller than a physical size, outermost regions first, keeping the nesting.

    A component of an outer region goes with everything inside it; a component of an inner region leaves that region
    only, so that its voxels stay in the regions around it.

    Args:
        masks: (R, X, Y, Z) bool; not changed.
        regions: The R regions, in channel order.
        smallest_mm3: Components of at least this size stay; 0 keeps everything.
        voxel_mm3: Size of one voxel.

    Returns:
        (R, X, Y, Z) bool.
    """
    kept = masks.copy()
    if smallest_mm3 <= 0:
        return kept
    pairs = nesting(regions)
    for region in sorted(range(len(regions)), key=lambda r: -len(regions[r].labels)):
        for inner, outer in pairs:
            if inner == region:
                kept[inner] &= kept[outer]
        box = bounding_box(kept[region])
        if box is None:
            continue
        inside = kept[region][box]
        components, _ = ndimage.label(inside, EVERY_NEIGHBOUR)
        sizes = np.bincount(components.ravel()) * voxel_mm3
        # a few voxels' worth of rounding in the voxel size must not decide
        large = sizes >= smallest_mm3 * (1 - 1e-6)
        large[0] = False
        kept[region][box] = large[components]
    return kept


def labels_of_masks(
    masks: np.ndarray,
    labels: tuple[Label, ...],
    regions: tuple[Region, ...],
    convention: str | None = None,
    probabilities: np.ndarray | None = None,
) -> np.ndarray:
    """The label of each voxel: the one that belongs to exactly the regions that are on there.

    Where no label fits exactly (regions that overlap without being nested), the label most of whose regions are on is
    taken among those with all of their regions on; between equals, the one whose least probable region is more
    probable, then the first in the list.

    Args:
        masks: (R, X, Y, Z) bool, nested.
        labels: The labels, each with its value.
        regions: The R regions, in channel order.
        convention: Name of another set of integers (`Label.conventions`), e.g. "brats2017"; a label that does not
            mention it keeps its own value.
        probabilities: (R, X, Y, Z), only to decide between equals.

    Returns:
        (X, Y, Z) uint8; 0 is background.

    Raises:
        InputError: No label knows the convention.
        BundleError: Two labels belong to the same regions, or a value does not fit uint8.
    """
    values = label_values(labels, convention)
    codes = _codes(labels, regions)
    pattern = np.zeros(masks.shape[1:], np.uint8 if len(regions) <= 8 else np.uint64)
    for r, mask in enumerate(masks):
        pattern |= mask.astype(pattern.dtype) << pattern.dtype.type(r)
    if len(regions) > 8:
        found, pattern = np.unique(pattern, return_inverse=True)
        pattern = pattern.reshape(masks.shape[1:])
    else:
        found = np.arange(1 << len(regions))
    exact = np.array([values[codes.index(code)] if code and code in codes else 0 for code in found.tolist()], np.uint8)
    out = exact[pattern]
    for k, code in enumerate(found.tolist()):
        if code and code not in codes:
            here = np.flatnonzero(pattern == k)
            if here.size:
                out.ravel()[here] = _closest(code, codes, values, here, probabilities)
    return out


def label_map(
    probabilities: np.ndarray,
    labels: tuple[Label, ...],
    regions: tuple[Region, ...],
    threshold: float | Sequence[float],
    convention: str | None = None,
    smallest_mm3: float = 0.0,
    voxel_mm3: float = 1.0,
) -> np.ndarray:
    """Probabilities to a label map: threshold, nest, drop small components, one label per voxel.

    Args:
        probabilities: (R, X, Y, Z).
        labels, regions: From the bundle's specification.
        threshold: A region is on at or above it; one for all, or one per region.
        convention: Another set of integers, see `labels_of_masks`.
        smallest_mm3, voxel_mm3: See `drop_small_components`.

    Returns:
        (X, Y, Z) uint8; 0 is background.

    Raises:
        InputError, BundleError: As `labels_of_masks`.
    """
    masks = threshold_masks(probabilities, regions, threshold)
    masks = drop_small_components(masks, regions, smallest_mm3, voxel_mm3)
    return labels_of_masks(masks, labels, regions, convention, probabilities)


def region_masks(
    label_map: np.ndarray, labels: tuple[Label, ...], regions: tuple[Region, ...], convention: str | None = None
) -> np.ndarray:
    """A label map to one mask per region.

    Args:
        label_map: (X, Y, Z) integers.
        labels, regions: From the bundle's specification.
        convention: The set of integers the map is written in, see `labels_of_masks`.

    Returns:
        (R, X, Y, Z) bool.

    Raises:
        InputError: No label knows the convention, or the map holds an integer that is no label's.
    """
    values = label_values(labels, convention)
    of_name = {label.name: value for label, value in zip(labels, values, strict=True)}
    whole = label_map if label_map.dtype == np.uint8 else np.rint(label_map).astype(np.int64)
    present = np.flatnonzero(np.bincount(whole.ravel())) if whole.dtype == np.uint8 else np.unique(whole)
    unknown = sorted(set(present.tolist()) - {0, *values})
    if unknown:
        known = ", ".join(f"{value} ({label.name})" for label, value in zip(labels, values, strict=True))
        raise InputError(
            f"the label map holds the value {unknown[0]}, expected only 0 and {known}: "
            "give a map in this labelling or name the convention it uses"
        )
    lookup = np.zeros((len(regions), max(values) + 1), bool)
    for r, region in enumerate(regions):
        lookup[r, [of_name[name] for name in region.labels]] = True
    return np.stack([row[whole] for row in lookup])


def label_values(labels: tuple[Label, ...], convention: str | None = None) -> tuple[int, ...]:
    """The integer of each label in a convention; their own without one.

    Raises:
        InputError: No label knows the convention.
        BundleError: Values that are not different integers from 1 to 255.
    """
    known = sorted({name for label in labels for name in label.conventions})
    if convention is not None and convention not in known:
        offered = ", ".join(known) if known else "none"
        raise InputError(f"the label convention '{convention}' is unknown to this bundle, which offers: {offered}; choose one of these")
    values = tuple(label.value if convention is None else label.conventions.get(convention, label.value) for label in labels)
    if len(set(values)) != len(values) or min(values) < 1 or max(values) > 255:
        where = f" in the convention '{convention}'" if convention else ""
        raise BundleError(f"the bundle's label values{where} are {values}, expected different integers from 1 to 255; use another bundle")
    return values


def _codes(labels: tuple[Label, ...], regions: tuple[Region, ...]) -> list[int]:
    codes = [sum(1 << r for r, region in enumerate(regions) if label.name in region.labels) for label in labels]
    for i, code in enumerate(codes):
        if code and code in codes[:i]:
            twin = labels[codes.index(code)].name
            raise BundleError(
                f"the bundle's labels {twin} and {labels[i].name} belong to the same regions, so no region can tell them apart"
            )
    return codes


def _closest(code: int, codes: list[int], values: tuple[int, ...], here: np.ndarray, probabilities: np.ndarray | None) -> Any:
    fitting = [i for i, c in enumerate(codes) if c and c & ~code == 0]
    if not fitting:
        return 0
    most = max(codes[i].bit_count() for i in fitting)
    best = [i for i in fitting if codes[i].bit_count() == most]
    if len(best) == 1 or probabilities is None:
        return values[best[0]]
    flat = probabilities.reshape(len(probabilities), -1)
    weakest = np.stack([np.min([flat[r, here] for r in range(len(flat)) if codes[i] >> r & 1], axis=0) for i in best])
    return np.asarray([values[i] for i in best], np.uint8)[weakest.argmax(axis=0)]
