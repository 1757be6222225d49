"""Save a finished segmentation in its folder: the report is drawn while the maps are being compressed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from LDMSegLib.errors import InputError, LDMSegError
from LDMSegLib.events import Reporter, Silent
from LDMSegLib.io.dicom_seg import DicomSegWriter, dicom_packages
from LDMSegLib.io.dicom_source import DicomSource
from LDMSegLib.io.itk_transform import itk_matlab, itk_text
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.preprocessing.prepared import Prepared
from LDMSegLib.results.provenance import plain
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.results.write import write_segmentation
from LDMSegLib.specification import Specification

DICOM_SEG = "segmentation.dcm"


def save_segmentation(
    segmentation: Segmentation,
    case: Case,
    specification: Specification,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    convention: str | None = None,
    prepared: Prepared | None = None,
    dicom_seg: DicomSegWriter | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Path]:
    """Write maps, tables, report and provenance; the folder appears complete or not at all.

    A DICOM SEG that fails after all is left out with a warning: the rest is worth having without it.

    Args:
        segmentation: of the case, on its target's grid.
        case: whose images the report shows, and whose target's header the maps take.
        specification: the bundle's.
        folder: where; see `io.atomic_folder.check_output` for what may be replaced.
        overwrite: whether an earlier result of ours may be replaced.
        convention: of the label map's integers (`Label.conventions`).
        prepared: what was done to raw scans, for its transforms and its pictures.
        dicom_seg: who writes a DICOM SEG beside it.
        reporter: hears that warning.

    Returns:
        The files by name, see `write_segmentation`.

    Raises:
        OutputError: the folder cannot be written or holds something else.
    """
    record = segmentation.provenance
    attachments = preparation_files(prepared) if prepared is not None else {}
    if dicom_seg is not None:
        try:
            attachments[DICOM_SEG] = dicom_seg.content(segmentation.label_map, segmentation.affine, _key(record))
        except LDMSegError as problem:
            said = f"{DICOM_SEG} was not written, the rest of the result was: {problem}"
            segmentation = replace(segmentation, warnings=(*segmentation.warnings, said))
            (reporter or Silent()).warning(said)

    def report() -> bytes:
        from LDMSegLib.results.figures.report import ReportImage, render_report  # matplotlib: not before it is needed

        return render_report(
            segmentation,
            [ReportImage(_title(specification, name), case.target_image(name)) for name in _shown(case, specification)],
            bundle=" ".join(part for part in (record["bundle"]["name"], record["bundle"]["version"]) if part),
            case=case.id,
            synthetic=record["synthetic_input"],
            details=_details(record),
            prepared=prepared is not None,
        )

    return write_segmentation(folder, segmentation, case.target.header, report, convention, overwrite, attachments)


def dicom_seg_writer(
    case: Case, sources: Mapping[str, DicomSource], specification: Specification, regions: Sequence[str], bundle: str
) -> tuple[DicomSegWriter | None, tuple[str, ...]]:
    """Find out before a long computation whether a DICOM SEG can be written.

    Args:
        case: whose target's grid the label map will have.
        sources: the DICOM series that the sequences came from.
        specification: the bundle's.
        regions: names of regions that become further, overlapping segments.
        bundle: its name.

    Returns:
        Who writes it, or None where the series' headers forbid it, and what to tell the user.

    Raises:
        InputError: there is no DICOM series to refer to, no such region, or highdicom is not installed.
    """
    check_regions(regions, specification)
    on = case.native_space.sequence if case.native_space else case.reference
    source = sources.get(on)
    if source is None:
        raise InputError(
            f"--dicom-seg was given, but {on} is not from DICOM, expected a DICOM folder as input; give it, or leave --dicom-seg out"
        )
    dicom_packages()
    chosen = tuple(region for region in specification.regions if region.name in regions)
    try:
        writer = DicomSegWriter(source.files, specification.labels, chosen, bundle)
        writer.check(case.target.shape, case.target.affine)
    except LDMSegError as problem:
        return None, (f"{DICOM_SEG} will not be written, the rest of the result will: {problem}",)
    mended = f"{DICOM_SEG} differs from the headers of {on}, which are not legal DICOM: {'; '.join(writer.notes)}" if writer.notes else ""
    return writer, (mended,) if mended else ()


def check_regions(regions: Sequence[str], specification: Specification) -> None:
    """Raise InputError where a region for the DICOM SEG is none of the bundle's."""
    unknown = [name for name in regions if name not in specification.region_names]
    if unknown:
        raise InputError(f"--dicom-seg-regions names '{unknown[0]}', expected some of {', '.join(specification.region_names)}; correct it")


def _key(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What the result was made of and with: images, bundle, seed and settings, but not when or on which machine."""
    images = sorted(str(one.get("sha256")) for one in record["inputs"])
    return tuple(json.dumps(plain(part), sort_keys=True) for part in (record["bundle"], record["sampling"], record["preparing"], images))


def preparation_files(prepared: Prepared) -> dict[str, bytes]:
    """The transforms of a preparation as files, and a page with a picture of each step."""
    from LDMSegLib.results.figures.preparation import StepPicture, render_steps  # matplotlib: not before it is needed

    files: dict[str, bytes] = {}
    for (source, target), matrix in prepared.transforms.items():
        name = f"transform_{source}_to_{target}"
        files |= {f"{name}.tfm": itk_text(matrix), f"{name}.mat": itk_matlab(matrix)}
    pictures = [StepPicture(step.title, step.measure, step.image, step.outline, step.affine) for step in prepared.steps]
    return {**files, "preparation.png": render_steps(pictures, prepared.case.id)}


def _shown(case: Case, specification: Specification) -> list[str]:
    """The reference, and the last other sequence that is there."""
    others = [name for name in specification.sequence_names if name in case.volumes and name != case.reference]
    return [case.reference, *others[-1:]]


def _title(specification: Specification, name: str) -> str:
    return next(sequence.title for sequence in specification.sequences if sequence.name == name)


def _details(record: Mapping[str, Any]) -> str:
    sampling, device = record["sampling"], record["device"]
    steps = f"{sampling['steps']} step{'s' if sampling['steps'] > 1 else ''}"
    kind = device["kind"].upper() if device["kind"] in ("cpu", "mps") else device["name"]
    seconds = f"{sum(record['timings_s'].values()):.0f} s"
    return " · ".join((sampling["mode"], steps, f"seed {sampling['seed']}", f"{kind} {device['precision']}", seconds))
