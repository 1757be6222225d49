"""Brains with something in them that the model has not learnt from, made of real ones.

`resected`: a glioma whose core is taken out, as after an operation: the hole is filled with what this patient's own fluid looks
like, the oedema stays. `with_small_lesions`: a glioma, shrunk with its rim and oedema, set at several places into another
brain, as metastases or further foci are. Both are synthetic in what they show and real in the tissue that they are made of.
All sizes here count in voxels of 1 mm, as those of every case in the BraTS layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from LDMSegLib.preprocessing.case import Case

DEPTH = (10.0, 25.0)
"""So deep under the surface of the brain small lesions lie, near the edge of grey and white matter,"""
APART = 35.0
"""so far from each other and from the tumour that is there already,"""
FLUID = 0.5
"""and where T2 is not that much brighter than FLAIR, in SD of the brain: not in a ventricle or a sulcus."""


def resected(case: Case, core: np.ndarray, whole: np.ndarray, seed: int) -> Case:
    """The case with its tumour's core replaced by fluid.

    Args:
        case: with T2 and FLAIR, which tell what is fluid.
        core: (X, Y, Z) bool, what was operated on.
        whole: (X, Y, Z) bool, where no fluid is looked for.
        seed: of the fluid's noise.
    """
    rng, brain = np.random.default_rng(seed), case.foreground()
    hole = ndimage.gaussian_filter((core & brain).astype(np.float32), 1.5) > 0.4
    share = ndimage.gaussian_filter(hole.astype(np.float32), 0.7) * brain
    wet, outside = _wetness(case, brain), brain & ~ndimage.binary_dilation(whole, iterations=5)
    fluid = outside & (wet >= np.percentile(wet[outside], 98))
    arrays = {}
    for name, volume in case.volumes.items():
        values = volume.array[fluid]
        filled = rng.normal(np.median(values), 0.3 * values.std(), volume.array.shape)
        arrays[name] = volume.array + share * (np.maximum(filled, values.min()) - volume.array)
    return _with_arrays(case, arrays)


def with_small_lesions(
    host: Case, donor: Case, whole: np.ndarray, zooms: Sequence[float], seed: int, taken: np.ndarray | None = None
) -> tuple[Case, np.ndarray]:
    """The host with the donor's tumour in it, small and several times.

    Args:
        host: with T2 and FLAIR, which tell what is fluid.
        donor: with the host's sequences.
        whole: (X, Y, Z) bool, the donor's tumour.
        zooms: how large each lesion is, as a share of the donor's.
        seed: of the places.
        taken: (X, Y, Z) bool, the host's own tumour.

    Returns:
        The case, and (X, Y, Z) int on its grid: 1 to N inside the N lesions, 0 elsewhere.

    Raises:
        SystemExit: the host has no room for them.
    """
    rng, brain, tissue = np.random.default_rng(seed), host.foreground(), donor.foreground()
    window = tuple(slice(max(0, s.start - 8), s.stop + 8) for s in ndimage.find_objects(whole.astype(np.uint8))[0])
    arrays = {name: volume.array.astype(np.float32) for name, volume in host.volumes.items()}
    lesions, room = np.zeros(brain.shape, np.int16), _room(host, brain, taken)
    for number, zoom in enumerate(zooms, 1):
        small = ndimage.zoom(whole[window].astype(np.float32), zoom, order=1) > 0.5
        there = _somewhere(room, small.shape, rng)
        share = ndimage.gaussian_filter(ndimage.binary_dilation(small).astype(np.float32), 1.0)
        share *= (ndimage.zoom(tissue[window].astype(np.float32), zoom, order=1) > 0.99) & brain[there]
        for name, array in arrays.items():
            mean, spread = _level(host.volumes[name].array, brain)
            values = ndimage.zoom(_standardised(donor.volumes[name].array, tissue)[window], zoom, order=1)
            array[there] += share * (values * spread + mean - array[there])
        lesions[there][small & (share > 0.5)] = number
        room &= ndimage.distance_transform_edt(lesions == 0) >= APART
    return _with_arrays(host, arrays), lesions


def _room(host: Case, brain: np.ndarray, taken: np.ndarray | None) -> np.ndarray:
    """Voxels that may become the middle of a lesion."""
    depth = ndimage.distance_transform_edt(brain)
    room = (depth >= DEPTH[0]) & (depth <= DEPTH[1]) & (ndimage.gaussian_filter(_wetness(host, brain), 2.0) < FLUID)
    return room if taken is None else room & (ndimage.distance_transform_edt(~taken) >= APART)


def _somewhere(room: np.ndarray, size: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, ...]:
    """A window of some size around one of the voxels, wholly inside the array."""
    half = np.array(size) // 2
    middles = np.argwhere(room)
    middles = middles[((middles >= half) & (middles - half + size <= room.shape)).all(axis=1)]
    if not len(middles):
        raise SystemExit("the brain has no room for so many lesions; take fewer")
    start = middles[rng.integers(len(middles))] - half
    return tuple(slice(int(a), int(a) + n) for a, n in zip(start, size, strict=True))


def _wetness(case: Case, brain: np.ndarray) -> np.ndarray:
    """How much brighter T2 is than FLAIR, in SD of the brain."""
    return _standardised(case.volumes["t2w"].array, brain) - _standardised(case.volumes["t2f"].array, brain)


def _with_arrays(case: Case, arrays: dict[str, np.ndarray]) -> Case:
    """The case with other values where it has some; a voxel of exactly 0 would be background."""
    volumes = {}
    for name, volume in case.volumes.items():
        array = np.where(volume.array != 0, np.where(arrays[name] == 0, 1e-3, arrays[name]), 0)
        volumes[name] = replace(volume, array=array.astype(np.float32))
    return replace(case, volumes=volumes)


def _standardised(array: np.ndarray, brain: np.ndarray) -> np.ndarray:
    mean, spread = _level(array, brain)
    return ((array - mean) / spread).astype(np.float32)


def _level(array: np.ndarray, brain: np.ndarray) -> tuple[float, float]:
    values = array[brain].astype(np.float64)
    return float(values.mean()), float(values.std())
