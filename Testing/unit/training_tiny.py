"""A training set and a configuration so small that every phase takes a second: ellipsoid heads, made when asked for."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import nibabel as nib
import numpy as np

from Training.configuration import Configuration, read_configuration
from Training.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
BRAIN = np.array([-119.0, 110.0, 71.5])  # its middle in that space, mm
RADII = np.array([66.0, 80.0, 60.0])
HELD_OUT = "Tiny_003"
HELD_OUT_MAP = "Tiny_Training_103"
FOLDS = [["Tiny_001", "Tiny_Training_101", "Tiny_Training_104"], ["Tiny_002", "Tiny_004", "Tiny_Training_102", "Tiny_Training_105"]]

UNET = {
    "spatial_dims": 3,
    "in_channels": 4,
    "channels": [8, 8],
    "attention_levels": [False, True],
    "num_res_blocks": 1,
    "norm_num_groups": 4,
    "num_head_channels": [0, 8],
    "include_fc": False,
    "use_flash_attention": True,
}
TINY = {
    "name": "tiny",
    "title": "Tiny, for tests",
    "vocabulary": "glioma.json",
    "grid": {"spacing": [8.0, 8.0, 8.0], "shape": [24, 24, 16], "multiple": 8},
    "intensity": {"method": "zscore", "lower": -4.0, "upper": 8.0, "scale": 2.0},
    "latent": {"channels": 4, "downsampling": 4, "normalisation": "tumour"},
    "schedule": {"steps": 50, "kind": "scaled_linear", "beta_start": 0.02, "beta_end": 0.2, "prediction": "v", "zero_terminal_snr": True},
    "modes": {
        "paper": {"sampler": "ddpm", "steps": 50, "members": 30},
        "solver": {"sampler": "dpmpp_2m", "steps": 3, "members": 2},
        "synthesis": {"sampler": "dpmpp_2m", "steps": 3, "members": 1, "controlnet": None},
    },
    "default_mode": "solver",
    "networks": {
        "autoencoder": {
            "_target_": "monai.networks.nets.AutoencoderKL",
            "spatial_dims": 3,
            "in_channels": 3,
            "out_channels": 3,
            "channels": [8, 8, 8],
            "latent_channels": 4,
            "num_res_blocks": 1,
            "norm_num_groups": 4,
            "attention_levels": [False, False, False],
            "with_encoder_nonlocal_attn": False,
            "with_decoder_nonlocal_attn": False,
            "include_fc": False,
        },
        "unet": {"_target_": "monai.networks.nets.DiffusionModelUNet", "out_channels": 4, **UNET},
        "conditioning": {
            "_target_": "LDMSegLib.models.conditioning.ConditioningEncoder",
            "in_channels": 4,
            "regions": 3,
            "out_channels": 8,
            "downsampling": 4,
            "init_filters": 8,
            "blocks_down": [1, 1, 1],
            "blocks_up": [1, 1],
            "latent_channels": 4,
        },
        "controlnet": {"_target_": "monai.networks.nets.ControlNet", **UNET},
    },
    "split": {"validation": [HELD_OUT], "excluded": [HELD_OUT_MAP], "folds": "folds.json"},
    "phases": {
        "autoencoder": {"steps": 8, "batch_size": 2, "learning_rate": 0.003, "flips": True, "rotation": 10.0, "crop": [16, 16, 16]},
        "decoder": {"steps": 8, "batch_size": 1, "learning_rate": 0.001, "flips": True, "latent_noise": 0.2},
        "diffusion": {"steps": 8, "batch_size": 2, "learning_rate": 0.001, "flips": True, "copies": 2},
        "conditioning": {
            "steps": 8,
            "batch_size": 2,
            "learning_rate": 0.001,
            "flips": True,
            "elastic": 0.5,
            "intensity": 0.1,
            "sequence_dropout": 0.2,
            "transplants": 0.5,
            "crop": [16, 16, 16],
        },
        "controlnet": {"steps": 8, "batch_size": 1, "draws": 2, "learning_rate": 0.001, "flips": True, "transplants": 0.5},
    },
}
SHARED = {"schedule": "cosine", "warmup": 2, "ema": 0.8, "full_every": 4, "validate_every": 4, "precision": "32-true"}
for _phase in TINY["phases"].values():
    _phase.update({key: value for key, value in SHARED.items() if key != "full_every" or "crop" in _phase})


def write_configuration(folder: Path, changes: dict | None = None) -> Path:
    """The tiny configuration as a file, with entries of it changed by their path: {"phases.diffusion.steps": 3}."""
    data = copy.deepcopy(TINY)
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        entry = data
        for name in parents:
            entry = entry[name]
        if value is None:
            del entry[last]
        else:
            entry[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "folds.json").write_text(json.dumps({"folds": FOLDS}))
    (folder / "glioma.json").write_text((ROOT / "Training" / "configs" / "glioma.json").read_text())
    (folder / "tiny.json").write_text(json.dumps(data))
    return folder / "tiny.json"


def configuration(folder: Path, changes: dict | None = None) -> Configuration:
    return read_configuration(write_configuration(folder, changes))


def zoomed_affine(shape: tuple[int, int, int]) -> np.ndarray:
    """Affine of a whole 240×240×155 mm BraTS volume (LPS array order) resampled to `shape`, voxel edges aligned."""
    zoom = np.array([240, 240, 155]) / shape
    affine = np.diag([-zoom[0], -zoom[1], zoom[2], 1.0])
    affine[:3, 3] = np.array([0.0, 239.0, 0.0]) + np.array([-1, -1, 1]) * (zoom - 1) / 2
    return affine


def world(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """World coordinates (X, Y, Z, 3) of a grid's voxels, mm."""
    return np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1) @ affine[:3, :3].T + affine[:3, 3]


