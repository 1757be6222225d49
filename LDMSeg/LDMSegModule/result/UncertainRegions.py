"""The uncertain regions of a result, ranked, with a mark for each that was reviewed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from LDMSegLib.errors import InputError
from LDMSegModule.scene.Nodes import nodes_of
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry

ROWS_ATTRIBUTE = "LDMSeg.UncertainRegions"
REVIEWED_ATTRIBUTE = "LDMSeg.Reviewed"


@dataclass(frozen=True)
class UncertainRow:
    """One uncertain region. `position` is where to look, RAS in mm as in the file; `voxel` the same as an index (i, j, k)."""

    rank: int
    region: str
    boundary: str
    volume_ml: float
    ambiguity: float
    score_ml: float
    position: tuple[float, float, float]
    voxel: tuple[int, int, int]


class UncertainRegions:
    """Rows of uncertain_regions.csv, kept with their ticks as attributes of the segmentation node, so that scenes save them.

    `map_node` is a volume on whose voxel grid the rows' voxels count. A place is found through it, so that it is still met
    when the result has been moved by a transform since.
    """

    def __init__(self, segmentation: Any, map_node: Any) -> None:
        self._segmentation = segmentation
        self._map = map_node

    @staticmethod
    def read(path: str | Path, titles: Mapping[str, str]) -> tuple[UncertainRow, ...]:
        """The rows of a result's file; `titles` gives each region's name for a person.

        Raises:
            InputError: Not there, or not such a table.
        """
        try:
            with Path(path).open(encoding="utf-8", newline="") as file:
                return tuple(_row(line, titles) for line in csv.DictReader(file))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read as a table of uncertain regions ({error}), expected the file that a segmentation writes; run the "
                "segmentation again"
            ) from None

    def store(self, rows: Iterable[UncertainRow]) -> None:
        """Keep these rows, none of them reviewed."""
        self._segmentation.SetAttribute(ROWS_ATTRIBUTE, json.dumps([asdict(row) for row in rows]))
        self._segmentation.SetAttribute(REVIEWED_ATTRIBUTE, "[]")

    @property
    def rows(self) -> tuple[UncertainRow, ...]:
        """Worst first."""
        stored = json.loads(self._segmentation.GetAttribute(ROWS_ATTRIBUTE) or "[]")
        return tuple(UncertainRow(**{**row, "position": tuple(row["position"]), "voxel": tuple(row["voxel"])}) for row in stored)

    def __len__(self) -> int:
        return len(self.rows)

    def is_reviewed(self, index: int) -> bool:
        """Whether the row with this index (from 0) is ticked."""
        return self.rows[index].rank in self._reviewed()

    def set_reviewed(self, index: int, reviewed: bool = True) -> None:
        """Tick or untick the row with this index (from 0)."""
        ranks = self._reviewed()
        rank = self.rows[index].rank
        ranks = ranks | {rank} if reviewed else ranks - {rank}
        self._segmentation.SetAttribute(REVIEWED_ATTRIBUTE, json.dumps(sorted(ranks)))

    @property
    def reviewed_count(self) -> int:
        """How many are marked as reviewed."""
        return len(self._reviewed())

    def next(self, index: int) -> int:
        """Return the index after this one, going round; -1 counts as before the first."""
        return (index + 1) % max(1, len(self))

    def previous(self, index: int) -> int:
        """Return the index before this one, going round."""
        return (max(index, 0) - 1) % max(1, len(self))

    def position(self, index: int) -> tuple[float, float, float]:
        """World RAS in mm of the row with this index (from 0), where it is on the screen now."""
        row = self.rows[index]
        world = VolumeGeometry.of(self._map).world if self._map is not None and self._map.GetImageData() is not None else None
        if world is None:
            return row.position
        x, y, z = (float(value) for value in (world @ np.array([*row.voxel, 1.0]))[:3])
        return x, y, z

    def jump(self, index: int) -> tuple[float, float, float]:
        """Move every slice view of the scene to that place, centred on it, and the crosshair; returns where, RAS in mm."""
        position = self.position(index)
        scene = self._segmentation.GetScene()
        for slice_node in nodes_of(scene, "vtkMRMLSliceNode"):
            slice_node.JumpSliceByCentering(*position)
        for crosshair in nodes_of(scene, "vtkMRMLCrosshairNode"):
            crosshair.SetCrosshairRAS(*position)
        return position

    def _reviewed(self) -> set[int]:
        return set(json.loads(self._segmentation.GetAttribute(REVIEWED_ATTRIBUTE) or "[]"))


def _row(line: Mapping[str, str], titles: Mapping[str, str]) -> UncertainRow:
    region = line["region"]
    return UncertainRow(
        rank=int(line["rank"]),
        region=region,
        boundary=f"{titles[region]} ({region})" if region in titles else region,
        volume_ml=float(line["volume_ml"]),
        ambiguity=float(line["mean_ambiguity"]),
        score_ml=float(line["score_ml"]),
        position=(float(line["jump_r_mm"]), float(line["jump_a_mm"]), float(line["jump_s_mm"])),
        voxel=(int(line["jump_i"]), int(line["jump_j"]), int(line["jump_k"])),
    )
