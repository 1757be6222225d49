"""A bundle for MONAI itself: `monai.bundle` parses its configuration, builds the networks and loads their weights.

configs/metadata.json     MONAI's standard keys; what LDMSeg knows is under "ldmseg_export"
configs/inference.json    "autoencoder", "unet", "controlnet", …; "network_def" is the UNet; "load_weights" loads all
models/model.pt           the UNet, where monai.bundle.load looks for "network_def"
models/model_<name>.pt    each other network
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from LDMSegLib.io.atomic_folder import new_folder
from LDMSegLib.models.card import RESEARCH
from LDMSegLib.models.layout import CONFIGURATIONS, EXPORTED_KEY, LICENSE, METADATA, README, Bundle
from LDMSegLib.models.networks import build
from LDMSegLib.models.weights import load_networks
from LDMSegLib.specification import Schedule, to_dict

CONTROLNET = "monai.networks.nets.ControlNet"
EMBEDDING = "monai.networks.nets.controlnet.ControlNetConditioningEmbedding"
WITHOUT_EMBEDDING = "LDMSegLib.models.export.controlnet_without_embedding"
MONAI_SCHEDULES = {"scaled_linear": "scaled_linear_beta", "linear": "linear_beta"}
MONAI_PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "x0": "sample"}


def controlnet_without_embedding(**arguments: Any) -> torch.nn.Module:
    """What `_target_` names in an export whose image embedding is a network of its own: the ControlNet that is given it."""
    return build({"_target_": CONTROLNET, **arguments})


def export_monai(bundle: Bundle, folder: str | Path, overwrite: bool = False) -> Path:
    """Write a bundle in the form that `monai.bundle` reads; the folder appears whole or not at all.

    With MONAI's strided embedding as conditioning, each ControlNet is MONAI's own, embedding and all, and takes the
    MRI (N, sequences, X, Y, Z). With another conditioning network the two stay apart: "conditioning" takes the MRI, a
    ControlNet takes its result, and LDMSegLib must be importable; docs/README.md says which it is.

    Args:
        bundle: its weights are verified on the way.
        folder: a new folder; its name is the bundle's name for `monai.bundle.load`.
        overwrite: replace a folder that is already there.

    Returns:
        The folder.

    Raises:
        BundleError: the bundle's weights don't fit (see `load_networks`).
        OutputError: the folder exists or cannot be written.
    """
    networks = load_networks(bundle)
    states = {name: network.state_dict() for name, network in networks.items()}
    configurations = {name: dict(to_dict(configuration)) for name, configuration in bundle.configurations.items()}
    whole = configurations.get("conditioning", {}).get("_target_") == EMBEDDING
    configurations, states = (_merged if whole else _apart)(configurations, states)

    with new_folder(folder, overwrite) as partial:
        for file in (METADATA, "models/model.pt", README):
            (partial / file).parent.mkdir(parents=True, exist_ok=True)
        for name, state in states.items():
            # MONAI reads its weights with torch.load(weights_only=True); this file holds tensors only.
            torch.save(dict(state), partial / _file(name))
        _write_json(partial / METADATA, _metadata(bundle))
        _write_json(partial / CONFIGURATIONS, _inference(bundle, configurations))
        (partial / README).write_text(_readme(bundle, configurations, whole), encoding="utf-8", newline="\n")
        if (bundle.folder / LICENSE).is_file():
            (partial / LICENSE).write_bytes((bundle.folder / LICENSE).read_bytes())
    return Path(folder)


Networks = dict[str, dict[str, Any]]


def _merged(configurations: Networks, states: Networks) -> tuple[Networks, Networks]:
    """Every ControlNet gets the embedding back; the conditioning network disappears in them."""
    embedding, weights = configurations.pop("conditioning"), states.pop("conditioning")
    new_configurations, new_states = {}, {}
    for name, configuration in configurations.items():
        state = states[name]
        if configuration["_target_"] == CONTROLNET:
            configuration = {
                **configuration,
                "conditioning_embedding_in_channels": embedding["in_channels"],
                "conditioning_embedding_num_channels": embedding["channels"],
            }
            state = {**state, **{f"controlnet_cond_embedding.{key}": value for key, value in weights.items()}}
        new_configurations[name], new_states[name] = configuration, state
    return new_configurations, new_states


def _apart(configurations: Networks, states: Networks) -> tuple[Networks, Networks]:
    targets = {CONTROLNET: WITHOUT_EMBEDDING}
    renamed = {name: {**c, "_target_": targets.get(c["_target_"], c["_target_"])} for name, c in configurations.items()}
    return renamed, states


def _file(name: str) -> str:
    return "models/model.pt" if name == "unet" else f"models/model_{name}.pt"


def _metadata(bundle: Bundle) -> dict[str, Any]:
    # Not under "ldmseg": that entry promises LDMSeg's own layout, which this folder doesn't have.
    source = {"bundle": bundle.name, "weights_sha256": bundle.specification.weights.sha256, "specification": to_dict(bundle.specification)}
    return {**bundle.metadata, EXPORTED_KEY: source}


def _inference(bundle: Bundle, configurations: Networks) -> dict[str, Any]:
    loads = [f"$@{name}.load_state_dict(torch.load(@bundle_root + '/{_file(name)}', weights_only=True))" for name in configurations]
    content: dict[str, Any] = {"bundle_root": ".", **configurations}
    if "unet" in configurations:
        content["network_def"] = "@unet"
    scheduler = _scheduler(bundle.specification.schedule)
    if scheduler is not None:
        content["noise_scheduler"] = scheduler
    latent = bundle.specification.latent
    return {**content, "latent_scale": latent.scale, "latent_shift": list(latent.shift), "load_weights": loads}


def _scheduler(schedule: Schedule) -> Mapping[str, Any] | None:
    """MONAI's DDPM scheduler at its full number of steps, where it can express the schedule."""
    if schedule.kind not in MONAI_SCHEDULES or schedule.prediction not in MONAI_PREDICTIONS or schedule.zero_terminal_snr:
        return None
    return {
        "_target_": "monai.networks.schedulers.DDPMScheduler",
        "num_train_timesteps": schedule.steps,
        "schedule": MONAI_SCHEDULES[schedule.kind],
        "beta_start": schedule.beta_start,
        "beta_end": schedule.beta_end,
        "prediction_type": MONAI_PREDICTIONS[schedule.prediction],
        # Label latents reach far beyond [-1, 1], where MONAI would clip them.
        "clip_sample": False,
    }


