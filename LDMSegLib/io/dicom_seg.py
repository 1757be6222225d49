"""A label map as a DICOM Segmentation that refers to the series it was drawn on.

highdicom (optional extra "dicom") writes it: binary segments, one for each label, on the source series' own frames, with the
patient's and study's identity taken from there. Archives and viewers then show it over the right images. Regions that are unions of
labels are added where asked for; the segments then overlap.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib import __version__
from LDMSegLib.errors import InputError
from LDMSegLib.io.atomic_file import check_file, write_file
from LDMSegLib.io.dicom_reference import derived_uid, refer_to_series
from LDMSegLib.io.dicom_text import Unwritable
from LDMSegLib.spatial.limits import SAME_GRID_MM
from LDMSegLib.specification import Label, Region

_log = logging.getLogger(__name__)

DISCLAIMER = "Research use only, not a medical device"
SERIES_NUMBER = 9900
PRIVATE_SCHEME = "99LDMSEG"


class DicomSegWriter:
    """Writes label maps on one series; made before anything is computed, so that what the series' headers forbid is known then.

    Attributes:
        notes: what of the source's headers had to be mended, without any value of theirs.
    """

    def __init__(
        self,
        source_files: Sequence[str | Path],
        labels: tuple[Label, ...],
        regions: tuple[Region, ...] = (),
        bundle: str = "",
    ) -> None:
        """Read the series.

        Args:
            source_files: every file of the series that the maps are drawn on, classic (one image each) or one enhanced file.
            labels: of the bundle's specification, one segment each.
            regions: further segments, each the union of some labels.
            bundle: name of the model, for the record.

        Raises:
            InputError: highdicom is not installed, or the source cannot be referred to.
        """
        self._highdicom, self._pydicom = dicom_packages()
        self._labels, self._bundle = labels, bundle
        # A region of one label is that label's segment already.
        self._regions = tuple(region for region in regions if len(region.labels) > 1)
        try:
            self._source = refer_to_series(self._pydicom, source_files)
        except Unwritable as problem:
            raise InputError(
                f"a DICOM SEG cannot refer to the source series because of its headers ({problem}), expected legal DICOM; correct them or "
                "load labels.nii.gz instead"
            ) from None
        self.notes = self._source.notes

    def check(self, shape: tuple[int, ...], affine: np.ndarray) -> None:
        """Write an empty map of that grid to nowhere, by the code that writes the real one.

        Raises:
            InputError: it cannot be written, and why.
        """
        self.content(np.zeros(shape, np.uint8), affine)

    def content(self, label_map: np.ndarray, affine: np.ndarray, key: Sequence[object] = ()) -> bytes:
        """A label map as the content of one DICOM SEG file.

        Args:
            label_map: (X, Y, Z) uint8 in the labels' own values, on the grid of the source series; axes may be stored in any order
                and direction.
            affine: (4, 4) voxel→world RAS mm of the label map.
            key: what the run was made with (seed, settings, ...). Study, series and key give the series' UID, and with the map the
                instance's: the same run made again is the same object, not another one.

        Raises:
            InputError: the map is not on the series' grid, or highdicom refuses the headers.
        """
        stored = self._on_frames(label_map, np.asarray(affine, float))
        try:
            return self._content(stored, key)
        except InputError:
            raise
        except Exception as error:  # highdicom and pydicom raise all kinds for what they find in headers
            _log.error("highdicom refused headers", exc_info=error)
            # Their messages may quote values, and this sentence is kept with the result.
            raise InputError(
                f"a DICOM SEG cannot be written on the source series (highdicom says {type(error).__name__}), expected headers that it "
                "accepts; load labels.nii.gz instead"
            ) from error

    def _content(self, stored: np.ndarray, key: Sequence[object]) -> bytes:
        highdicom, source = self._highdicom, self._source
        pixels = self._segments(stored)
        identity = ("SEG", source.study, source.series, self._bundle, *key)
        series = derived_uid(*identity)
        described = self._descriptions(series)
        segmentation = highdicom.seg.Segmentation(
            source_images=list(source.headers),
            pixel_array=pixels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=described,
            series_instance_uid=series,
            series_number=SERIES_NUMBER,
            sop_instance_uid=derived_uid(*identity, hashlib.sha256(pixels.tobytes()).hexdigest()),
            instance_number=1,
            manufacturer="LDMSeg",
            manufacturer_model_name=self._bundle[:64] or "LDMSeg",
            software_versions=__version__,
            device_serial_number="0",
            content_label="LDMSEG",
            content_description=DISCLAIMER,
            omit_empty_frames=bool(pixels.any()),
            series_description=f"LDMSeg tumour sub-regions. {DISCLAIMER}"[:64],
            coding_schemes=self._schemes(described),
        )
        self._set_right(segmentation, derived_uid(*identity, "dimensions"))
        content = io.BytesIO()
        segmentation.save_as(content)
        return content.getvalue()

    def _set_right(self, segmentation: Any, dimensions: str) -> None:
        """The source images' true classes, which highdicom may not know, and a UID of ours where it drew one."""
        for element in segmentation.iterall():
            if element.keyword == "DimensionOrganizationUID":
                element.value = dimensions
            elif element.VR == "SQ":
                for item in element.value:
                    if str(item.get("ReferencedSOPInstanceUID", "")) in self._source.classes:
                        item.ReferencedSOPClassUID = self._source.classes[str(item.ReferencedSOPInstanceUID)]

    def _segments(self, stored: np.ndarray) -> np.ndarray:
        """(frames, rows, columns) of segment numbers; with regions (frames, rows, columns, segments) of 0 and 1."""
        if self._regions:
            values = {label.name: label.value for label in self._labels}
            parts = [[label.name] for label in self._labels] + [region.labels for region in self._regions]
            return np.stack([np.isin(stored, [values[name] for name in part]) for part in parts], axis=-1).astype(np.uint8)
        numbered = np.zeros_like(stored)
        for number, label in enumerate(self._labels, start=1):  # segments count from 1, whatever values the labels have
            numbered[stored == label.value] = number
        return numbered

    def _descriptions(self, series: str) -> list[Any]:
        highdicom, codes = self._highdicom, self._pydicom.sr.codedict.codes
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name="LDMSeg", family=codes.cid7162.ArtificialIntelligence, version=__version__, parameters={"bundle": self._bundle}
        )
        return [
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=part.name[:64],
                segmented_property_category=highdicom.sr.CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
                segmented_property_type=self._concept(part),
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=derived_uid("tracking", series, part.name),
                tracking_id=f"LDMSeg {part.name}"[:64],
                anatomic_regions=[highdicom.sr.CodedConcept("12738006", "SCT", "Brain")],
                display_color=highdicom.color.CIELabColor.from_rgb(*part.color),
            )
            for number, part in enumerate((*self._labels, *self._regions), start=1)
        ]

    def _concept(self, part: Label | Region) -> Any:
        """The coded concept of the bundle, else one of our own scheme."""
        coded = part.terminology
        if coded:
            return self._highdicom.sr.CodedConcept(coded["code"], coded["scheme"], coded["meaning"])
        return self._highdicom.sr.CodedConcept(part.name, PRIVATE_SCHEME, part.title[:64])

    def _schemes(self, described: Sequence[Any]) -> list[Any] | None:
        """Who is responsible for our own codes, where there are any; whoever reads a private scheme has to know."""
        used = {item.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator for item in described}
        if PRIVATE_SCHEME not in used:
            return None
        from highdicom.coding_schemes import CodingSchemeIdentificationItem  # see `dicom_packages`

        return [CodingSchemeIdentificationItem(PRIVATE_SCHEME, name="LDMSeg labels", responsible_organization="LDMSeg")]

    def _on_frames(self, label_map: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """The map frame by frame, (frames, rows, columns), in the order of the source's frames."""
        first, affines = self._source.headers[0], self._source.affines
        rows, columns = int(first.Rows), int(first.Columns)
        inverse = np.linalg.inv(affine)
        frames = np.zeros((len(affines), rows, columns), np.uint8)
        u, v = np.meshgrid(np.arange(columns), np.arange(rows))
        ends = np.array([[0, 0, 0, 1], [columns - 1, 0, 0, 1], [0, rows - 1, 0, 1], [columns - 1, rows - 1, 0, 1]], float).T
        for k, frame in enumerate(affines):
            index = (inverse @ frame @ ends)[:3]
            whole = np.rint(index)
            off = np.linalg.norm(affine[:3, :3] @ (index - whole), axis=0).max()
            if off > SAME_GRID_MM or (whole < 0).any() or (whole >= np.array(label_map.shape)[:, None]).any():
                raise InputError(
                    f"the label map of {'×'.join(map(str, label_map.shape))} voxels does not lie on the grid of the source series "
                    f"({len(affines)} frames of {columns}×{rows}), expected a map on that grid; give the series it was drawn on"
                )
            step = inverse @ frame
            at = np.rint(step[:3, 0, None, None] * u + step[:3, 1, None, None] * v + step[:3, 3, None, None]).astype(int)
            frames[k] = label_map[tuple(at)]
        if len(affines) != label_map.size // (rows * columns):
            raise InputError(
                f"the source series has {len(affines)} frames, but the label map {label_map.size // (rows * columns)} slices, expected one "
                "for each; give every file of the series"
            )
        return frames


def write_dicom_seg(
    path: str | Path,
    label_map: np.ndarray,
    affine: np.ndarray,
    labels: tuple[Label, ...],
    source_files: Sequence[str | Path],
    bundle: str = "",
    overwrite: bool = False,
    regions: tuple[Region, ...] = (),
) -> Path:
    """Write a label map as one DICOM SEG file, whole or not at all.

    Args:
        path: of the file, usually ending in .dcm.
        label_map, affine: see `DicomSegWriter.content`.
        labels, source_files, bundle, regions: see `DicomSegWriter`.
        overwrite: replace a file that is there.

    Returns:
        The file.

    Raises:
        InputError: see `DicomSegWriter`.
        OutputError: it cannot be written, or is there already.
    """
    target = check_file(path, overwrite)
    write_file(target, DicomSegWriter(source_files, labels, regions, bundle).content(label_map, affine))
    return target


def dicom_packages() -> tuple[Any, Any]:
    """Import highdicom and pydicom; raises InputError where they are not installed."""
    try:
        import highdicom  # optional extra, and slow to import
        import pydicom
        import pydicom.sr.codedict
    except ImportError:
        raise InputError(
            'writing DICOM SEG needs the package highdicom, which is not installed; install it by pip install "ldmseg[dicom]"'
        ) from None
    return highdicom, pydicom
