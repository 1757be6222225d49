"""How far predicted regions are from true ones."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def soft_dice(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over regions of 1 - Dice, pooled over the batch so that an empty region doesn't dominate.

    Args:
        logits: (N, R, X, Y, Z).
        target: same, in [0, 1]; soft at boundaries. The squared form (Milletari et al. 2016, arXiv:1606.04797, eq. 3) has
            its optimum at the soft target itself.
    """
    p = torch.sigmoid(logits.float())
    axes = (0, 2, 3, 4)
    overlap = (p * target).sum(axes)
    total = (p * p).sum(axes) + (target * target).sum(axes)
    return (1 - (2 * overlap + 1.0) / (total + 1.0)).mean()


def region_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Dice and cross-entropy together, equally weighted."""
    return soft_dice(logits, target) + F.binary_cross_entropy_with_logits(logits.float(), target) * 5.0


def hard_dice(probabilities: torch.Tensor, target: torch.Tensor, threshold: float = 0.5) -> torch.Tensor:
    """Dice per region of (R, X, Y, Z) after thresholding; 1 where both are empty."""
    a, b = probabilities > threshold, target > 0.5
    overlap = 2.0 * (a & b).sum(dim=(1, 2, 3))
    total = a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))
    return torch.where(total > 0, overlap / total.clamp(min=1), torch.ones_like(overlap, dtype=torch.float32))
