"""Where real cases lie, for the figures that need them. They are never part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np

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


def truth(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A case's label map (X, Y, Z) and its affine."""
    image = nib.load(next(folder.glob("*_seg.nii.gz")))
    return np.asarray(image.dataobj).round().astype(np.uint8), image.affine
