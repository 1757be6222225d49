"""One patient's sequences, read, checked and brought onto one grid."""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Protocol

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.io.printable import printable
from LDMSegLib.preprocessing import quality
from LDMSegLib.preprocessing.case import Case, no_overlap
from LDMSegLib.sequences import naming
from LDMSegLib.spatial import foreground, grids
from LDMSegLib.spatial.limits import FULL_COVERAGE, NO_OVERLAP_DICE
from LDMSegLib.spatial.resampling import resample_to
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Sequence


class Sequences(Protocol):
    """What a case needs of a bundle's specification."""

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """All that the model reads."""

    @property
    def reference(self) -> str:
        """The name of the sequence whose grid the result takes."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images as read, in the specification's order, and what each shows."""

    volumes: Mapping[str, Volume]
    findings: Mapping[str, foreground.Findings]


def load_case(paths: Mapping[str, str | Path], specification: Sequences, id: str | None = None) -> Case:
    """Read a case and bring all its sequences onto the reference's grid.

    A grid within SAME_GRID_MM (spatial/limits.py) of the reference's is the same grid: its values are used as they are, also where
    its axes are stored in another order. Any other is resampled linearly in world space, with a warning.

    Args:
        paths: sequence name → NIfTI file, as `naming.assign` gives it.
        specification: the bundle's, for its sequences and reference sequence.
        id: what to call the case; by default what its file names have in common, else its folder's name.

    Raises:
        InputError: a required sequence is absent, an unknown one is given, one image is given twice, an image cannot be
            read or used (see `read_volume`), or a sequence does not overlap the reference in world space.
    """
    files = known_files(paths, specification)
    return assemble(read_images(files), specification, id or case_id(list(files.values())))


def read_images(files: Mapping[str, Path]) -> Images:
    """Read every file and look at it.

    Raises:
        InputError: a file cannot be read or used (see `read_volume`), or one image is given twice.
    """
    # Decompression lets other threads run; two files at a time keep memory small.
    with ThreadPoolExecutor(max_workers=2) as pool:
        return look_at(dict(zip(files, pool.map(read_volume, files.values()), strict=True)))


def look_at(volumes: Mapping[str, Volume]) -> Images:
    """Inspect images that are in memory; raises InputError where one is given twice."""
    _reject_copies(volumes)
    findings = {name: foreground.inspect(volume) for name, volume in volumes.items()}
    return Images({name: quality.without_noise(volume, findings[name]) for name, volume in volumes.items()}, findings)


def assemble(images: Images, specification: Sequences, id: str) -> Case:
    """Bring images onto the reference's grid, as their headers say (see `load_case`)."""
    volumes, findings = dict(images.volumes), images.findings
    reference, warnings = reference_of(tuple(volumes), specification)
    warnings += quality.image_warnings(findings, reference)
    for name, volume in volumes.items():
        background = None if findings[name].skull else findings[name].background
        if background:
            volumes[name] = replace(volume, array=volume.array - np.float32(background))
    target = volumes[reference]
    for name, volume in volumes.items():
        volumes[name], note = _onto(name, volume, reference, target)
        warnings += note
    stripped = [name for name, found in findings.items() if not found.skull]
    warnings += _overlaps({name: volumes[name] for name in stripped}, reference)
    return Case(id=id, volumes=volumes, reference=reference, warnings=tuple(warnings), missing=missing_from(volumes, specification))


def case_id(files: list[Path]) -> str:
    """What the files' names have in common up to a separator, else the name of the folder they lie in, else "case"."""
    return common_name(files) or printable(files[0].resolve().parent.name) or "case"


def common_name(files: list[Path]) -> str:
    """What the files' names have in common up to a separator; "" where that is nothing."""
    names = [naming.stem(file) for file in files]
    common = os.path.commonprefix(names)  # noqa: RUF071  (names, not paths: letter by letter is meant)
    if any(len(name) > len(common) and name[len(common)].isalnum() for name in names):
        # The prefix ends within a word: go back to the last separator.
        end = max((i for i, letter in enumerate(common) if not letter.isalnum()), default=0)
        common = common[:end]
    return printable(common.strip(" _-.+")) if len(names) > 1 else ""


def missing_from(present: Container[str], specification: Sequences) -> tuple[str, ...]:
    """The sequences that are not there."""
    return tuple(s.name for s in specification.sequences if s.name not in present)


