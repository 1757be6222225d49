"""From a run folder to a bundle: the averaged weights of all phases, the measured latent scale, and what they were trained on.

python -m Training.assemble --config Training/configs/small.json --run runs/small --output LDMSegLib/models/embedded/ldmseg-small
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from LDMSegLib.models.bundle import save_bundle
from LDMSegLib.models.networks import build
from LDMSegLib.specification import Latent, Mode, Specification, Weights, from_dict
from Training.configuration import Configuration, read_configuration
from Training.engine import trained_weights

TRAINING_DATA = (
    "RSNA-ASNR-MICCAI BraTS (Baid et al. 2021, arXiv:2107.02314; Menze et al. 2015, IEEE TMI; Bakas et al. 2017, Sci. Data)",
    "Multiple-sclerosis MRI of Lesjak et al. 2018 (CC BY), as brains without tumour",
)


def assemble(configuration: Configuration, run: Path, output: Path, overwrite: bool = False) -> Any:
    """Write the bundle of a finished run and return it as read back.

    Raises:
        FileNotFoundError: a phase has not been trained in this run folder.
        BundleError: weights and configuration don't fit.
    """
    autoencoder, _ = trained_weights(run, "autoencoder")
    unet, extras = trained_weights(run, "diffusion")
    steering, _ = trained_weights(run, "controlnet")
    states = {
        "autoencoder": autoencoder,
        "unet": unet,
        "conditioning": _part(steering, "conditioning"),
        "controlnet": _part(steering, "controlnet"),
    }
    networks = {}
    for name, state in states.items():
        networks[name] = build(configuration.networks[name])
        networks[name].load_state_dict(state)
    specification = Specification(
        name=output.name,
        title=configuration.title,
        sequences=configuration.sequences,
        reference=configuration.reference,
        labels=configuration.labels,
        regions=configuration.regions,
        grid=configuration.grid,
        intensity=configuration.intensity,
        latent=Latent(**extras["latent"]),
        schedule=configuration.schedule,
        modes={name: from_dict(Mode, mode, f"modes.{name}") for name, mode in configuration.modes.items()},
        default_mode=configuration.default_mode,
        weights=Weights("models/model.safetensors", ""),
        training_data=TRAINING_DATA,
    )
    return save_bundle(output, specification, configuration.networks, networks, overwrite=overwrite)


def _part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(name + "."): value for key, value in state.items() if key.startswith(name + ".")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the bundle's folder; its name becomes the bundle's name")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    arguments = parser.parse_args()
    bundle = assemble(read_configuration(arguments.config), arguments.run, arguments.output, arguments.overwrite)
    size = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    print(f"{bundle.folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