def _readme(bundle: Bundle, configurations: Networks, whole: bool) -> str:
    s = bundle.specification
    if whole:
        conditioning = (
            f"The ControlNet takes the MRI itself, (1, {len(s.sequences)}, X, Y, Z), channels {', '.join(s.sequence_names)}. "
            "LDMSegLib is not needed."
        )
    elif "conditioning" in configurations:
        conditioning = (
            f"`conditioning` takes the MRI, (1, {len(s.sequences)}, X, Y, Z), channels {', '.join(s.sequence_names)}; its result, "
            "computed once, is what the ControlNet is given. **LDMSegLib must be importable** (`pip install ldmseg`, or its folder "
            "on PYTHONPATH): the `_target_` of these networks names its classes."
        )
    else:
        conditioning = "There is no ControlNet: samples are unconditional."
    files = [f"| `{name}` | `{configuration['_target_']}` | `{_file(name)}` |" for name, configuration in configurations.items()]
    lines = [
        f"# {s.title}",
        "",
        f"**{RESEARCH}** Exported from the LDMSeg bundle `{bundle.name}` for `monai.bundle`.",
        "",
        "| network | class | weights |",
        "|---|---|---|",
        *files,
        "",
        conditioning,
        "",
        "```python",
        "from monai.bundle import ConfigParser",
        "",
        "parser = ConfigParser()",
        'parser.read_config("configs/inference.json")',
        'parser["bundle_root"] = "."',
        'parser.get_parsed_content("load_weights")',
        'unet = parser.get_parsed_content("unet").eval()',
        "```",
        "",
        f"A latent is decoded as `autoencoder.decode(z / {s.latent.scale!r} + shift)` with `shift` = {list(s.latent.shift) or 0}, "
        f"one value a channel; its {len(s.regions)} channels are {', '.join(s.region_names)}.",
        "",
        f"The networks predict `{s.schedule.prediction}` under {s.schedule.steps} steps of `{s.schedule.kind}` noise, "
        f"beta {s.schedule.beta_start:g} to {s.schedule.beta_end:g}. Keep `clip_sample` false.",
        "",
    ]
    return "\n".join(lines)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8", newline="\n")
