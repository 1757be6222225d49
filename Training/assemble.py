"""From a run folder to a bundle: the averaged weights of all phases, the measured latent scale, and what they were trained on.

    python -m Training.assemble --config Training/configs/small.json --run runs/small --output LDMSegLib/models/embedded/ldmseg-small

Where a student was distilled, the bundle has a mode "fast" and the student's networks under names that end in "_fast".
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from LDMSegLib.errors import InputError
from LDMSegLib.models.bundle import Bundle, save_bundle
from LDMSegLib.models.networks import build
from LDMSegLib.specification import Latent, Mode, Specification, Weights, from_dict
from Training.checkpoints import trained_steps, trained_weights
from Training.command import one_sentence, parser
from Training.configuration import Configuration, read_configuration
from Training.latents import check_latents, load_autoencoder
from Training.trajectories import PHASE, fingerprint

FAST, FAST_MEMBERS = "fast", 30


def assemble(
    configuration: Configuration,
    run: Path,
    output: Path,
    overwrite: bool = False,
    default_mode: str = "",
) -> Bundle:
    """Write the bundle of a run and return it as read back.

    Args:
        configuration, run: what was trained, and where.
        output: the bundle's folder; its name becomes the bundle's name.
        overwrite: replace a bundle that is there.
        default_mode: in place of the configuration's.

    Raises:
        InputError: a phase has not been trained in this run folder, with other networks, or, of the distillation, from another
            teacher.
        BundleError: weights and configuration don't fit.
        OutputError: there is a bundle already and `overwrite` is False, or it cannot be written.
    """
    check_latents(run)
    autoencoder = load_autoencoder(configuration, run, torch.device("cpu")).state_dict()
    unet, extras = _finished(run, "diffusion")
    steering, _ = _finished(run, "controlnet")
    states = {
        "autoencoder": autoencoder,
        "unet": unet,
        "conditioning": _part(steering, "conditioning"),
        "controlnet": _part(steering, "controlnet"),
    }
    modes = {name: from_dict(Mode, mode, f"modes.{name}") for name, mode in configuration.modes.items()}
    student, fast = _distilled(run, fingerprint(unet, steering), max(modes.values(), key=lambda mode: mode.views))
    states |= student
    configurations = {name: configuration.networks[name.removesuffix(f"_{FAST}")] for name in states}
    networks = {}
    for name, state in states.items():
        networks[name] = build(configurations[name])
        try:
            networks[name].load_state_dict(state)
        except RuntimeError:
            raise InputError(
                f"{run} holds another {name} network than the configuration '{configuration.name}' describes, expected the same; "
                "give the configuration it was trained with"
            ) from None
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
        modes=modes | fast,
        default_mode=default_mode or configuration.default_mode,
        weights=Weights("models/model.safetensors", ""),
        training_data=configuration.training_data,
    )
    return save_bundle(output, specification, configurations, networks, overwrite=overwrite)


def _distilled(run: Path, teacher: str, like: Mode) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Mode]]:
    """The student's networks and the mode that uses them, its members made as in another mode.

    Nothing where none was distilled in this run folder.
    """
    if not trained_steps(run, PHASE)[0]:
        return {}, {}
    student, extras = _finished(run, PHASE)
    if extras["teacher"] != teacher:
        raise InputError(
            f"{run / PHASE} was distilled from another UNet or ControlNet than this run now has; delete that folder and run "
            "Training.distillation anew"
        )
    parts = ("controlnet", "unet") if extras["student_unet"] else ("controlnet",)
    times = tuple(extras["timesteps"])
    mode = Mode(
        sampler="distilled",
        steps=len(times),
        members=FAST_MEMBERS,
        title="Distilled",
        unet=f"unet_{FAST}" if extras["student_unet"] else "unet",
        controlnet=f"controlnet_{FAST}",
        timesteps=times,
        views=like.views,
        direct=like.direct,
        attenuation=like.attenuation,
    )
    return {f"{name}_{FAST}": _part(student, name) for name in parts}, {FAST: mode}


def _finished(run: Path, phase: str) -> tuple[dict[str, torch.Tensor], dict]:
    weights, extras = trained_weights(run, phase)
    done, steps = trained_steps(run, phase)
    if done < steps:
        print(f"warning: {phase} stopped at step {done} of {steps}; the bundle holds its weights as they are", file=sys.stderr, flush=True)
    return weights, extras


def _part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(name + "."): value for key, value in state.items() if key.startswith(name + ".")}


def main() -> None:
    """The command line."""
    command = parser(__doc__, "config", "run")
    command.add_argument("--output", type=Path, required=True, help="the bundle's folder; its name becomes the bundle's name")
    command.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    command.add_argument("--default-mode", default="", metavar="M", help="instead of the configuration's, e.g. fast")
    arguments = command.parse_args()
    with one_sentence():
        configuration = read_configuration(arguments.config)
        bundle = assemble(configuration, arguments.run, arguments.output, arguments.overwrite, arguments.default_mode)
    size = sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file())
    print(f"{bundle.folder}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
