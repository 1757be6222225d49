"""A bundle so small that a whole run takes a second, and a case to go with it. Weights are random: results mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage

from LDMSegLib.models.bundle import save_bundle
from LDMSegLib.models.networks import build
from LDMSegLib.specification import Grid, Intensity, Label, Latent, Mode, Region, Schedule, Sequence, Specification, Weights

SEQUENCES = (
    Sequence("t1n", "T1 native", ("t1",)),
    Sequence("t1c", "T1 post-contrast", ("t1ce",)),
    Sequence("t2w", "T2", ("t2",)),
    Sequence("t2f", "T2-FLAIR", ("flair",)),
)
LABELS = (
    Label("NCR", 1, "Necrosis", (230, 75, 60)),
    Label("ED", 2, "Oedema", (90, 190, 110)),
    Label("ET", 3, "Enhancing", (255, 205, 70), {"brats2017": 4}),
)
REGIONS = (
    Region("ET", "Enhancing tumour", ("ET",), (255, 205, 70)),
    Region("TC", "Tumour core", ("NCR", "ET"), (230, 75, 60)),
    Region("WT", "Whole tumour", ("NCR", "ED", "ET"), (90, 190, 110)),
)
GRID = Grid((6.0, 6.0, 6.0), (24, 28, 20), 4, centre=(0.0, -10.0, 5.0))
CONTRAST, OFFSET = 4.0, -0.5
SHAPE, SPACING = (36, 42, 30), 4.0


def tiny_specification(**changes) -> Specification:
    """Glioma's words on a 6 mm grid; `changes` replace entries."""
    values = {
        "name": "tiny",
        "title": "Tiny networks with random weights",
        "sequences": SEQUENCES,
        "reference": "t1c",
        "labels": LABELS,
        "regions": REGIONS,
        "grid": GRID,
        "intensity": Intensity("zscore", -5.0, 5.0, 5.0),
        "latent": Latent(2, 2, 0.7, (0.1, -0.2)),
        "schedule": Schedule(1000, "scaled_linear", 0.0015, 0.0195, "v", zero_terminal_snr=True),
        "modes": {
            "solver": Mode("dpmpp_2m", 3, 4),
            "long": Mode("ddpm", 1000, 8),
            "synthesis": Mode("dpmpp_2m", 3, 1, controlnet=None),
        },
        "default_mode": "solver",
        "weights": Weights("models/model.safetensors", ""),
    }
    return Specification(**values | changes)


def tiny_configurations(specification: Specification) -> dict[str, dict]:
    """Networks of two levels for that many sequences and regions."""
    regions, latent = len(specification.regions), specification.latent.channels
    unet = {
        "spatial_dims": 3,
        "in_channels": latent,
        "channels": [8, 16],
        "num_res_blocks": 1,
        "attention_levels": [False, True],
        "num_head_channels": [0, 8],
        "norm_num_groups": 4,
        "include_fc": False,
    }
    return {
        "autoencoder": {
            "_target_": "monai.networks.nets.AutoencoderKL",
            "spatial_dims": 3,
            "in_channels": regions,
            "out_channels": regions,
            "channels": [4, 8],
            "latent_channels": latent,
            "num_res_blocks": 1,
            "attention_levels": [False, False],
            "norm_num_groups": 4,
            "with_encoder_nonlocal_attn": False,
            "with_decoder_nonlocal_attn": False,
        },
        "unet": {"_target_": "monai.networks.nets.DiffusionModelUNet", "out_channels": latent, **unet},
        "controlnet": {"_target_": "monai.networks.nets.ControlNet", **unet},
        "conditioning": {
            "_target_": "monai.networks.nets.controlnet.ControlNetConditioningEmbedding",
            "spatial_dims": 3,
            "in_channels": len(specification.sequences),
            "out_channels": 8,
            "channels": [4, 8],
        },
    }


