"""A synthetic patient: nobody's brain, with a drawn-in tumour, for trying the software without anyone's data.

The brain comes from the MNI152 templates that the nilearn package ships (Fonov et al. 2011, NeuroImage 54:313), bent by a
smooth random deformation. The tumour is a rim of one label around a core of another, with oedema that runs along the white
matter. Contrasts are plausible, not physical. Everything follows from the seed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from LDMSegLib.errors import InputError, OutputError
from LDMSegLib.io.atomic_file import atomic_file
from LDMSegLib.spatial.affine import BRATS_AFFINE
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume

NAME = "synthetic_patient"
DESCRIPTION = b"SYNTHETIC image, not a person"

# The grid of the BraTS data: 1 mm, indices growing towards left, posterior, superior.
SHAPE = (240, 240, 155)

CORE, OEDEMA, RIM = 1, 2, 3

# The part of the grid where the brain lies, and how the template is put there: the mean brain centre of BraTS cases, and
# how much larger the template is along each axis than the brains on that grid.
_BOX = (slice(40, 200), slice(32, 226), slice(0, 150))
_CENTRE = np.array([118.6, 134.9, 75.9])
_TEMPLATE_CENTRE = np.array([98.0, 111.9, 81.5])
_TEMPLATE_LARGER = np.array([1.07, 1.07, 1.13])
_TEMPLATE_ORIGIN = np.array([-98.0, -134.0, -72.0])

# mm around the tumour's centre beyond which nothing of it reaches.
_AROUND = 62

# Where the tumour may sit, MNI mm in deep white matter of the right side; the left is its mirror image.
_PLACES = np.array([[29.0, 30.0, 22.0], [31.0, -42.0, 30.0], [30.0, -66.0, 16.0], [27.0, -8.0, 36.0]])

# Grey values: fluid, grey matter, white matter; tumour core, oedema, rim.
_CONTRASTS = {
    "t1n": ((170, 400, 545), (345, 400, 420)),
    "t1c": ((185, 410, 520), (320, 400, 690)),
    "t2w": ((980, 470, 330), (830, 740, 660)),
    "t2f": ((130, 440, 385), (600, 655, 630)),
}


def says_synthetic(volumes: Iterable[Volume]) -> bool:
    """Whether an image's header says that it is nobody's, as those of `write_synthetic_patient` do."""
    return any(bytes(volume.header["descrip"]).startswith(DESCRIPTION) for volume in volumes if volume.header is not None)


@dataclass(frozen=True, eq=False)
class SyntheticPatient:
    """Four sequences (t1n, t1c, t2w, t2f) on one grid and the true label map, uint8 (X, Y, Z): 1 core, 2 oedema, 3 rim."""

    volumes: Mapping[str, Volume]
    labels: np.ndarray
    affine: np.ndarray


def synthetic_patient(seed: int = 0) -> SyntheticPatient:
    """Build a patient from a seed; the same seed gives the same patient.

    Args:
        seed: any non-negative integer.

    Returns:
        Skull-stripped 1 mm images, 240×240×155, whole grey values with a background of exactly 0, and the truth.

    Raises:
        InputError: nilearn, which ships the templates, is not installed.
    """
    rng = np.random.default_rng(seed)
    t1, grey, white = (_template(name) for name in ("t1", "gm", "wm"))
    shape = tuple(s.stop - s.start for s in _BOX)
    centre, radius = _site(rng)
    coordinates = _coordinates(rng, shape, centre, radius, t1 > 0)
    t1 = ndimage.map_coordinates(t1, coordinates, order=1)
    brain = _largest(t1 > 0.1)
    tissues = _tissues(t1, *(_sampled(image, coordinates, brain) for image in (grey, white)), brain)
    # What concerns the tumour is worked out around it only.
    near = tuple(slice(max(int(c) - _AROUND, 0), min(int(c) + _AROUND, n)) for c, n in zip(centre, shape, strict=True))
    labels = np.zeros(shape, dtype=np.uint8)
    corner = np.array([s.start for s in near])
    middle = _CENTRE[0] - _BOX[0].start - corner[0]
    labels[near] = _tumour(rng, centre - corner, radius, middle, tissues[(slice(None), *near)], brain[near])
    vessels = _vessels(rng, tissues[0])
    volumes = {}
    for name, (normal, tumour) in _CONTRASTS.items():
        image = sum(np.float32(value) * share for value, share in zip(normal, tissues, strict=True))
        _add_tumour(rng, image[near], labels[near], tissues[0][near], tumour)
        if name == "t1c":
            image += 500.0 * vessels
        volumes[name] = Volume(_finished(rng, image, brain), BRATS_AFFINE.copy(), header=_header())
    full = np.zeros(SHAPE, dtype=np.uint8)
    full[_BOX] = labels
    return SyntheticPatient(volumes, full, BRATS_AFFINE.copy())


def write_synthetic_patient(folder: str | Path, seed: int = 0) -> dict[str, Path]:
    """Write a synthetic patient as NIfTI files, each called synthetic in its name and its header.

    Args:
        folder: made if it isn't there.
        seed: see `synthetic_patient`.

    Returns:
        Sequence name → file, and "seg" → the truth.

    Raises:
        InputError: nilearn is not installed.
        OutputError: the folder cannot be written.
    """
    patient = synthetic_patient(seed)
    folder = Path(folder)
    arrays = {name: volume.array.astype(np.int16) for name, volume in patient.volumes.items()}
    arrays["seg"] = patient.labels
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            image = nib.Nifti1Image(array, patient.affine, _header())
            image.set_data_dtype(array.dtype)
            written[name] = folder / f"{NAME}_{name}.nii.gz"
            with atomic_file(written[name], ending=".nii.gz") as unfinished:
                nib.save(image, unfinished)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"the synthetic patient cannot be written to {folder} ({reason}), expected a writable folder with 10 MB free; choose another"
        ) from None
    return written


def _template(name: str) -> np.ndarray:
    """One of the package's MNI152 images, 1 mm, brain only, as float32 in 0 to 1."""
    package = importlib.util.find_spec("nilearn")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            'the synthetic patient needs the package nilearn, which is not installed; install it by pip install "ldmseg[demo]"'
        )
    file = Path(package.submodule_search_locations[0], "datasets", "data", f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
    if file.exists():  # importing nilearn takes seconds, reading its file does not
        image = nib.load(file)
    else:
        from nilearn import datasets  # optional, and needed nowhere else

        loaders = {"t1": "load_mni152_template", "gm": "load_mni152_gm_template", "wm": "load_mni152_wm_template"}
        image = getattr(datasets, loaders[name])(resolution=1)
    array = image.get_fdata(dtype=np.float32)
    return array / array.max()


def _site(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Where in the box the tumour is centred (voxels) and its radius in mm."""
    place = _PLACES[rng.integers(len(_PLACES))] * [rng.choice([-1, 1]), 1, 1] + rng.uniform(-4, 4, 3)
    index = place - _TEMPLATE_ORIGIN
    turned = (index - _TEMPLATE_CENTRE) * [-1, -1, 1]
    start = np.array([s.start for s in _BOX])
    return _CENTRE + turned / _TEMPLATE_LARGER - start, float(rng.uniform(15.0, 20.0))


def _coordinates(
    rng: np.random.Generator, shape: tuple[int, ...], centre: np.ndarray, radius: float, template_brain: np.ndarray
) -> np.ndarray:
    """Template coordinates (3, X, Y, Z) of every voxel in the box: placement, individual shape and the tumour's push."""
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    column = (3, 1, 1, 1)
    away = grid - centre.astype(np.float32).reshape(column)
    distance = np.sqrt((away**2).sum(axis=0)) + 1e-3
    # Tissue is pushed outwards by some mm at the tumour's edge, less with distance and not at all at the brain's surface.
    push = 6.0 * np.minimum(distance / radius, 1.0) * np.exp(-np.maximum(distance - radius, 0.0) / 18.0)
    scale = (_TEMPLATE_LARGER * [-1, -1, 1]).reshape(column).astype(np.float32)
    start = np.array([s.start for s in _BOX])
    offset = (_TEMPLATE_CENTRE.reshape(column) + (start - _CENTRE).reshape(column) * scale).astype(np.float32)

    depth = ndimage.distance_transform_edt(np.pad(template_brain[::2, ::2, ::2], 1)).astype(np.float32)[1:-1, 1:-1, 1:-1] * 2
    placement = np.eye(4)
    placement[:3, :3], placement[:3, 3] = np.diag(scale.ravel()), offset.ravel()
    depth = resample_to(depth, np.diag([2.0, 2, 2, 1]), placement, shape)  # template voxels take the place of the world here
    push *= np.minimum(depth / 15.0, 1.0) / distance
    for axis in range(3):
        grid[axis] += 2.5 * _noise(rng, shape, 22.0) + 0.9 * _noise(rng, shape, 8.0) - away[axis] * push
    grid *= scale
    grid += offset
    return grid


def _sampled(image: np.ndarray, coordinates: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A template at the given coordinates (3, X, Y, Z), only where asked for and 0 elsewhere."""
    out = np.zeros(where.shape, dtype=np.float32)
    out[where] = ndimage.map_coordinates(image, coordinates[:, where], order=1)
    return out


def _tissues(t1: np.ndarray, grey: np.ndarray, white: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Shares of fluid, grey and white matter (3, X, Y, Z), summing to 1 in the brain.

    The templates are averages over many people and so blurred: shares are sharpened, and the fluid of the sulci, which
    averaging has filled, is drawn from what is dark in the T1 image compared with its surroundings.
    """
    crisp = t1 + 1.2 * (t1 - ndimage.gaussian_filter(t1, 2.0))
    fluid = _sigmoid((0.50 - crisp) / 0.05)
    # Averaging thins the white matter of gyri; the T1 image keeps it better than the share does.
    matter = 0.6 * white / np.maximum(white + grey, 0.2) + 0.4 * np.clip((crisp - 0.66) / 0.24, 0.0, 1.0)
    matter = _sigmoid((matter - 0.5) / 0.09)
    return np.stack([fluid, (1 - fluid) * (1 - matter), (1 - fluid) * matter]) * brain


def _tumour(
    rng: np.random.Generator, centre: np.ndarray, radius: float, middle: float, tissues: np.ndarray, brain: np.ndarray
) -> np.ndarray:
    """The true label map (X, Y, Z) of a part of the brain; `centre`, and `middle` between left and right, in its voxels."""
    shape = brain.shape
    fluid, _, white = tissues
    lines = [np.arange(n, dtype=np.float32) - np.float32(c) for n, c in zip(shape, centre, strict=True)]
    grid = np.meshgrid(*lines, indexing="ij", sparse=True)
    stretch = rng.uniform(0.85, 1.2, 3).astype(np.float32)
    distance = np.sqrt(sum((g / s) ** 2 for g, s in zip(grid, stretch, strict=True)))
    lumps, bumps, grain = _noise(rng, shape, 13.0), _noise(rng, shape, 5.0), _noise(rng, shape, 2.2)
    # mm outside the core's surface (negative: inside), made irregular.
    outside = distance - radius * (1 + 0.16 * lumps + 0.07 * bumps)
    solid = ndimage.binary_opening(brain & (ndimage.gaussian_filter(fluid, 1.0) < 0.6))
    core = ndimage.binary_fill_holes(_largest((outside < 0) & solid))
    # The rim is thick in places and nearly broken in others.
    thickness = np.maximum(3.4 + 2.6 * _noise(rng, shape, 9.0) + 1.2 * bumps + 0.7 * grain, 1.2)
    necrosis = ndimage.binary_erosion(core) & (outside < -thickness)
    # Oedema reaches far along white matter, hardly into grey (that makes its fingers), and seldom to the other side.
    smooth_white = ndimage.gaussian_filter(white, 1.2)
    reach = 20.0 * (1 + 0.30 * lumps + 0.25 * _noise(rng, shape, 9.0)) * (0.08 + 0.95 * smooth_white) + 1.2 * grain
    across = np.maximum((middle - centre[0] - grid[0]) * np.sign(centre[0] - middle), 0.0).astype(np.float32)
    far = np.maximum(distance - 42.0, 0.0)  # lets it end by itself before the part of the brain looked at does
    swollen = (outside + 2.0 * across + 3.0 * far < reach) & brain & (fluid < 0.35)
    swollen = ndimage.binary_opening(swollen) | core
    swollen = _connected(ndimage.binary_closing(swollen) & brain & ((fluid < 0.5) | core), core)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[swollen] = OEDEMA
    labels[core] = RIM
    labels[necrosis] = CORE
    return labels


def _add_tumour(rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, fluid: np.ndarray, tumour: tuple[int, ...]) -> None:
    """Blend the tumour into one sequence, in place: edges of a voxel or so, softer for oedema."""
    core, oedema, rim = tumour
    texture, cloud = _noise(rng, image.shape, 1.6), _noise(rng, image.shape, 6.0)
    # What is swollen keeps something of the tissue under it, and fluid between the gyri stays fluid.
    layers = (
        (labels > 0, oedema, 1.6, 0.7 * (1 - fluid), 0.04),
        (np.isin(labels, (CORE, RIM)), rim, 0.7, 1.0, 0.10),
        (labels == CORE, core, 0.8, 1.0, 0.10),
    )
    for inside, value, softness, most, mottle in layers:
        share = ndimage.gaussian_filter(inside.astype(np.float32), softness) * most
        image += share * (value * (1 + mottle * cloud + 0.05 * texture) - image)


def _vessels(rng: np.random.Generator, fluid: np.ndarray) -> np.ndarray:
    """Thin lines (0 to 1) in the fluid spaces, which contrast agent brightens: where two random surfaces cross."""
    lines = np.exp(-((_noise(rng, fluid.shape, 8.0) / 0.10) ** 2) - (_noise(rng, fluid.shape, 8.0) / 0.10) ** 2)
    return lines * ndimage.gaussian_filter(fluid, 0.8)


def _finished(rng: np.random.Generator, image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """A whole volume on the full grid: coil shading, noise, whole numbers, and 0 outside the brain."""
    shading = 1 + 0.05 * _noise(rng, image.shape, 45.0)
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), 0.45) * 22.0
    grey = np.maximum(np.rint(image * shading + noise), 1.0) * brain
    full = np.zeros(SHAPE, dtype=np.float32)
    full[_BOX] = grey
    return full


def _noise(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    """Smooth random field (X, Y, Z), mean 0 and SD 1, whose features are about `size` mm wide."""
    width = size / 2.0
    if width < 1.5:
        field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), width)
        return (field - field.mean()) / field.std()
    knots = [np.arange(-2.0, n / width + 2.0) * width for n in shape]
    field = rng.standard_normal([len(k) for k in knots], dtype=np.float32)
    # The same from few numbers: white noise on a coarse lattice, a Gaussian at each knot, axis by axis since it factorises.
    for n, knot in zip(shape, knots, strict=True):
        weights = np.exp(-(((np.arange(n)[:, None] - knot) / width) ** 2) / 2.0).astype(np.float32)
        field = np.tensordot(field, weights, axes=(0, 1))
    return (field - field.mean()) / field.std()


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.clip(x, -30.0, 30.0)))


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    return mask if count < 2 else parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def _connected(mask: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The parts of a mask that touch the seed."""
    parts, _ = ndimage.label(mask)
    kept = np.unique(parts[seed & mask])
    return np.isin(parts, kept[kept > 0])


def _header() -> nib.Nifti1Header:
    header = nib.Nifti1Header()
    header["descrip"] = DESCRIPTION
    header.set_xyzt_units("mm")
    header.set_sform(BRATS_AFFINE, code="aligned")
    return header
