"""Save prepared images in their folder: the images, the brain mask, the transforms and a picture of each step."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from LDMSegLib import GENERATOR
from LDMSegLib.cases.loaded import LoadedCase
from LDMSegLib.errors import InputError
from LDMSegLib.io.atomic_folder import PROVENANCE, result_folder
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.io.nifti_out import write_nifti
from LDMSegLib.results.provenance import FORMAT, RESEARCH_USE, software_versions, to_json
from LDMSegLib.results.save import preparation_files


def save_prepared(loaded: LoadedCase, folder: str | os.PathLike[str], overwrite: bool = False) -> Sequence[str]:
    """Write the prepared images of a case; the folder appears complete or not at all.

    Args:
        loaded: a case with a preparation.
        folder: where; see `io.atomic_folder.check_output` for what may be replaced.
        overwrite: whether an earlier result of ours may be replaced.

    Returns:
        The names of the files, without that of the provenance.

    Raises:
        OutputError: the folder cannot be written or holds something else.
    """
    case, prepared = loaded.case, loaded.prepared
    if prepared is None:
        raise InputError(f"the case '{case.id}' was not prepared, expected one that `prepare` returned; prepare it first")
    with result_folder(folder, overwrite) as temporary:
        for name, volume in case.volumes.items():
            top = float(volume.array.max())
            write_nifti(temporary / f"{case.id}_{name}.nii.gz", volume.array, volume.affine, "", f"LDMSeg: prepared {name}", top)
        mask = prepared.brain.astype(np.uint8)
        write_nifti(temporary / f"{case.id}_brainmask.nii.gz", mask, case.grid.affine, "labels", "LDMSeg: brain", 1.0)
        for name, content in preparation_files(prepared).items():
            (temporary / name).write_bytes(content)
        names = sorted(file.name for file in temporary.iterdir())
        record = {
            "generator": GENERATOR,
            "format": FORMAT,
            "intended_use": RESEARCH_USE,
            "case": case.id,
            "inputs": list(loaded.inputs or ()),
            "identification": case.identified.record(),
            "preparation": prepared.record,
            "warnings": case.warnings,
            "software": software_versions(),
            "files": {name: file_sha256(temporary / name) for name in names},
        }
        (temporary / PROVENANCE).write_text(to_json(record), encoding="utf-8", newline="")
    return names
