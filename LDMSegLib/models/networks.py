"""One function from configuration to network, for training and for inference.

A configuration is what `configs/inference.json` holds: MONAI's own form, `{"_target_": "package.Class", **arguments}`.
Only the classes below are ever built, so that a bundle from elsewhere cannot name code to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.networks.nets import AutoencoderKL, ControlNet, DiffusionModelUNet
from monai.networks.nets.controlnet import ControlNetConditioningEmbedding

from LDMSegLib.errors import BundleError
from LDMSegLib.models.conditioning import ConditioningEncoder


def _controlnet(**arguments: Any) -> ControlNet:
    """A ControlNet whose conditioning embedding is given ready-made: it is computed once per case, not per step."""
    # MONAI always builds an embedding; this one is thrown away at once, so it is kept tiny.
    network = ControlNet(conditioning_embedding_in_channels=1, conditioning_embedding_num_channels=(8,), **arguments)
    network.controlnet_cond_embedding = torch.nn.Identity()
    return network


NETWORKS = {
    "monai.networks.nets.AutoencoderKL": AutoencoderKL,
    "monai.networks.nets.DiffusionModelUNet": DiffusionModelUNet,
    "monai.networks.nets.ControlNet": _controlnet,
    "monai.networks.nets.controlnet.ControlNetConditioningEmbedding": ControlNetConditioningEmbedding,
    "LDMSegLib.models.conditioning.ConditioningEncoder": ConditioningEncoder,
}


def build(configuration: Mapping[str, Any]) -> torch.nn.Module:
    """Build one network with fresh weights.

    Args:
        configuration: `_target_` (one of `NETWORKS`) and the class's keyword arguments.

    Raises:
        BundleError: the target is not allowed or its arguments don't fit it.
    """
    arguments = dict(configuration)
    target = arguments.pop("_target_", None)
    if target not in NETWORKS:
        raise BundleError(f"the bundle asks for network '{target}', expected one of {', '.join(NETWORKS)}; use a bundle made for LDMSeg")
    try:
        return NETWORKS[target](**arguments)
    except (TypeError, ValueError) as error:
        raise BundleError(f"the bundle's arguments don't fit {target}: {error}; correct configs/inference.json") from error


def start_from_unet(controlnet: torch.nn.Module, unet: torch.nn.Module) -> None:
    """Copy the UNet's encoder into the ControlNet, its starting point (Zhang et al. 2023, arXiv:2302.05543, section 3.1).

    Raises:
        BundleError: the two were not configured alike.
    """
    source = unet.state_dict()
    target = controlnet.state_dict()
    own = {"controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding"}
    wanted = [key for key in target if key.split(".")[0] not in own]
    misfit = [key for key in wanted if key not in source or source[key].shape != target[key].shape]
    if misfit:
        raise BundleError(
            f"the ControlNet's '{misfit[0]}' has no counterpart in the UNet; give both the same channels, blocks and attention"
        )
    controlnet.load_state_dict({**target, **{key: source[key] for key in wanted}})
