"""Prepared real cases made raw on purpose, with the truth kept: moved, cut into thick slices, shaded, noisy, with a skull.

    python -m Testing.benchmarks.make_raw CASE_FOLDER -o OUT [--seed N]

What is added around the brain is synthetic: fluid, bone, a layer of fat, and a neck, drawn from the brain's own outline. Each
sequence gets its own rigid move, its own slices (1 mm, or 1×1×5 mm axial, coronal or sagittal), its own angle, its own order
of axes, a bias field and noise. The results are real patients' images: never part of the repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume

MOST_MM, MOST_DEGREES, MOST_OBLIQUE_DEGREES = 15.0, 15.0, 10.0
THICK_MM = 5.0
BELOW_MM = 45
BIAS, NOISE = 0.15, 0.02
PLANES = {"3d": None, "axial": 2, "coronal": 1, "sagittal": 0}
STORAGE = ("RAS", "LAS", "LPS")

# Grey values of fluid, bone, fat and muscle as multiples of the brain's median, by sequence.
_AROUND = {"t1n": (0.3, 0.15, 1.7, 0.7), "t1c": (0.3, 0.15, 1.6, 0.75), "t2w": (1.8, 0.15, 1.1, 0.4), "t2f": (0.2, 0.15, 1.0, 0.5)}


@dataclass(frozen=True, eq=False)
class Raw:
    """A raw case. `moves` takes the prepared world (RAS mm) to each sequence's own; `planes` says how each was cut."""

    volumes: Mapping[str, Volume]
    moves: Mapping[str, np.ndarray]
    planes: Mapping[str, str]


def make_raw(prepared: Mapping[str, Volume], seed: int, reference: str = "t1c") -> Raw:
    """Make a prepared case raw.

    Args:
        prepared: skull-stripped, co-registered, 1 mm.
        seed: of every choice.
        reference: the sequence that is cut into 1 mm half of the time, as in most protocols.
    """
    rng = np.random.default_rng(seed)
    brain = np.logical_or.reduce([v.array > 0 for v in prepared.values()])
    affine = next(iter(prepared.values())).affine
    tissues, affine, brain, crop = _head(brain, affine)
    volumes, moves, planes = {}, {}, {}
    for name, volume in prepared.items():
        image = _drawn(rng, crop(volume.array), tissues, brain, _AROUND[name])
        centre = affine[:3, :3] @ (np.array(image.shape) / 2) + affine[:3, 3]
        moves[name] = _move(rng, centre)
        planes[name] = str(rng.choice(("3d", "axial", "coronal", "sagittal") if name != reference else ("3d", "3d", "axial", "coronal")))
        volumes[name] = _scanned(rng, image, moves[name] @ affine, PLANES[planes[name]])
    return Raw(volumes, moves, planes)


def _head(brain: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, callable]:
    """Layers around the brain (0 brain or air, 1 fluid, 2 bone, 3 fat, 4 muscle) on a grid with room for the neck."""
    turned = nib.io_orientation(affine)
    to_ras = affine @ nib.orientations.inv_ornt_aff(turned, brain.shape)
    lines = map(np.unique, np.nonzero(nib.apply_orientation(brain, turned)))
    box = [(max(int(line.min()) - 18, 0), int(line.max()) + 19) for line in lines]
    below = max(BELOW_MM - box[2][0], 0)
    cut = tuple(slice(a, b) for a, b in ((box[0]), (box[1]), (max(box[2][0] - BELOW_MM, 0), box[2][1])))

    def crop(array: np.ndarray) -> np.ndarray:
        padded = np.pad(nib.apply_orientation(array, turned)[cut], [(0, 0), (0, 0), (below, 12)])
        return padded.astype(np.float32)

    shifted = to_ras.copy()
    shifted[:3, 3] += to_ras[:3, :3] @ [cut[0].start, cut[1].start, cut[2].start - below]
    inner = crop(brain) > 0.5
    smooth = ndimage.zoom(ndimage.gaussian_filter(inner[::2, ::2, ::2].astype(np.float32), 2.0), 2, order=1)
    smooth = _fitted(smooth, inner.shape) > 0.5
    outside = ndimage.distance_transform_edt(~(smooth | inner)).astype(np.float32)
    layers = np.zeros(inner.shape, np.uint8)
    for upper, value in ((16.0, 3), (9.0, 2), (2.5, 1)):
        layers[outside <= upper] = value
    x, y = np.meshgrid(*[np.arange(n) - n / 2 for n in inner.shape[:2]], indexing="ij")
    radius = np.sqrt(x**2 + (y + 10) ** 2)[..., None]
    low = np.arange(inner.shape[2]) < BELOW_MM + 10
    neck = (radius < 58) & low & (outside > 9)
    layers[neck] = np.where(radius[..., [0]] < 50, 4, 3)[..., [0] * inner.shape[2]][neck]
    layers[inner] = 0
    return layers, shifted, inner, crop


