"""New masks to their files: one label map each, a table of volumes, a montage and the provenance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from LDMSegLib.io.atomic_folder import PROVENANCE
from LDMSegLib.io.hashing import file_sha256
from LDMSegLib.io.nifti_out import write_nifti
from LDMSegLib.postprocessing.regions import label_values
from LDMSegLib.postprocessing.volumes import to_csv
from LDMSegLib.results.figures.montage import MOST, Tile, make_tile, render_montage
from LDMSegLib.results.provenance import to_json
from LDMSegLib.specification import Specification

DESCRIPTION = "LDMSeg: SYNTHETIC mask, not a patient; research use only"


def mask_name(number: int) -> str:
    """What the file of a mask is called, without its ending."""
    return f"mask_{number:04d}"


def mask_row(number: int, member: int, volumes_ml: Mapping[str, float]) -> dict[str, Any]:
    """One row of the table: the mask's file, its member, and the volume of each region in mL."""
    volumes = {f"{region}_ml": round(volume, 4) for region, volume in volumes_ml.items()}
    return {"mask": f"{mask_name(number)}.nii.gz", "member": member, **volumes}


class MaskFolder:
    """Fills a folder (see `atomic_folder.result_folder`): each mask as it comes, and at the end all that is about all of them."""

    def __init__(
        self,
        folder: Path,
        specification: Specification,
        affine: np.ndarray,
        header: nib.Nifti1Header | None = None,
        image: np.ndarray | None = None,
        convention: str | None = None,
        brain: np.ndarray | None = None,
    ) -> None:
        """Begin a folder of masks.

        Given are the folder to fill; the bundle's specification; the masks' affine, or the header of the image whose grid they have, and
        that image for the montage; the convention of the integers written; without an image the brain that the montage shows.
        """
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._labels, self._regions = specification.labels, specification.regions
        self._affine, self._header, self._convention = affine, header, convention
        self._image, self._brain = image, brain
        self._values = label_values(specification.labels, convention)
        self._tiles: list[Tile] = []

    def add(self, number: int, member: int, labels: np.ndarray, volumes_ml: Mapping[str, float]) -> None:
        """Write one mask: (X, Y, Z) uint8 in the labels' own values; volumes by region."""
        name = mask_name(number)
        lookup = np.arange(256, dtype=np.uint8)
        lookup[[label.value for label in self._labels]] = self._values
        geometry = self._affine if self._header is None else self._header
        write_nifti(self.folder / f"{name}.nii.gz", lookup[labels], geometry, "labels", DESCRIPTION, float(max(self._values)))
        self.rows.append(mask_row(number, member, volumes_ml))
        if len(self._tiles) < MOST:
            largest = max(volumes_ml, key=lambda region: volumes_ml[region])
            title = f"{name}   {largest} {volumes_ml[largest]:.1f} mL"
            self._tiles.append(make_tile(title, labels, self._affine, self._labels, self._image, self._brain))

    def finish(self, heading: str, provenance: Mapping[str, Any]) -> list[str]:
        """Write the table, the montage and the provenance; returns all files' names."""
        (self.folder / "volumes.csv").write_text(to_csv(self.rows), encoding="utf-8", newline="")
        shown = f"{len(self._tiles)} of {len(self.rows)} masks, each cut where a plane meets most of it; computed, nobody's tumour"
        (self.folder / "montage.png").write_bytes(render_montage(self._tiles, heading, shown))
        names = sorted(file.name for file in self.folder.iterdir())
        record = {
            **provenance,
            "labels": {label.name: value for label, value in zip(self._labels, self._values, strict=True)},
            "label_convention": self._convention,
            "regions": {region.name: region.labels for region in self._regions},
            "masks": self.rows,
            "files": {name: file_sha256(self.folder / name) for name in names},
        }
        (self.folder / PROVENANCE).write_text(to_json(record), encoding="utf-8", newline="")
        return [*names, PROVENANCE]
