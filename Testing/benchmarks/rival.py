"""What the conditioning network's own supervised head answers: a SegResNet trained on the same data, the rival of the ensemble."""

from __future__ import annotations

import numpy as np
import torch

from LDMSegLib.cases.case import Case
from LDMSegLib.cases.grid import from_grid, place
from LDMSegLib.models.model import Model
from LDMSegLib.results.labels import nest
from LDMSegLib.segment import prepare
from LDMSegLib.views import MOST, views


@torch.inference_mode()
def answers(network: torch.nn.Module, case: Case, model: Model) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of the supervised head, their mean over the mode's views and their variance over the eight mirrorings, on
    the case's grid."""
    spec = model.specification
    placed = place(case.foreground(), case.grid.affine, spec.grid)
    mri = prepare(case, spec, placed)

    def answer(images: np.ndarray) -> torch.Tensor:
        given = torch.from_numpy(np.ascontiguousarray(images))[None].to(model.device.kind, model.device.dtype)
        return torch.sigmoid(network.logits(given).float())[0].cpu()

    seen, mirrored = (
        np.stack([view.undone(answer(view.seen(mri))).numpy() for view in chosen])
        for chosen in (views(model.mode.views, spec.latent.downsampling), views(MOST))
    )
    maps = nest(mirrored[0], spec.regions), nest(seen.mean(axis=0), spec.regions), mirrored.var(axis=0)
    inside = case.foreground()
    return tuple(from_grid(m, placed, case.grid.affine, case.grid.shape) * inside for m in maps)