def _fitted(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(array, [(0, max(n - m, 0)) for n, m in zip(shape, array.shape, strict=True)], mode="edge")[tuple(map(slice, shape))]


def _drawn(rng: np.random.Generator, image: np.ndarray, layers: np.ndarray, brain: np.ndarray, grey: tuple[float, ...]) -> np.ndarray:
    """The sequence with its head around it, shaded."""
    median = float(np.median(image[image > 0]))
    values = np.array([0.0, *grey], np.float32) * median
    # Real bone and muscle are not even: a coarse texture keeps a registration from living off flat rings.
    texture = 1 + 0.15 * _stretched(rng.standard_normal([n // 6 + 2 for n in image.shape]), image.shape, order=1)
    head = ndimage.gaussian_filter(values[layers] * texture, 0.7)
    head = np.where(brain & (image > 0), image, head)
    return head * np.exp(BIAS * _stretched(rng.standard_normal((4, 4, 4)), image.shape, order=3))


def _stretched(knots: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    """Few values interpolated over a whole grid by splines, axis by axis, because a spline is a matrix for each axis; float32."""
    for axis, n in enumerate(shape):
        spline = ndimage.zoom(np.eye(knots.shape[axis]), (n / knots.shape[axis], 1), order=order).astype(np.float32)
        knots = np.moveaxis(np.tensordot(spline, knots.astype(np.float32), (1, axis)), 0, axis)
    return np.ascontiguousarray(knots)


def _move(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """A rigid move about the head's middle."""
    move = np.eye(4)
    move[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-MOST_DEGREES, MOST_DEGREES, 3), degrees=True).as_matrix()
    move[:3, 3] = centre - move[:3, :3] @ centre + rng.uniform(-MOST_MM, MOST_MM, 3)
    return move


def _scanned(rng: np.random.Generator, image: np.ndarray, affine: np.ndarray, thick_axis: int | None) -> Volume:
    """The moved head on a scanner's grid: oblique to it, perhaps in thick slices, stored in some order, noisy, whole numbers."""
    reach = np.array(image.shape) + 12
    grid = np.eye(4)
    grid[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * MOST_OBLIQUE_DEGREES, degrees=True).as_matrix()
    centre = affine[:3, :3] @ ((np.array(image.shape) - 1) / 2) + affine[:3, 3]
    grid[:3, 3] = centre - grid[:3, :3] @ ((reach - 1) / 2)
    fine = resample_to(image, affine, grid, reach)
    if thick_axis is not None:
        count = int(THICK_MM)
        fine = np.moveaxis(fine, thick_axis, 0)
        fine = fine[: len(fine) // count * count].reshape(-1, count, *fine.shape[1:]).mean(axis=1)
        fine = np.moveaxis(fine, 0, thick_axis)
        grid[:3, 3] += grid[:3, thick_axis] * (count - 1) / 2
        grid[:3, thick_axis] *= count
    sigma = NOISE * float(np.percentile(fine, 99))
    one, other = (np.float32(sigma) * rng.standard_normal(fine.shape, np.float32) for _ in range(2))
    noisy = np.hypot(fine + one, other)  # Rician, as magnitudes are
    whole = np.rint(noisy * (2000.0 / max(float(noisy.max()), 1e-6))).astype(np.float32)
    turned = nib.orientations.axcodes2ornt(str(rng.choice(STORAGE)))
    now = nib.io_orientation(grid)
    change = nib.orientations.ornt_transform(now, turned)
    stored = np.ascontiguousarray(nib.apply_orientation(whole, change))
    return Volume(stored, grid @ nib.orientations.inv_ornt_aff(change, whole.shape))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path, help="folder with *_t1n.nii.gz, *_t1c.nii.gz, *_t2w.nii.gz, *_t2f.nii.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder, made; nothing in it is replaced")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    raw = make_raw({n: read_volume(next(arguments.case.glob(f"*_{n}.nii.gz"))) for n in _AROUND}, arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, volume in raw.volumes.items():
        file = arguments.output / f"raw_{name}.nii.gz"
        if file.exists():
            raise SystemExit(f"{file} is already there; choose another folder with -o")
        nib.save(nib.Nifti1Image(volume.array.astype(np.int16), volume.affine), file)
        np.savetxt(arguments.output / f"raw_{name}_from_prepared.mat", raw.moves[name])
        print(f"{file}: {raw.planes[name]}, {volume.describe()}")


if __name__ == "__main__":
    main()
