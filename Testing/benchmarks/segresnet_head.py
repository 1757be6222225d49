"""The conditioning network's own supervised head: a SegResNet trained on the same data, which the ensemble is compared with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from LDMSegLib.inference.segment import network_input
from LDMSegLib.inference.tta import MOST, views
from LDMSegLib.models.bundle import load_networks
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.regions import nest
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.spatial.model_grid import from_grid, place


class HeadPredictions(NamedTuple):
    """Of one case, each (R, X, Y, Z) float32 on its grid: the head's probabilities, their mean over the mode's views, their variance over
    the eight mirrorings, and those of each view alone.
    """

    plain: np.ndarray
    averaged: np.ndarray
    variance: np.ndarray
    by_view: tuple[np.ndarray, ...]


def load_head(model: Model) -> torch.nn.Module:
    """The model's conditioning network, loaded once more for its head."""
    return load_networks(model.bundle, model.device.kind, model.device.dtype, ["conditioning"])["conditioning"]


@torch.inference_mode()
def head_predictions(network: torch.nn.Module, case: Case, model: Model) -> HeadPredictions:
    """What the supervised head of `network` predicts in the views of the model's mode."""
    spec = model.specification
    placed = place(case.foreground(), case.grid.affine, spec.grid)
    mri = network_input(case, spec, placed)
    inside = case.foreground()

    def predict(images: np.ndarray) -> torch.Tensor:
        given = torch.from_numpy(np.ascontiguousarray(images))[None].to(model.device.kind, model.device.dtype)
        return torch.sigmoid(network.logits(given).float())[0].cpu()

    def on_the_case(probabilities: np.ndarray) -> np.ndarray:
        return from_grid(probabilities, placed, case.grid.affine, case.grid.shape) * inside

    seen, mirrored = (
        np.stack([view.inverse(predict(view.forward(mri))).numpy() for view in chosen])
        for chosen in (views(model.mode.views, spec.latent.downsampling), views(MOST))
    )
    return HeadPredictions(
        plain=on_the_case(nest(mirrored[0], spec.regions)),
        averaged=on_the_case(nest(seen.mean(axis=0), spec.regions)),
        variance=on_the_case(mirrored.var(axis=0)),
        by_view=tuple(on_the_case(nest(one, spec.regions)) for one in seen),
    )
