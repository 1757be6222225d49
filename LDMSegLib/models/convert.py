"""Checkpoints of monai-generative 0.2.3, renamed for the same networks in MONAI ≥ 1.6.

MONAI's own `load_old_state_dict` is not used: it loads `proj_attn`, a layer that monai-generative has but never
applies, into one that MONAI does apply, and so changes what the network computes without saying so.

Every name that MONAI's network expects is traced to the name it had; nothing may be missing and nothing left over.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.models.weights import shapes_of, skeletons

TARGETS = {
    "autoencoder": "monai.networks.nets.AutoencoderKL",
    "unet": "monai.networks.nets.DiffusionModelUNet",
    "controlnet": "monai.networks.nets.ControlNet",
}
EMBEDDING = "monai.networks.nets.controlnet.ControlNetConditioningEmbedding"
# Weights fit any value of these, and only one gives the network that was trained.
REQUIRED = {
    "autoencoder": ("norm_num_groups", "channels"),
    "unet": ("norm_num_groups", "num_head_channels", "channels"),
    "controlnet": ("norm_num_groups", "num_head_channels", "channels"),
}
RENAMED = {"num_channels": "channels", "use_checkpointing": "use_checkpoint"}
NEW_NAMES = (".attn.to_q.", ".postconv.", ".out_proj.")


@dataclass(frozen=True)
class Converted:
    """Networks by name: their configurations in MONAI's `_target_` form and the state dicts that fit them.

    A ControlNet gives two: "controlnet", and "conditioning", its embedding of the image.
    """

    configurations: Mapping[str, Mapping[str, Any]]
    states: Mapping[str, Mapping[str, torch.Tensor]]


def convert_checkpoint(path: str | Path, kind: str, arguments: Mapping[str, Any], key: str | None = None) -> Converted:
    """Read a user's monai-generative checkpoint and convert it.

    Args:
        path: what `torch.save` wrote (.pt, .pth, …), or a .safetensors file.
        kind: "autoencoder", "unet" or "controlnet".
        arguments: see `convert_state`.
        key: where the state dict is in a checkpoint that holds several things; found by itself where there is one.

    Raises:
        InputError: the file is missing, unreadable, holds more than tensors, or no state dict is found in it.
        BundleError: see `convert_state`.
    """
    return convert_state(_state_dict(_read(Path(path)), Path(path), key), kind, arguments)


def convert_state(state: Mapping[str, torch.Tensor], kind: str, arguments: Mapping[str, Any]) -> Converted:
    """Convert a state dict of monai-generative 0.2.3's AutoencoderKL, DiffusionModelUNet or ControlNet.

    Args:
        state: of the network as monai-generative names its parameters; not changed, and not shared with the result.
        kind: "autoencoder", "unet" or "controlnet".
        arguments: the keyword arguments that the network was built with, by monai-generative's names (`num_channels`)
            or MONAI's (`channels`). `norm_num_groups`, and for the other two `num_head_channels`, must be among them:
            weights of the same shape compute something else under another value. `norm_eps` and `use_convtranspose`
            cannot be seen in the weights either; where they are not given they are taken to be the package's defaults.

    Returns:
        Configurations and state dicts, for `save_bundle`.

    Raises:
        BundleError: an argument is missing or cannot be converted, or the weights don't fit the arguments exactly.
    """
    if kind not in TARGETS:
        raise BundleError(f"cannot convert a '{kind}', expected one of {', '.join(TARGETS)}; choose one of these")
    configurations = _configurations(kind, arguments)
    already = [name for name in state if any(part in name for part in NEW_NAMES)]
    if already:
        raise BundleError(
            f"the checkpoint holds '{already[0]}', a name of MONAI ≥ 1.6, expected names of monai-generative 0.2.3; "
            "it needs no conversion: use it as it is"
        )
    used: set[str] = set()
    states: dict[str, dict[str, torch.Tensor]] = {}
    for name, network in skeletons(configurations).items():
        prefix = "controlnet_cond_embedding." if name == "conditioning" else ""
        states[name] = _renamed(shapes_of(network.state_dict()), state, prefix, used)
        # Strict: the last word on whether these weights and this network belong together.
        network.load_state_dict(states[name], strict=True, assign=True)
    left = sorted(state.keys() - used)
    if left:
        raise BundleError(
            f"the checkpoint's '{left[0]}' (one of {len(left)}) has no place in the {kind} that the arguments describe; "
            "give the arguments it was built with"
        )
    return Converted(configurations, states)


def _configurations(kind: str, arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    new = {RENAMED.get(name, name): value for name, value in arguments.items() if name != "_target_"}
    missing = [name for name in REQUIRED[kind] if name not in new]
    if missing:
        raise BundleError(
            f"the argument '{missing[0]}' of the {kind} is missing; give the value the network was built with, "
            "since the weights fit several"
        )
    if not isinstance(new["channels"], (list, tuple)) or not new["channels"]:
        raise BundleError(f"the argument 'channels' of the {kind} is {new['channels']!r}, expected a list; give one number a level")
    if new.get("use_convtranspose"):
        raise BundleError(
            "an autoencoder with use_convtranspose cannot be converted: MONAI up-samples with another kernel size, "
            "expected use_convtranspose false; train it again with MONAI"
        )
    if new.get("use_combined_linear"):
        raise BundleError("use_combined_linear is true, but monai-generative keeps q, k and v apart; leave it out or set it to false")
    cross = bool(new.get("with_conditioning"))
    if cross and new.get("include_fc") is False:
        raise BundleError("include_fc is false, but cross-attention in monai-generative has a final layer; leave it out or set it to true")
    # monai-generative's self-attention has no final layer in effect; its cross-attention has one.
    new.setdefault("include_fc", cross)
    if kind != "controlnet":
        return {kind: {"_target_": TARGETS[kind], **new}}
    embedding = {
        "_target_": EMBEDDING,
        "spatial_dims": new.get("spatial_dims"),
        "in_channels": new.pop("conditioning_embedding_in_channels", 1),
        "out_channels": new["channels"][0],
        "channels": new.pop("conditioning_embedding_num_channels", (16, 32, 96, 256)),
    }
    return {"controlnet": {"_target_": TARGETS[kind], **new}, "conditioning": embedding}


def _renamed(
    expected: Mapping[str, tuple[int, ...]], state: Mapping[str, torch.Tensor], prefix: str, used: set[str]
) -> dict[str, torch.Tensor]:
    """The tensors of `state` under the `expected` names; what was looked at is added to `used`."""
    result = {}
    for name, shape in expected.items():
        block, attention, layer = name.rpartition(".attn.")
        if attention and layer.startswith("out_proj."):
            # In effect monai-generative applies no final layer here, and the identity is what that is.
            result[name] = torch.eye(shape[0]) if layer == "out_proj.weight" else torch.zeros(shape)
            continue
        if attention:
            old = f"{block}.{layer}"
            used |= {f"{block}.proj_attn.weight", f"{block}.proj_attn.bias"}
        else:
            old = name.replace(".postconv.", ".conv.").replace(".out_proj.", ".to_out.0.")
        old = prefix + old
        if old not in state:
            raise BundleError(f"the checkpoint lacks '{old}', which the arguments ask for; give the arguments it was built with")
        if tuple(state[old].shape) != shape:
            raise BundleError(
                f"the checkpoint's '{old}' has shape {tuple(state[old].shape)}, the arguments ask for {shape}; "
                "give the arguments it was built with"
            )
        used.add(old)
        result[name] = state[old].detach().clone()
    return result


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"checkpoint '{path}' is {'a folder' if path.exists() else 'missing'}, expected a file; check the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # The one place that opens a pickle: monai-generative has no other format, and the user names the file. With
        # weights_only torch builds tensors and plain containers and refuses whatever would run code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"checkpoint '{path}' holds more than tensors and would run code when opened; "
            "save network.state_dict() alone, in the program that made it"
        ) from error
    except Exception as error:  # torch and safetensors raise all kinds on a damaged file
        raise InputError(f"checkpoint '{path}' cannot be read ({_first_line(error)}); copy or download it again") from error


def _state_dict(content: Any, path: Path, key: str | None) -> dict[str, torch.Tensor]:
    if key is not None:
        if not isinstance(content, Mapping) or not _is_state(content.get(key)):
            raise InputError(f"checkpoint '{path}' has no state dict under '{key}'; {_holds(content)}: choose another key")
        content = content[key]
    elif not _is_state(content):
        inner = [name for name, value in content.items() if _is_state(value)] if isinstance(content, Mapping) else []
        if len(inner) != 1:
            raise InputError(
                f"checkpoint '{path}' holds {len(inner)} state dicts, expected one; {_holds(content)}: choose one with the key"
            )
        content = content[inner[0]]
    # what DataParallel and DistributedDataParallel put before every name
    if all(name.startswith("module.") for name in content):
        return {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, torch.Tensor) for v in value.values())


def _holds(content: Any) -> str:
    return f"it holds {', '.join(map(str, content))}" if isinstance(content, Mapping) else f"it holds a {type(content).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