def known_files(paths: Mapping[str, str | Path], specification: Sequences) -> dict[str, Path]:
    """Check a choice of files against what a model reads, and put it in its order; raises InputError as `load_case`."""
    files = {name: Path(paths[name]).expanduser() for name in known_names(paths, specification)}
    for (name, file), (other, same) in combinations(files.items(), 2):
        if file.resolve() == same.resolve():
            raise InputError(f"the file {file} was given both as {name} and as {other}, expected two different images; give each its own")
    return files


def known_names(paths: Collection[str], specification: Sequences) -> tuple[str, ...]:
    """Check for which sequences there are images, and put their names in the model's order; raises InputError as `load_case`."""
    names = tuple(s.name for s in specification.sequences)
    unknown = [name for name in paths if name not in names]
    if unknown:
        raise InputError(f"the sequence '{unknown[0]}' is not known to this model, expected {', '.join(names)}; give only these")
    absent = [s for s in specification.sequences if s.required and s.name not in paths]
    if absent:
        what = " and ".join(f"{s.title} ({s.name})" for s in absent)
        needed = ", ".join(s.name for s in specification.sequences if s.required)
        raise InputError(f"no image was given for {what}, this model needs {needed}; add it")
    if not paths:
        raise InputError(f"no image was given, expected at least one of {', '.join(names)}; add one")
    return tuple(name for name in names if name in paths)


def _reject_copies(volumes: Mapping[str, Volume]) -> None:
    for (name, volume), (other, same) in combinations(volumes.items(), 2):
        a, b = volume.array, same.array
        if a.shape == b.shape and np.array_equal(a[::7, ::7, ::7], b[::7, ::7, ::7]) and np.array_equal(a, b):
            raise InputError(
                f"{volume.path or name} and {same.path or other} hold the same image, "
                f"expected two different sequences ({name} and {other}); give the right "
                "file for each"
            )


def reference_of(present: tuple[str, ...], specification: Sequences) -> tuple[str, list[str]]:
    """The sequence whose grid counts, and what to say of it where it is not the one that the model wants."""
    wanted = specification.reference
    if wanted in present:
        return wanted, []
    return present[0], [f"{wanted} is missing, so {present[0]} gives the grid of the results; add {wanted} if there is one"]


def _onto(name: str, volume: Volume, reference: str, target: Volume) -> tuple[Volume, list[str]]:
    """The volume on the target's grid, and what to tell about it."""
    if volume is target:
        return volume, []
    array, affine = grids.aligned_axes(volume.array, volume.affine, target.affine)
    if grids.same_grid(affine, array.shape, target.affine, target.shape):
        return replace(volume, array=np.ascontiguousarray(array), affine=target.affine), []
    covered = grids.coverage(volume.affine, volume.shape, target.affine, target.shape)
    if covered == 0.0:
        raise no_overlap(name, volume, reference, target)
    moved = resample_to(volume.array, volume.affine, target.affine, target.shape)
    # Averaging over larger voxels must not widen a brain: what holds no brain at its centre stays background.
    shown = resample_to((volume.array != 0).astype(np.float32), volume.affine, target.affine, target.shape, smooth=False)
    moved[shown == 0] = 0
    if not moved.any():
        raise no_overlap(name, volume, reference, target)
    how = grids.difference(volume.affine, volume.shape, target.affine, target.shape)
    part = f", covering {covered:.0%} of its field of view" if covered < FULL_COVERAGE else ""
    note = f"{name} lies on another grid than {reference} and was resampled onto it: {how}{part}; check that the two are aligned"
    return replace(volume, array=moved, affine=target.affine), [note]


def _overlaps(volumes: Mapping[str, Volume], reference: str) -> list[str]:
    if reference not in volumes:
        return []
    dice = {n: foreground.foreground_dice(v.array, volumes[reference].array) for n, v in volumes.items() if n != reference}
    for name, value in dice.items():
        if value < NO_OVERLAP_DICE:
            files = [f"{volumes[n].path or n} ({n})" for n in (name, reference)]
            raise InputError(
                f"the brains in {files[0]} and {files[1]} do not overlap, expected images of one patient in one position; check that they "
                "belong together and register them"
            )
    return quality.overlap_warnings(dice, reference)
