"""The network that reads the MRI: once per case, so this is where capacity is cheap.

The paper conditions the ControlNet by "a convolutional network trained jointly" with it. A UNet step runs members ×
steps times, this network once; so it is a whole segmentation network (MONAI's SegResNet), and what the ControlNet
receives is everything that network knows, brought to the latent's resolution: its deep features there, its own
full-resolution prediction folded into channels so that no detail is lost to striding, and the latent of that prediction: what
the answer would be if there were no doubt, in the language in which the diffusion answers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.networks.nets import SegResNet
from torch import nn

Encode = Callable[[torch.Tensor], torch.Tensor]


class ConditioningEncoder(nn.Module):
    """MRI (N, in_channels, X, Y, Z) → embedding (N, out_channels, X/f, Y/f, Z/f), f = `downsampling`.

    Args:
        in_channels: MRI sequences.
        regions: channels of the supervised head that keeps the features honest during training.
        out_channels: channels of the embedding, the UNet's first width.
        downsampling: f of the autoencoder, a power of two no larger than 2^(levels - 1).
        init_filters, blocks_down, blocks_up: of the SegResNet (Myronenko 2018, arXiv:1810.11654).
        latent_channels: of the latent guess; 0 = the network does without one.
    """

    def __init__(
        self,
        in_channels: int,
        regions: int,
        out_channels: int,
        downsampling: int = 4,
        init_filters: int = 16,
        blocks_down: tuple[int, ...] = (1, 2, 2, 4),
        blocks_up: tuple[int, ...] = (1, 1, 1),
        latent_channels: int = 0,
    ) -> None:
        super().__init__()
        self.downsampling = downsampling
        self.backbone = SegResNet(
            spatial_dims=3,
            init_filters=init_filters,
            in_channels=in_channels,
            out_channels=regions,
            blocks_down=tuple(blocks_down),
            blocks_up=tuple(blocks_up),
        )
        level = downsampling.bit_length() - 1  # 4 → 2 halvings
        if 2**level != downsampling or level >= len(blocks_down):
            raise ValueError(f"downsampling {downsampling} is not a level of a backbone with {len(blocks_down)} levels")
        self._latent_level = len(blocks_down) - 1 - level
        features = init_filters * 2**level
        folded = regions * downsampling**3
        self.project = nn.Sequential(
            nn.Conv3d(features + folded, 2 * out_channels, 1), nn.SiLU(), nn.Conv3d(2 * out_channels, out_channels, 3, padding=1)
        )
        self.guess = nn.Conv3d(latent_channels, out_channels, 3, padding=1) if latent_channels else None
        if self.guess is not None:
            nn.init.zeros_(self.guess.weight)
            nn.init.zeros_(self.guess.bias)

    def forward(self, mri: torch.Tensor, encode: Encode | None = None) -> torch.Tensor:
        """`encode` turns region probabilities (N, regions, X, Y, Z) into latents in the diffusion's space; needed with a guess."""
        return self.read(mri, encode)[0]

    def read(self, mri: torch.Tensor, encode: Encode | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """(what `forward` gives, the supervised head's probabilities (N, regions, X, Y, Z) float32)."""
        at_latent, logits = self.features(mri)
        answer = torch.sigmoid(logits.float())
        return self.embed(at_latent, logits, None if self.guess is None else encode(answer)), answer

    def logits(self, mri: torch.Tensor) -> torch.Tensor:
        """The supervised head's region logits (N, regions, X, Y, Z)."""
        return self.features(mri)[1]

    def features(self, mri: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(features at latent resolution, full-resolution logits): what training may cache while the backbone is frozen."""
        x, skips = self.backbone.encode(mri)
        levels = [x]
        for up, block, skip in zip(self.backbone.up_samples, self.backbone.up_layers, skips[-2::-1], strict=True):
            x = block(up(x) + skip)
            levels.append(x)
        return levels[self._latent_level], self.backbone.conv_final(x)

    def embed(self, at_latent: torch.Tensor, logits: torch.Tensor, guess: torch.Tensor | None = None) -> torch.Tensor:
        """Embedding from what `features` returned, and the latent of the logits' probabilities where the network takes one."""
        # Logits saturate far from any boundary; beyond ±6 they say nothing more and only stretch the input's range.
        folded = fold(logits.clamp(-6.0, 6.0) / 3.0, self.downsampling)
        embedding = self.project(torch.cat([at_latent, folded.to(at_latent.dtype)], dim=1))
        return embedding if self.guess is None else embedding + self.guess(guess.to(at_latent.dtype))


def fold(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Space to depth: (N, C, X, Y, Z) → (N, C·factor³, X/factor, Y/factor, Z/factor), nothing lost."""
    n, c, *size = x.shape
    x = x.reshape(n, c, size[0] // factor, factor, size[1] // factor, factor, size[2] // factor, factor)
    x = x.permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(n, c * factor**3, *(s // factor for s in size))
