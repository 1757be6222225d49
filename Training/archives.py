"""What comes without whole images: label maps and lesion crops, as arrays of BraTS volumes resampled to 128 voxels along each axis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from LDMSegLib.spatial.model_grid import PlacedGrid, to_grid
from Training.brats_space import BRATS_CENTRE, affine_of, model_grid
from Training.configuration import Configuration
from Training.region_maps import soft_regions


def label_maps(configuration: Configuration, archive: np.lib.npyio.NpzFile) -> Iterator[dict[str, np.ndarray]]:
    """Label maps on the model's grid, centred where brains lie: `name`, `regions`."""
    segmentations, names = archive["seg"], archive["case"]
    placed = model_grid(configuration.grid)
    for name, labels in zip(names, segmentations, strict=True):
        if configuration.keeps_out(str(name)):
            continue
        yield {"name": name, "regions": soft_regions(configuration, labels, affine_of(labels.shape), placed)}


def lesion_crops(configuration: Configuration, archive: np.lib.npyio.NpzFile) -> Iterator[dict[str, np.ndarray]]:
    """Lesion crops on a lattice of the model's spacing: `name`, `image`, `regions`, `inside` the crop, `centre` RAS mm from the brain's.

    They come as z-scores, so a configuration that normalises otherwise has no use for them.
    """
    if configuration.intensity.method != "zscore":
        return
    whole = affine_of((128, 128, 128))
    scale = configuration.intensity.scale
    size = archive["seg"].shape[-1]
    for name, image, labels, centre in zip(archive["name"], archive["image_u8"], archive["seg"], archive["center"], strict=True):
        if configuration.keeps_out(str(name)):
            continue
        affine = whole.copy()
        affine[:3, 3] = whole[:3, :3] @ (centre - size // 2) + whole[:3, 3]
        extent = np.abs(np.diag(affine)[:3]) * size
        spacing = np.asarray(configuration.grid.spacing)
        shape = np.floor(extent / spacing).astype(int)
        middle = whole[:3, :3] @ centre + whole[:3, 3]
        lattice = np.diag([*spacing, 1.0])
        lattice[:3, 3] = middle - spacing * (shape - 1) / 2
        placed = PlacedGrid(lattice, tuple(int(n) for n in shape))
        decoded = image.astype(np.float32) / 255.0 * 12.0 - 4.0
        inside = to_grid(np.ones(labels.shape, np.float32), affine, placed)
        yield {
            "name": name,
            "image": np.stack([to_grid(channel / scale, affine, placed) for channel in decoded]).astype(np.float16),
            "regions": soft_regions(configuration, labels, affine, placed),
            "inside": (inside > 0.99),
            "centre": middle - BRATS_CENTRE,
        }