def labels_at(points: np.ndarray, centre: np.ndarray, size: float = 1.0) -> np.ndarray:
    """A tumour like an onion around `centre` (mm): 1 NCR within 3 ET within 2 ED, of 9, 16 and 24 mm radius."""
    distance = np.linalg.norm(points - centre, axis=-1) / size
    return np.select([distance < 9, distance < 16, distance < 24], [1, 3, 2], 0).astype(np.uint8)


def brain_at(points: np.ndarray) -> np.ndarray:
    return (((points - BRAIN) / RADII) ** 2).sum(axis=-1) < 1


def head(labels: np.ndarray, points: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Four sequences whose brightness says which label a voxel has; exactly 0 outside the brain."""
    rng = np.random.default_rng(seed)
    brain = brain_at(points)
    contrast = {"t1n": (0, -60, -30, -20), "t1c": (0, -60, -20, 160), "t2w": (0, 100, 90, 60), "t2f": (0, 20, 140, 80)}
    return {
        name: ((300 + np.array(values)[labels] + rng.normal(0, 6, labels.shape)) * brain).astype(np.float32)
        for name, values in contrast.items()
    }


def write_case(
    folder: Path, name: str, centre: np.ndarray | None, seed: int = 0, size: float = 1.0, shape=(40, 40, 31), seg: str = "_seg"
) -> Path:
    """A BraTS case folder; without a centre a brain without tumour."""
    affine = zoomed_affine(shape)
    points = world(shape, affine)
    labels = np.zeros(shape, np.uint8) if centre is None else labels_at(points, centre, size) * brain_at(points)
    case = folder / name
    case.mkdir(parents=True)
    for sequence, array in head(labels, points, seed).items():
        nib.save(nib.Nifti1Image(array, affine), case / f"{name}_{sequence}.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), case / f"{name}{seg}.nii.gz")
    return case


def crop_of(centre: np.ndarray, seed: int = 0, size: float = 1.0) -> dict[str, np.ndarray]:
    """A lesion crop of the 128³ grid around a lesion at `centre` (mm): `image_u8`, `seg`, `center`."""
    affine = zoomed_affine((128, 128, 128))
    middle = np.round((np.linalg.inv(affine) @ [*centre, 1.0])[:3]).astype(int)
    window = affine.copy()
    window[:3, 3] = affine[:3, :3] @ (middle - 16) + affine[:3, 3]
    points = world((32, 32, 32), window)
    labels = labels_at(points, centre, size) * brain_at(points)
    z = np.stack([np.where(array != 0, (array - 300) / 20, 0.0) for array in head(labels, points, seed).values()])
    return {"image_u8": np.round((np.clip(z, -4, 8) + 4) / 12 * 255).astype(np.uint8), "seg": labels, "center": middle}


def make_data(folder: Path) -> Path:
    """Four cases (one held out), five label maps and four crops (one of each stems from the held-out patient)."""
    shifts = {"Tiny_001": (30, 10, 5), "Tiny_002": (-28, -25, 10), HELD_OUT: (25, 30, -5), "Tiny_004": (-30, 20, 12)}
    for seed, (name, shift) in enumerate(shifts.items()):
        write_case(folder / "cases", name, BRAIN + shift, seed)
    names = [f"Tiny_Training_{n}" for n in (101, 102, 103, 104, 105)]
    centres = [BRAIN + np.array(shift) for shift in ((20, 0, 0), (-20, 15, 0), (30, -30, 10), (0, 30, 15), (-25, -20, -10))]
    small = (40, 40, 31)
    points = world(small, zoomed_affine(small))
    (folder / "maps").mkdir(parents=True)
    np.savez_compressed(folder / "maps" / "maps.npz", case=names, seg=np.stack([labels_at(points, centre) for centre in centres]))
    crops = [crop_of(centre, seed) for seed, centre in enumerate(centres[:4])]
    columns = {key: np.stack([crop[key] for crop in crops]) for key in crops[0]}
    np.savez_compressed(folder / "maps" / "crops.npz", name=[f"{name}_lesion{7 + i}" for i, name in enumerate(names[:4])], **columns)
    return folder


def prepared(folder: Path, changes: dict | None = None) -> tuple[Path, Path]:
    """(configuration file, run folder) with the data prepared."""
    path = write_configuration(folder, changes)
    prepare(read_configuration(path), make_data(folder / "dataset"), folder / "run")
    return path, folder / "run"
