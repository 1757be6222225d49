"""What a caller may give as one case's images, in files or in memory, to a case that the networks can take."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from LDMSegLib.cases.assemble import known_names, look_at
from LDMSegLib.cases.loaded import LoadedCase
from LDMSegLib.cases.loading import FoundImages, read_files, read_folder, read_named, requested_preparation, to_case
from LDMSegLib.errors import InputError
from LDMSegLib.events import Reporter, Silent
from LDMSegLib.io.input_record import describe_array, describe_input
from LDMSegLib.io.nifti_in import read_volume, take_image
from LDMSegLib.preprocessing.plan import PreparationOptions, check_options
from LDMSegLib.sequences.identified import CERTAIN, Identified, Use
from LDMSegLib.sequences.site_rules import SiteRules, read_site_rules
from LDMSegLib.spatial.volume import Volume
from LDMSegLib.specification import Specification

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

    Image = str | os.PathLike[str] | SpatialImage | np.ndarray | tuple[np.ndarray, np.ndarray]
    Images = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Image]

IN_MEMORY = "an image in memory"


def read_case(
    images: Images,
    specification: Specification,
    options: PreparationOptions = PreparationOptions(),  # noqa: B008 -- frozen
    *,
    affine: np.ndarray | None = None,
    id: str | None = None,
    series: Mapping[str, int] | None = None,
    site_rules: str | os.PathLike[str] | None = None,
    cohort_id: str = "",
    reporter: Reporter | None = None,
) -> LoadedCase:
    """Read one case's images, tell them apart, check them, and prepare what calls for it.

    Args:
        images: a folder (NIfTI or DICOM); one file or several, told apart by their names; or sequence name → file, nibabel image, array,
            or (array, affine). Arrays are (X, Y, Z).
        specification: the bundle's.
        options: what is done to raw scans.
        affine: (4, 4) voxel→world RAS mm, of arrays that come without one.
        id: what to call the case; by default what the names of its files have in common, else a name made of what they hold.
        series: beside a DICOM folder: sequence name → number of the series that it is.
        site_rules: a file of the site's own words for sequences.
        cohort_id: what its cohort calls the case, by its folders; not for DICOM, whose folders bear names of patients.
        reporter: hears the stages "read" and "prepare-raw", which image became which sequence, and every warning.

    Raises:
        InputError: an image cannot be read or used, which image is which cannot be told, or raw scans cannot be prepared.
    """
    reporter = reporter or Silent()
    check_options(options, specification.sequence_names)
    rules = read_site_rules(Path(site_rules), specification.sequence_names) if site_rules else SiteRules()
    reporter.stage("read", "Reading the images")
    start = time.monotonic()
    found = _found(images, specification, affine, id, dict(series or {}), rules, cohort_id)
    loaded = to_case(found, specification, options, reporter)
    requested = requested_preparation(options, specification, Path(site_rules) if site_rules else None)
    return replace(loaded, requested=requested, seconds={"read": time.monotonic() - start})


def _found(
    images: Images,
    specification: Specification,
    affine: np.ndarray | None,
    id: str | None,
    series: dict[str, int],
    rules: SiteRules,
    cohort_id: str,
) -> FoundImages:
    if isinstance(images, Mapping):
        if series:
            raise InputError("series were given without a DICOM folder, expected one that they are numbers in; give it or leave them out")
        files = {name: Path(image) for name, image in images.items() if _is_path(image)}
        if len(files) == len(images):
            return read_files(files, specification, id)
        return _from_memory(images, specification, affine, id)
    if not _is_path(images) and not (isinstance(images, Sequence) and all(map(_is_path, images))):
        raise InputError(
            f"the images were given as {type(images).__name__}, expected a folder, files, or sequence name → file, nibabel image or array; "
            f"e.g. {{'{specification.reference}': image}}"
        )
    given: Sequence[str | os.PathLike[str]] = (images,) if isinstance(images, (str, os.PathLike)) else images
    paths = [Path(path).expanduser() for path in given]
    if not paths:
        raise InputError("no images were given, expected a case's folder or its files; give them")
    if len(paths) == 1 and not paths[0].is_file():
        return read_folder(paths[0], specification, id, series, cohort_id, rules)
    folder = next((path for path in paths if path.is_dir()), None)
    if folder:
        raise InputError(
            f"{folder} is a folder given among {len(paths)} paths, expected one folder or only files; use --cohort for many cases"
        )
    if series:
        raise InputError(f"a series number was given for {next(iter(series))}, but {paths[0]} is no folder; give the DICOM folder")
    return read_named(paths, specification, rules, id)


def _from_memory(images: Mapping[str, Image], specification: Specification, affine: np.ndarray | None, id: str | None) -> FoundImages:
    volumes: dict[str, Volume] = {}
    inputs, used = [], []
    for name in known_names(images, specification):
        image = images[name]
        if _is_path(image):
            file = Path(image).expanduser()
            volumes[name] = read_volume(file)
            inputs.append(describe_input(name, file, named=id is None))
            used.append(Use(name, file.name, CERTAIN, "it was named by the user"))
        else:
            volumes[name] = take_image(_image(name, image, affine), f"the image given as {name}")
            inputs.append(describe_array(name, volumes[name]))
            used.append(Use(name, IN_MEMORY, CERTAIN, "it was named by the user"))
    case_id = id or f"case-{inputs[0]['sha256'][:8]}"
    return FoundImages(case_id, look_at(volumes), identified=Identified(tuple(used)), names=id is None, inputs=tuple(inputs))


def _image(name: str, image: Any, affine: np.ndarray | None) -> SpatialImage:
    """A nibabel image of what was given: one already, an array, or an array and its affine."""
    from nibabel.spatialimages import SpatialImage

    if isinstance(image, SpatialImage):
        return image
    if isinstance(image, tuple) and len(image) == 2:
        image, affine = image
    if affine is None:
        raise InputError(f"the array given as {name} has no affine, expected (array, affine) with a 4×4 voxel→world matrix; add it")
    array, matrix = np.asarray(image), np.asarray(affine)
    if array.dtype.kind not in "biuf":
        raise InputError(f"the image given as {name} holds {array.dtype}, expected an array of numbers (X, Y, Z); give that")
    if matrix.shape != (4, 4) or matrix.dtype.kind not in "iuf":
        raise InputError(
            f"the affine of the image given as {name} has shape {matrix.shape} of {matrix.dtype}, expected a (4, 4) matrix, voxel→world "
            "RAS mm; give that"
        )
    with np.errstate(over="ignore"):  # infinity is told where the values are checked
        return SpatialImage(array.astype(np.float32), matrix.astype(np.float64))


def _is_path(value: Any) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(value, (str, os.PathLike))