def built(configurations: Mapping[str, Mapping[str, Any]]) -> dict[str, torch.nn.Module]:
    """Every network of a bundle, by name."""
    return {name: build(configuration) for name, configuration in configurations.items()}


def save_tiny_bundle(folder: Path, specification: Specification | None = None, seed: int = 0) -> Path:
    """Write the bundle; every parameter is away from zero, where MONAI starts some and mistakes would not show."""
    specification = specification or tiny_specification()
    configurations = tiny_configurations(specification)
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    networks = built(configurations)
    for network in networks.values():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    weight, bias = [parameter for name, parameter in networks["autoencoder"].named_parameters() if name.startswith("decoder")][-2:]
    with torch.no_grad():  # some places clearly on, most clearly off, as in a segmentation
        weight.mul_(CONTRAST)
        bias.copy_(torch.linspace(OFFSET + 3.0, OFFSET, len(bias)))
    torch.set_rng_state(state)
    save_bundle(folder, specification, configurations, networks)
    return folder


def small_images(names=("t1n", "t1c", "t2w", "t2f"), shape=SHAPE, spacing=SPACING, seed: int = 0) -> dict[str, np.ndarray]:
    """An ellipsoid with smooth grey values for each name, float32 on a background of exactly 0."""
    rng = np.random.default_rng(seed)
    lines = [np.linspace(-1.1, 1.1, n) for n in shape]
    inside = sum(x**2 for x in np.meshgrid(*lines, indexing="ij")) < 1.0
    images = {}
    for name in names:
        grey = ndimage.gaussian_filter(rng.standard_normal(shape), 6.0 / spacing)
        images[name] = np.where(inside, np.rint(400 + 80 * grey / grey.std() + 20 * rng.standard_normal(shape)).clip(1), 0).astype(
            np.float32
        )
    return images


def small_affine(shape=SHAPE, spacing=SPACING, directions: np.ndarray | None = None) -> np.ndarray:
    """Voxel→world RAS mm: the grid's middle at (3, -12, 8), axes along `directions` (columns; RAS without)."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if directions is None else directions) * spacing
    affine[:3, 3] = np.array([3.0, -12.0, 8.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def save_small_case(folder: Path, names=("t1n", "t1c", "t2w", "t2f"), affine: np.ndarray | None = None, seed: int = 0) -> Path:
    """A case's folder with one NIfTI file for each name, <folder>_<name>.nii.gz, 36×42×30 voxels of 4 mm."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in small_images(names, seed=seed).items():
        image = nib.Nifti1Image(array.astype(np.int16), small_affine() if affine is None else affine)
        image.set_data_dtype(np.int16)
        nib.save(image, folder / f"{folder.name}_{name}.nii.gz")
    return folder


FLAIR_MOVED = np.array([8.0, -6.0, 4.0])
"""mm, RAS: where the FLAIR of the raw case lies beside the others."""


def save_raw_case(folder: Path) -> Path:
    """A case whose images are noisy all around (a skull, as far as the checks can tell) and whose FLAIR was moved; and a brain mask."""
    save_small_case(folder)
    rng = np.random.default_rng(0)
    tissue = np.asarray(nib.load(folder / f"{folder.name}_t1c.nii.gz").dataobj, np.float32)
    for k, file in enumerate(sorted(folder.glob("*.nii.gz"))):
        # One anatomy in four contrasts: sequences of one patient.
        array = np.where(tissue > 0, tissue + k * 40 * np.sin(tissue / 30), 0)
        affine = small_affine().copy()
        if "t1c" in file.name:
            nib.save(nib.Nifti1Image((array > 0).astype(np.uint8), affine), folder / "brain_mask.nii.gz")
        if "t2f" in file.name:
            affine[:3, 3] += FLAIR_MOVED
        nib.save(nib.Nifti1Image(array + rng.uniform(1, 9, array.shape).astype(np.float32), affine), file)
    return folder
