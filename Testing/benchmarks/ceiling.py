"""What the grid and the autoencoder alone allow: Dice of truth → model grid → (latent →) back, at the case's own voxels.

    python -m Testing.benchmarks.ceiling [BUNDLE]

No segmentation by this bundle can be better than this, however good the diffusion is.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from scipy import ndimage

from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.regions import nest, region_masks
from LDMSegLib.spatial.model_grid import from_grid, place, to_grid
from Testing.benchmarks.process import machine, table
from Testing.benchmarks.real_data import case_folders, truth

SIZES = ((50, 500), (500, 5000), (5000, np.inf))


def main(bundle_name: str | None = None) -> None:
    bundle = find_bundle(bundle_name)
    spec = bundle.specification
    model = Model(bundle, spec.mode(spec.synthesis_mode), choose_device())
    names = spec.region_names
    rows, lesions = [], []
    for folder in case_folders():
        labels, affine = truth(folder)
        masks = region_masks(labels, spec.labels, spec.regions)
        placed = place(labels > 0, affine, spec.grid)
        soft = np.stack([to_grid(mask.astype(np.float32), affine, placed) for mask in masks])
        with torch.inference_mode():
            decoded = nest(model.decode(model.encode(soft)), spec.regions).cpu().numpy()
        by_grid, by_latent = (from_grid(a, placed, affine, labels.shape) >= 0.5 for a in (soft, decoded))
        rows.append(
            [*(dice(m, g) for m, g in zip(masks, by_grid, strict=True)), *(dice(m, a) for m, a in zip(masks, by_latent, strict=True))]
        )
        lesions += _lesions(masks[-1], by_latent[-1])
    values = np.array(rows)
    print(f"Machine: {machine()}. Bundle {bundle.name}, {len(rows)} cases with labels.")
    head = ("", *(f"grid {n}" for n in names), *(f"autoencoder {n}" for n in names))
    body = [("mean", *(f"{v:.3f}" for v in values.mean(axis=0))), ("lowest", *(f"{v:.3f}" for v in values.min(axis=0)))]
    print(table("What the grid and the autoencoder allow (Dice at the case's own voxels)", head, body))
    body = []
    for low, high in SIZES:
        found = [d for size, d in lesions if low < size <= high]
        kept = sum(d > 0 for d in found)
        body.append((f"{low}–{high} voxels", str(len(found)), f"{np.mean(found):.3f}" if found else "", str(len(found) - kept)))
    print(table(f"By lesion size ({names[-1]})", ("lesion", "how many", "mean Dice", "lost"), body))


def _lesions(truth_mask: np.ndarray, predicted: np.ndarray) -> list[tuple[int, float]]:
    """(voxels, Dice within the lesion's own bounding box) of every component of more than 50 voxels."""
    components, _ = ndimage.label(truth_mask, np.ones((3, 3, 3)))
    found = []
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        own = components[box] == number
        if own.sum() > 50:
            found.append((int(own.sum()), dice(own, predicted[box] & ((components[box] == number) | (components[box] == 0)))))
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2])
