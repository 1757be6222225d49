"""A segmentation to its result folder: NIfTI maps, two tables, the report and the provenance, all or nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from LDMSegLib.errors import BundleError
from LDMSegLib.io.atomic_folder import PROVENANCE, result_folder
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.io.nifti_out import write_nifti
from LDMSegLib.postprocessing import uncertainty
from LDMSegLib.postprocessing import volumes as measurements
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.results.provenance import plain, to_json
from LDMSegLib.results.segmentation import Segmentation

WRITERS = 2
"""Maps compressed at the same time: zlib gives the interpreter lock back while it works."""


def write_segmentation(
    folder: str | os.PathLike[str],
    segmentation: Segmentation,
    reference: nib.Nifti1Header | None = None,
    report: bytes | Callable[[], bytes] | None = None,
    convention: str | None = None,
    overwrite: bool = False,
    attachments: Mapping[str, bytes] | None = None,
) -> dict[str, Path]:
    """Write everything there is to keep of a segmentation; the folder appears complete or not at all.

    Args:
        folder: Where; see `atomic_folder.check_output` for what may be replaced.
        segmentation: The result.
        reference: Header of the reference sequence, whose geometry is copied byte for byte; without one the header is
            made from the segmentation's affine.
        report: PNG bytes of the report, or a function that renders them while the maps are being compressed.
        convention: Write the label map in this convention's integers (`Label.conventions`).
        overwrite: Whether an earlier result of ours may be replaced.
        attachments: Further files, name → content, e.g. the transforms of a prepared case.

    Returns:
        The files by name without extension, e.g. {"labels": .../labels.nii.gz, "probability_WT": ..., "report": ...}.

    Raises:
        OutputError: The folder may not be replaced or cannot be written; nothing is left behind.
        InputError: The convention is unknown.
        BundleError: A region's name cannot be part of a file name.
        ValueError: The reference's grid is not the segmentation's.
    """
    values = label_values(segmentation.labels, convention)
    _check_reference(segmentation, reference)
    _check_names(segmentation)
    with result_folder(folder, overwrite) as temporary:
        with ThreadPoolExecutor(WRITERS) as pool:
            maps = [pool.submit(task) for task in _map_tasks(temporary, segmentation, reference, values)]
            if callable(report):
                report = report()
            for task in maps:
                task.result()
        if report is not None:
            (temporary / "report.png").write_bytes(report)
        for name, content in (attachments or {}).items():
            (temporary / name).write_bytes(content)
        titles = {region.name: region.title for region in segmentation.regions}
        volumes = measurements.to_csv(measurements.to_rows(segmentation.volumes, titles), ("region", "title"))
        places = measurements.to_csv(uncertainty.to_rows(segmentation.uncertain_regions), uncertainty.COLUMNS)
        (temporary / "volumes.csv").write_text(volumes, encoding="utf-8", newline="")
        (temporary / "uncertain_regions.csv").write_text(places, encoding="utf-8", newline="")
        names = sorted(file.name for file in temporary.iterdir())
        record = provenance_record(segmentation, convention) | {"files": {name: file_sha256(temporary / name) for name in names}}
        (temporary / PROVENANCE).write_text(to_json(record), encoding="utf-8", newline="")
    target = Path(folder).expanduser().resolve()
    return {name.split(".")[0]: target / name for name in (*names, PROVENANCE)}


def provenance_record(segmentation: Segmentation, convention: str | None = None) -> dict[str, Any]:
    """The segmentation's provenance with what its own numbers and maps mean: labels, regions, volumes, warnings."""
    values = label_values(segmentation.labels, convention)
    return plain(
        {
            **segmentation.provenance,
            "partial": segmentation.partial,
            "labels": {label.name: value for label, value in zip(segmentation.labels, values, strict=True)},
            "label_convention": convention,
            "regions": {region.name: region.labels for region in segmentation.regions},
            "volumes_ml": {volume.region: round(volume.ensemble, 4) for volume in segmentation.volumes},
            "warnings": segmentation.warnings,
        }
    )


def _map_tasks(
    folder: Path, segmentation: Segmentation, reference: nib.Nifti1Header | None, values: tuple[int, ...]
) -> list[Callable[[], None]]:
    geometry = np.asarray(segmentation.affine, dtype=np.float64) if reference is None else reference
    members = f"{segmentation.members_finished} member{'s' if segmentation.members_finished > 1 else ''}"

    def task(name: str, data: np.ndarray, intent: str, description: str, upper: float) -> Callable[[], None]:
        return lambda: write_nifti(folder / f"{name}.nii.gz", data, geometry, intent, f"LDMSeg: {description}; research use only", upper)

    lookup = np.arange(256, dtype=np.uint8)
    lookup[[label.value for label in segmentation.labels]] = values
    tasks = []
    # the slowest files first, so that the two writers end together
    for region, probability, variance in zip(segmentation.regions, segmentation.probabilities, segmentation.variance, strict=True):
        brightest = float(variance.max(initial=0.0))
        tasks.append(task(f"probability_{region.name}", probability, "probability", f"{region.name}, mean of {members}", 1.0))
        tasks.append(task(f"variance_{region.name}", variance, "variance", f"{region.name}, variance of {members}", brightest))
    tasks.append(task("labels", lookup[segmentation.label_map], "labels", "label map", float(max(values))))
    return tasks


def _check_reference(segmentation: Segmentation, reference: nib.Nifti1Header | None) -> None:
    if reference is None:
        return
    if not np.allclose(reference.get_best_affine(), segmentation.affine, atol=1e-3):
        raise ValueError(
            f"the reference header's affine is {reference.get_best_affine().tolist()}, expected the segmentation's "
            f"{np.asarray(segmentation.affine).tolist()}"
        )


def _check_names(segmentation: Segmentation) -> None:
    for region in segmentation.regions:
        # a bundle comes from elsewhere: its words must not lead a file out of the folder
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", region.name):
            raise BundleError(
                f"the bundle's region name '{region.name}' cannot be part of a file name, "
                "expected letters, digits, - and _; use another bundle"
            )
