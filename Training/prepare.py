"""Real data to the model's grid, once, for all phases.

    python -m Training.prepare --config Training/configs/small.json --data DATA --run runs/small

DATA may hold BraTS case folders anywhere below it (four sequences and `*_seg.nii.gz` each), `.npz` files of label maps
(`case`, `seg`) and `.npz` files of lesion crops (`name`, `image_u8`, `seg`, `center`). Validation cases are written
apart and named so; nothing that stems from them is written anywhere else.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np

from LDMSegLib.cases.grid import PlacedGrid, place, to_grid
from LDMSegLib.cases.intensity import normalise
from LDMSegLib.cases.naming import assign
from LDMSegLib.errors import InputError
from Training.configuration import Configuration, read_configuration

# BraTS volumes: 240×240×155 at 1 mm, array order LPS, origin as in the published files.
BRATS_SHAPE = (240, 240, 155)
BRATS_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239], [0, 0, 1.0, 0], [0, 0, 0, 1]])
# Where brains lie in that space (mean bounding-box centre of the cases here), for label maps that come without a brain.
BRATS_CENTRE = np.array([-119.0, 110.0, 71.5])


def prepare(configuration: Configuration, data: Path, run: Path) -> dict[str, int]:
    """Write `run/data/{training,validation}/<case>.npz`, `labelmaps.npz` and `patches.npz`; returns how many of each."""
    target = run / "data"
    counts = {"training": 0, "validation": 0, "labelmaps": 0, "patches": 0}
    for case, folder in _case_folders(data):
        kind = "validation" if case in configuration.validation else "training"
        if kind == "training" and case in configuration.held_out:
            continue
        path = target / kind / f"{case}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(path, **prepare_case(configuration, folder))
        counts[kind] += 1
    maps, patches = [], []
    for path in sorted(data.rglob("*.npz")):
        with np.load(path) as archive:
            if "image_u8" in archive:
                patches += list(_patches(configuration, archive))
            elif "seg" in archive and "case" in archive:
                maps += list(_labelmaps(configuration, archive))
    if maps:
        _save(target / "labelmaps.npz", regions=np.stack(maps))
    if patches:
        columns = {key: np.stack([patch[key] for patch in patches]) for key in patches[0]}
        _save(target / "patches.npz", **columns)
    counts["labelmaps"], counts["patches"] = len(maps), len(patches)
    if not counts["training"] and not maps:
        raise InputError(f"the data folder {data} has no case folder and no .npz file to train on; give a BraTS folder with --data")
    return counts


def prepare_case(configuration: Configuration, folder: Path) -> dict[str, np.ndarray]:
    """One case on the model's grid: `image` float16 (S, X, Y, Z), `regions` uint8 0–255 (R, X, Y, Z), `affine`."""
    paths = assign(sorted(folder.glob("*.nii*")), configuration.sequences)
    volumes = {name: nib.load(path) for name, path in paths.items()}
    affine = volumes[configuration.reference].affine
    arrays = {name: np.asarray(volume.dataobj, dtype=np.float32) for name, volume in volumes.items()}
    foreground = np.any([array != 0 for array in arrays.values()], axis=0)
    placed = place(foreground, affine, configuration.grid)
    image = np.stack([to_grid(normalise(arrays[s.name], configuration.intensity), affine, placed) for s in configuration.sequences])
    truth = sorted(folder.glob("*_seg.nii*"))
    labels = np.asarray(nib.load(truth[0]).dataobj).round().astype(np.uint8) if truth else np.zeros(foreground.shape, np.uint8)
    return {
        "image": image.astype(np.float16),
        "regions": _soft_regions(configuration, labels, affine, placed),
        "affine": placed.affine,
    }


def _case_folders(data: Path) -> Iterator[tuple[str, Path]]:
    """Every folder with a `*_t1c` file (or its aliases) that either has a truth or is known to be free of tumour."""
    for folder in sorted({path.parent for path in data.rglob("*.nii*")}):
        has_truth = any(folder.glob("*_seg.nii*"))
        tumour_free = any(folder.glob("*_mslesion.nii*"))
        if has_truth or tumour_free:
            yield folder.name, folder


def _soft_regions(configuration: Configuration, labels: np.ndarray, affine: np.ndarray, placed: PlacedGrid) -> np.ndarray:
    values = {label.name: label.value for label in configuration.labels}
    regions = [np.isin(labels, [values[name] for name in region.labels]) for region in configuration.regions]
    return np.stack([(to_grid(r.astype(np.float32), affine, placed) * 255).round().astype(np.uint8) for r in regions])


def _labelmaps(configuration: Configuration, archive: np.lib.npyio.NpzFile) -> Iterator[np.ndarray]:
    segmentations, names = archive["seg"], archive["case"]
    spacing = configuration.grid.spacing
    centred = np.diag([*spacing, 1.0])
    centred[:3, 3] = BRATS_CENTRE - np.asarray(spacing) * (np.asarray(configuration.grid.shape) - 1) / 2
    for name, labels in zip(names, segmentations, strict=True):
        if str(name) in configuration.held_out:
            continue
        yield _soft_regions(configuration, labels, _affine_of(labels.shape), PlacedGrid(centred, configuration.grid.shape))


def _patches(configuration: Configuration, archive: np.lib.npyio.NpzFile) -> Iterator[dict[str, np.ndarray]]:
    """Lesion crops on a lattice of the model's spacing: `image`, `regions`, `inside` the crop, `centre` RAS mm from the brain's."""
    whole = _affine_of((128, 128, 128))
    scale = configuration.intensity.scale
    size = archive["seg"].shape[-1]
    for name, image, labels, centre in zip(archive["name"], archive["image_u8"], archive["seg"], archive["center"], strict=True):
        if str(name).rsplit("_", 1)[0] in configuration.held_out:
            continue
        affine = whole.copy()
        affine[:3, 3] = whole[:3, :3] @ (centre - size // 2) + whole[:3, 3]
        extent = np.abs(np.diag(affine)[:3]) * size
        spacing = np.asarray(configuration.grid.spacing)
        shape = np.floor(extent / spacing).astype(int)
        middle = whole[:3, :3] @ centre + whole[:3, 3]
        lattice = np.diag([*spacing, 1.0])
        lattice[:3, 3] = middle - spacing * (shape - 1) / 2
        placed = PlacedGrid(lattice, tuple(int(n) for n in shape))
        decoded = image.astype(np.float32) / 255.0 * 12.0 - 4.0
        inside = to_grid(np.ones(labels.shape, np.float32), affine, placed)
        yield {
            "image": np.stack([to_grid(channel / scale, affine, placed) for channel in decoded]).astype(np.float16),
            "regions": _soft_regions(configuration, labels, affine, placed),
            "inside": (inside > 0.99),
            "centre": middle - BRATS_CENTRE,
        }


def _affine_of(shape: tuple[int, ...]) -> np.ndarray:
    """The affine of a whole BraTS volume resampled to `shape`, voxel edges aligned."""
    zoom = np.asarray(BRATS_SHAPE) / np.asarray(shape)
    step = np.diag([*zoom, 1.0])
    step[:3, 3] = (zoom - 1) / 2
    return BRATS_AFFINE @ step


def _save(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    arguments = parser.parse_args()
    counts = prepare(read_configuration(arguments.config), arguments.data, arguments.run)
    print(", ".join(f"{count} {name}" for name, count in counts.items()))


if __name__ == "__main__":
    main()
