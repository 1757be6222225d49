"""Where real cases lie, for the figures that need them. They are never part of the repository."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from LDMSegLib.io.nifti_in import read_label_map

ROOT = Path(os.environ.get("LDMSEG_REAL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))


def case_folders(names: tuple[str, ...] = ()) -> list[Path]:
    """Folders of cases with a truth, all or those named.

    Raises:
        SystemExit: there are none; says where they were looked for.
    """
    found = sorted({path.parent for path in ROOT.glob("cases/*/*_seg.nii.gz")})
    if names:
        found = [folder for folder in found if folder.name in names]
    if not found:
        raise SystemExit(f"no case with a *_seg.nii.gz under {ROOT / 'cases'}; set LDMSEG_REAL_DATA to a folder that has some")
    return found


def validation_folders(names: tuple[str, ...] = ()) -> list[Path]:
    """Folders of the cases that no training phase saw (the split of Training/configs/small.json), or of those named.

    Raises:
        SystemExit: as `case_folders`.
    """
    split = json.loads((Path(__file__).parents[2] / "Training/configs/small.json").read_text(encoding="utf-8"))["split"]
    return case_folders(names or tuple(split["validation"]))


def unseen_first(names: tuple[str, ...] = ()) -> list[Path]:
    """As `case_folders`, those that no training phase saw before the others.

    Raises:
        SystemExit: as `case_folders`.
    """
    first = validation_folders(names)
    return [*first, *(folder for folder in case_folders(names) if folder not in first)]


def tumour_free_folders() -> list[Path]:
    """Folders of brains with multiple sclerosis and without tumour; none where there are none."""
    return sorted(path.parent for path in ROOT.glob("healthy/*/*_mslesion.nii*"))


def truth(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A case's label map (X, Y, Z) and its affine."""
    volume = read_label_map(next(folder.glob("*_seg.nii.gz")))
    return volume.array, volume.affine
