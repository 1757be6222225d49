"""Bias field of the coil, estimated by N4 (Tustison et al. 2010, IEEE TMI 29(6):1310-1320).

N4 cannot tell a large lesion from shading altogether: along with the field it takes some of the lesion's contrast. So a prepared case
keeps its images as they are and gets corrected ones beside them; in every mode half of the members see either (`LDMSegLib.inference.tta`),
and where it matters they disagree. What that costs and brings is in MODEL_CARD.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from LDMSegLib.optional import one_thread_each, simpleitk, workers
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume

# Voxels this far apart are enough for a field that is smooth over centimetres; the splines get finer twice.
APART_MM, ITERATIONS = 4.0, (25, 25, 25)


def logarithmic_field(volume: Volume) -> np.ndarray:
    """The natural logarithm of the smooth field that brightness was multiplied by.

    Args:
        volume: a brain on a background of 0.

    Returns:
        float32 (X, Y, Z); 0 on average in the brain, and everywhere where there is too little brain to tell.

    Raises:
        InputError: SimpleITK is not installed.
    """
    sitk = simpleitk("bias field correction")
    steps = [max(1, round(APART_MM / size)) for size in volume.spacing]
    starts = [step // 2 for step in steps]
    coarse = volume.array[tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))].astype(np.float32)
    there = coarse > 0
    if np.count_nonzero(there) < 1000:
        return np.zeros(volume.shape, np.float32)
    image, mask = (sitk.GetImageFromArray(np.ascontiguousarray(a.T)) for a in (coarse, there.astype(np.uint8)))
    with one_thread_each(sitk):  # many small steps: threads would wait for one another, and their number would show in the result
        search = sitk.N4BiasFieldCorrectionImageFilter()
        search.SetMaximumNumberOfIterations(ITERATIONS)
        search.Execute(image, mask)
        found = sitk.GetArrayFromImage(search.GetLogBiasFieldAsImage(image)).T.astype(np.float32)
    grid = volume.affine @ np.diag([*steps, 1.0])
    grid[:3, 3] = volume.affine[:3, :3] @ starts + volume.affine[:3, 3]
    return resample_to(found - found[there].mean(), grid, volume.affine, volume.shape)


def correct_bias_field(volumes: Mapping[str, Volume], threads: int | None = None) -> tuple[dict[str, Volume], dict[str, float]]:
    """Divide images by their bias field.

    Args:
        volumes: brains on a background of 0, by sequence.
        threads: how many images at once; as there are cores by default.

    Returns:
        The images, and the depth of what was taken out of each: the standard deviation of the logarithmic field in the brain.

    Raises:
        InputError: SimpleITK is not installed.
    """

    def one(volume: Volume) -> tuple[Volume, float]:
        field, there = logarithmic_field(volume), volume.array > 0
        depth = float(field[there].std()) if there.any() else 0.0
        return replace(volume, array=volume.array * np.exp(-field)), depth

    with ThreadPoolExecutor(workers(threads)) as pool:
        found = dict(zip(volumes, pool.map(one, volumes.values()), strict=True))
    return {name: volume for name, (volume, _) in found.items()}, {name: depth for name, (_, depth) in found.items()}
