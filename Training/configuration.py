"""One JSON file says everything about a model: its words, grid, networks, split and the recipe of every phase."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from LDMSegLib.errors import BundleError, InputError
from LDMSegLib.specification import Grid, Intensity, Label, Mode, Region, Schedule, Sequence, from_dict

PHASES = ("autoencoder", "decoder", "diffusion", "conditioning", "controlnet", "distillation")
NETWORKS = ("autoencoder", "unet", "conditioning", "controlnet")
# The loop keeps no loss scale, which float16 would need: a resumed run would not be the same run.
PRECISIONS = ("bf16-mixed", "32-true")


@dataclass(frozen=True)
class Phase:
    """How one phase is trained. Zero or False switches an augmentation off.

    Length: either `steps` (optimiser steps) or `epochs` (as many draws as the phase has items, over and over). `schedule` of the learning
    rate is "constant" or "cosine"; `ema` the decay of the averaged weights (0 = none).

    Geometry: `crop` is the size of tumour-centred crops, with full volumes every `full_every` steps; `flips` mirrors left for right (crops
    of label maps along every axis); `mirrors` is the chance of a case to be mirrored along each of the other axes; `rotation` in degrees,
    `scaling` relative, `elastic` in voxels.

    Images: `intensity` relative; `sequence_dropout` the chance of each sequence to be missing; `bias_corrected` the chance of a case to be
    taken with a simulated bias field that was corrected again (see `Training.bias_corrected`).

    Lesions: `transplants` is the share of items that are lesion crops in another brain; `small_lesions_in_images` the share that get one to
    three small lesions more, made of such crops; `small_lesions_in_labels` the same of label maps, for the autoencoder.

    Latents: `copies` is how many changed versions of each are cached; `sample_latents` takes samples of the autoencoder's posterior in
    place of its mean; `latent_noise` disturbs the latents that the decoder learns from by up to this share of their SD; `draws` is how many
    noise levels one MRI serves in a step; `high_noise` above 0 shows the ControlNet more of the noisy levels, where the MRI decides.

    Distillation alone has `trajectories`, how many MRIs (times `draws` noises) the teacher answers once and for all, in
    `teacher_steps` steps; `timesteps`, at which the student is asked, first to last; and `student_unet`, whether it gets a
    UNet of its own beside its ControlNet.
    """

    batch_size: int
    learning_rate: float
    steps: int = 0
    epochs: int = 0
    schedule: str = "constant"
    warmup: int = 0
    ema: float = 0.0
    flips: bool = False
    mirrors: float = 0.0
    rotation: float = 0.0
    scaling: float = 0.0
    elastic: float = 0.0
    intensity: float = 0.0
    small_lesions_in_labels: float = 0.0
    sequence_dropout: float = 0.0
    transplants: float = 0.0
    small_lesions_in_images: float = 0.0
    bias_corrected: float = 0.0
    crop: tuple[int, ...] = ()
    full_every: int = 0
    kl_weight: float = 0.0
    draws: int = 1
    copies: int = 1
    sample_latents: bool = False
    latent_noise: float = 0.0
    high_noise: float = 0.0
    validate_every: int = 500
    precision: str = "bf16-mixed"
    trajectories: int = 0
    teacher_steps: int = 20
    timesteps: tuple[int, ...] = ()
    student_unet: bool = False


@dataclass(frozen=True)
class Configuration:
    """A parsed configuration file. `latent` holds channels and downsampling; scale and shift are measured in training."""

    name: str
    title: str
    sequences: tuple[Sequence, ...]
    reference: str
    labels: tuple[Label, ...]
    regions: tuple[Region, ...]
    grid: Grid
    intensity: Intensity
    latent: Mapping[str, Any]
    schedule: Schedule
    modes: Mapping[str, Any]
    default_mode: str
    networks: Mapping[str, Mapping[str, Any]]
    validation: tuple[str, ...]
    excluded: tuple[str, ...]
    phases: Mapping[str, Phase]
    training_data: tuple[str, ...] = ()
    folds: tuple[frozenset[str], ...] = ()
    left_out: frozenset[str] = frozenset()

    def without_fold(self, fold: int) -> Configuration:
        """The same configuration, trained on every patient but those of one fold (0 to the number of folds - 1).

        Raises:
            InputError: there is no such fold.
        """
        if not 0 <= fold < len(self.folds):
            raise InputError(
                f"the configuration '{self.name}' has {len(self.folds)} folds, but fold {fold} was asked for; give a number below it"
            )
        return replace(self, left_out=self.folds[fold])

    def leaves_out(self, name: str) -> bool:
        """Whether a name is of a patient of the fold that this configuration leaves out."""
        return _stems_from(name, self.left_out)

    @property
    def held_out(self) -> frozenset[str]:
        """Names that no phase may train on: validation cases and everything that stems from them."""
        return frozenset(self.validation) | frozenset(self.excluded)

    def keeps_out(self, name: str) -> bool:
        """Whether what has this name must not be trained on: a held-out case, or a crop of one (its name and a suffix)."""
        return _stems_from(name, self.held_out)


def _stems_from(name: str, patients: frozenset[str]) -> bool:
    """Whether what has this name is one of the patients, or a crop of one (its name and a suffix)."""
    return any(name == patient or name.startswith((patient + "_", patient + "-")) for patient in patients)


def read_configuration(path: Path) -> Configuration:
    """Read a configuration file and the vocabulary it names beside itself.

    A file that `extends` another beside it holds only what differs.

    Raises:
        InputError: the file or its vocabulary is missing or not JSON, an entry is missing, unknown or of the wrong type, or
            the entries contradict each other.
    """
    data = _extended(Path(path))
    try:
        words = _read(Path(path).parent / data["vocabulary"])
        configuration = Configuration(
            name=data["name"],
            title=data["title"],
            sequences=tuple(from_dict(Sequence, item, "sequences") for item in words["sequences"]),
            reference=words["reference"],
            labels=tuple(from_dict(Label, item, "labels") for item in words["labels"]),
            regions=tuple(from_dict(Region, item, "regions") for item in words["regions"]),
            grid=from_dict(Grid, data["grid"], "grid"),
            intensity=from_dict(Intensity, data["intensity"], "intensity"),
            latent=data["latent"],
            schedule=from_dict(Schedule, data["schedule"], "schedule"),
            modes=data["modes"],
            default_mode=data["default_mode"],
            networks=data["networks"],
            validation=tuple(data["split"]["validation"]),
            excluded=tuple(data["split"]["excluded"]),
            phases={name: from_dict(Phase, phase, f"phases.{name}") for name, phase in data["phases"].items()},
            training_data=tuple(data.get("training_data", ())),
            folds=_folds(Path(path).parent, data["split"]),
        )
        for problem in _problems(configuration):
            raise InputError(f"the configuration {path} cannot be trained: {problem}; correct it")
        return configuration
    except KeyError as error:
        raise InputError(f"the configuration {path} has no entry {error}; add it (see Training/configs/small.json)") from None
    except BundleError as error:
        # The same strict reader as for bundles, whose advice is about bundles.
        what = str(error).removeprefix("the bundle metadata entry ").split(";")[0]
        raise InputError(f"the configuration {path} has a wrong entry: {what}; correct it (see Training/configs/small.json)") from None


def _folds(beside: Path, split: Mapping[str, Any]) -> tuple[frozenset[str], ...]:
    """The folds of the file that the split names: lists of names, all names of one patient in one fold."""
    if "folds" not in split:
        return ()
    folds = tuple(frozenset(names) for names in _read(beside / split["folds"])["folds"])
    names = [name for fold in folds for name in fold]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the folds {beside / split['folds']} name {twice[0]} twice, expected each patient in one fold; correct it")
    return folds


def _extended(path: Path) -> dict[str, Any]:
    data = _read(path)
    base = data.pop("extends", None)
    return _merged(_extended(path.parent / base), data) if base else data


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], value) for key, value in changes.items() if isinstance(base.get(key), Mapping)}
    return {**base, **changes, **both}


def _problems(c: Configuration) -> Iterator[str]:
    """What would only show after hours, or give a bundle that cannot be used."""
    for kind, known, found in (("phase", PHASES, c.phases), ("network", NETWORKS, c.networks)):
        for name in found:
            if name not in known:
                yield f"'{name}' is no {kind}, expected {', '.join(known)}"
    for name in NETWORKS:
        if name not in c.networks:
            yield f"the network '{name}' is missing, expected {', '.join(NETWORKS)}"
    for name, mode in c.modes.items():
        from_dict(Mode, mode, f"modes.{name}")
    if c.default_mode not in c.modes:
        yield f"default_mode is '{c.default_mode}', expected one of {', '.join(c.modes)}"
    if c.intensity.method not in ("zscore", "percentile"):
        yield f"intensity.method is '{c.intensity.method}', expected zscore or percentile"
    yield from _network_problems(c)
    for name, phase in c.phases.items():
        yield from (f"phases.{name}.{problem}" for problem in _phase_problems(name, phase, c))


def _network_problems(c: Configuration) -> Iterator[str]:
    channels, factor = c.latent["channels"], c.latent["downsampling"]
    autoencoder, unet = c.networks["autoencoder"], c.networks["unet"]
    wanted = {
        "autoencoder.in_channels": len(c.regions),
        "autoencoder.out_channels": len(c.regions),
        "autoencoder.latent_channels": channels,
        "unet.in_channels": channels,
        "unet.out_channels": channels,
        "controlnet.in_channels": channels,
        "conditioning.in_channels": len(c.sequences),
        "conditioning.out_channels": unet["channels"][0],
    }
    if c.networks["conditioning"].get("latent_channels"):
        wanted["conditioning.latent_channels"] = channels
    for entry, value in wanted.items():
        network, argument = entry.split(".")
        if c.networks[network][argument] != value:
            yield f"networks.{entry} is {c.networks[network][argument]}, expected {value}"
    if 2 ** (len(autoencoder["channels"]) - 1) != factor:
        yield f"networks.autoencoder has {len(autoencoder['channels'])} levels, which do not give latent.downsampling {factor}"
    needed = factor * 2 ** (len(unet["channels"]) - 1)
    if c.grid.multiple % needed:
        yield f"grid.multiple is {c.grid.multiple}, expected a multiple of {needed}, which the UNet's {len(unet['channels'])} levels need"
    if any(n % c.grid.multiple for n in c.grid.shape):
        yield f"grid.shape {list(c.grid.shape)} does not divide by grid.multiple {c.grid.multiple}"


def _phase_problems(name: str, phase: Phase, c: Configuration) -> Iterator[str]:
    if (phase.steps > 0) == (phase.epochs > 0):
        yield f"steps is {phase.steps} and epochs is {phase.epochs}, expected one of them to be given"
    for entry in ("batch_size", "draws", "copies", "validate_every"):
        if getattr(phase, entry) < 1:
            yield f"{entry} is {getattr(phase, entry)}, expected at least 1"
    if phase.schedule not in ("constant", "cosine"):
        yield f"schedule is '{phase.schedule}', expected constant or cosine"
    if phase.precision not in PRECISIONS:
        yield f"precision is '{phase.precision}', expected {' or '.join(PRECISIONS)}"
    if not 0.0 <= phase.ema < 1.0:
        yield f"ema is {phase.ema}, expected a decay from 0 to below 1"
    divisor = _crop_divisor(name, c)
    if phase.crop and (len(phase.crop) != 3 or any(n % divisor for n in phase.crop)):
        yield f"crop is {list(phase.crop)}, expected three sizes that divide by {divisor}"
    changes = ("rotation", "scaling", "elastic", "intensity", "sequence_dropout", "transplants", "small_lesions_in_images", "crop")
    used = [entry for entry in changes if getattr(phase, entry)]
    if name in ("conditioning", "controlnet", "distillation") and c.intensity.method != "zscore" and used:
        yield f"{used[0]} is {getattr(phase, used[0])}, but changes of images need intensity.method zscore, whose background is 0"
    if name == "distillation":
        yield from _distillation_problems(phase, c)


def _distillation_problems(phase: Phase, c: Configuration) -> Iterator[str]:
    last, times = c.schedule.steps - 1, phase.timesteps
    if not times or times[0] != last or times[-1] < 0 or any(a <= b for a, b in itertools.pairwise(times)):
        yield f"timesteps is {list(times)}, expected falling numbers from {last}, where sampling starts, to 0 at the lowest"
    if phase.trajectories < 1 or phase.trajectories % phase.batch_size:
        yield f"trajectories is {phase.trajectories}, expected a multiple of batch_size {phase.batch_size}"
    if not 1 <= phase.teacher_steps <= c.schedule.steps:
        yield f"teacher_steps is {phase.teacher_steps}, expected 1 to {c.schedule.steps}"
    if c.schedule.prediction == "epsilon":
        # x_0 = (x_T - sigma_T eps) / alpha_T: at the first step every error is divided by an alpha_T near 0.
        yield "timesteps are too few for schedule.prediction epsilon, expected v or x0"


def _crop_divisor(name: str, c: Configuration) -> int:
    """What the networks that see a phase's crops can halve."""
    if name == "conditioning":
        return 2 ** (len(c.networks["conditioning"].get("blocks_down", (1,))) - 1)
    return c.grid.multiple if name in ("controlnet", "distillation") else c.latent["downsampling"]


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the configuration {path} does not exist; give one of Training/configs/*.json") from None
    except OSError as error:
        raise InputError(f"the configuration {path} cannot be read ({error.strerror}); give one of Training/configs/*.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the configuration {path} is not valid JSON ({error}); correct it") from None
