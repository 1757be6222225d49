"""Save a finished segmentation in its folder: the report is drawn while the maps are being compressed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from LDMSegLib.errors import LDMSegError
from LDMSegLib.events import Reporter, Silent
from LDMSegLib.io.dicom_seg import DicomSegWriter
from LDMSegLib.io.dicom_source import DicomSource, describe_source
from LDMSegLib.io.itk_transform import itk_matlab, itk_text
from LDMSegLib.preprocessing.case import Case
from LDMSegLib.preprocessing.prepared import Prepared
from LDMSegLib.results.provenance import plain
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.results.write import write_segmentation
from LDMSegLib.specification import Specification

DICOM_SEG = "segmentation.dcm"


@dataclass(frozen=True)
class SaveOptions:
    """What the user asked of the result.

    `convention` of the label map's integers, who writes a DICOM SEG beside it, what was asked of raw scans, for the provenance, and
    whether the names of the input's files may be in it.
    """

    convention: str | None = None
    dicom_seg: DicomSegWriter | None = None
    preparing: Mapping[str, Any] = field(default_factory=dict)
    names: bool = True


def save_segmentation(
    segmentation: Segmentation,
    case: Case,
    specification: Specification,
    folder: str | Path,
    save_options: SaveOptions = SaveOptions(),
    overwrite: bool = False,
    seconds: dict[str, float] | None = None,
    prepared: Prepared | None = None,
    sources: Mapping[str, DicomSource] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Path]:
    """Write maps, tables, report and provenance; the folder appears complete or not at all.

    A DICOM SEG that fails after all is left out with a warning: the rest is worth having without it.

    Args:
        segmentation: of the case, on its reference's grid.
        case: whose images the report shows, and whose reference header the maps take.
        specification: the bundle's.
        folder: where; see `io.atomic_folder.check_output` for what may be replaced.
        save_options: what the user asked of the result.
        overwrite: whether an earlier result of ours may be replaced.
        seconds: more timings for the provenance, of what came before the segmentation.
        prepared: what was done to raw scans, for its transforms, its pictures and the provenance.
        sources: the DICOM series that the sequences came from, if any.
        reporter: hears that warning.

    Returns:
        The files by name, see `write_segmentation`.

    Raises:
        OutputError: the folder cannot be written or holds something else.
    """
    sources = sources or {}
    timings = {name: round(value, 3) for name, value in (seconds or {}).items()}
    record = {**segmentation.provenance, "timings_s": {**timings, **segmentation.provenance["timings_s"]}}
    record["inputs"] = [*record["inputs"], *(describe_source(name, sources[name]) for name in case.volumes if name in sources)]
    if not save_options.names:
        record["inputs"] = [{key: value for key, value in one.items() if key != "file"} for one in record["inputs"]]
    record["preparing"] = plain(save_options.preparing)
    if prepared is not None:
        record["preparation"] = plain(prepared.record)
    segmentation = replace(segmentation, provenance=record)
    attachments = attached(prepared) if prepared is not None else {}
    if save_options.dicom_seg is not None:
        try:
            attachments[DICOM_SEG] = save_options.dicom_seg.content(segmentation.label_map, segmentation.affine, _key(record))
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

    return write_segmentation(folder, segmentation, case.target.header, report, save_options.convention, overwrite, attachments)


def _key(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What the result was made of and with: images, bundle, seed and settings, but not when or on which machine."""
    images = sorted(str(one.get("sha256")) for one in record["inputs"])
    return tuple(json.dumps(plain(part), sort_keys=True) for part in (record["bundle"], record["sampling"], record["preparing"], images))


def attached(prepared: Prepared) -> dict[str, bytes]:
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


def _details(record: dict) -> str:
    sampling, device = record["sampling"], record["device"]
    steps = f"{sampling['steps']} step{'s' if sampling['steps'] > 1 else ''}"
    kind = device["kind"].upper() if device["kind"] in ("cpu", "mps") else device["name"]
    seconds = f"{sum(record['timings_s'].values()):.0f} s"
    return " · ".join((sampling["mode"], steps, f"seed {sampling['seed']}", f"{kind} {device['precision']}", seconds))
