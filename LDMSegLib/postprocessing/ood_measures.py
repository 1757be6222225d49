"""Everything that is measured of a case to tell whether it is like those that the model has learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.out_of_distribution import (
    Measures,
    contrast_measures,
    image_measures,
    reconstruction_measures,
    result_measures,
)
from LDMSegLib.postprocessing.regions import nest, threshold_masks
from LDMSegLib.preprocessing.normalisation import background


def measure_case(model: Model, mri: np.ndarray, mean: np.ndarray, present: Sequence[str], limits: Sequence[float]) -> Measures:
    """Measure what the out-of-distribution checks look at, see `postprocessing.out_of_distribution`.

    Args:
        model: its autoencoder makes the reconstruction.
        mri: (S, X, Y, Z), what `segment.prepare` gives.
        mean: (R, X, Y, Z), the members' mean on the same grid.
        present: names of the sequences that the case has.
        limits: by region, the mean at or above which it is on.
    """
    spec = model.specification
    images = mri[[spec.sequence_names.index(name) for name in present]]
    masks = threshold_masks(mean, spec.regions, limits)
    measures = image_measures(images, present, background(spec.intensity))
    measures |= contrast_measures(images, masks, present, spec.regions)
    measures |= result_measures(mean, masks, spec.regions, float(np.prod(spec.grid.spacing)))
    if masks.any():
        with torch.inference_mode():
            again = nest(model.decode(model.encode(mean)), spec.regions).cpu().numpy()
        measures |= reconstruction_measures(masks, threshold_masks(again, spec.regions, spec.threshold), spec.regions)
    return measures
