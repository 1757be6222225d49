"""The table of volumes in mL with the members' spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import vtk

REGION, TITLE, VOLUME, THRESHOLD = "Region", "Name", "Volume (mL)", "At threshold"
MEAN, LOW, HIGH, MEMBERS, RUN_THRESHOLD = (
    "Members' mean (mL)",
    "Spread from (mL)",
    "Spread to (mL)",
    "Members",
    "Spread at threshold",
)
_NOTE = (
    "Volume: what the segmentation holds now. Spread: 2.5th to 97.5th percentile of the members' own volumes at the threshold of the "
    "run; it says how far they disagree and is not a confidence interval. Research use only, not a medical device."
)


class VolumesTable:
    """A vtkMRMLTableNode with one row for each region."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def fill(self, rows: Sequence[Mapping[str, str]], threshold: float) -> None:
        """Make the table from the rows of volumes.csv and the threshold of the run."""
        table = vtk.vtkTable()
        for name in (REGION, TITLE):
            column = vtk.vtkStringArray()
            column.SetName(name)
            table.AddColumn(column)
        for name in (VOLUME, THRESHOLD, LOW, HIGH, MEAN, MEMBERS, RUN_THRESHOLD):
            column = vtk.vtkIntArray() if name == MEMBERS else vtk.vtkDoubleArray()
            column.SetName(name)
            table.AddColumn(column)
        for row in rows:
            values = {
                REGION: row["region"],
                TITLE: row["title"],
                VOLUME: _number(row["ensemble_ml"]),
                THRESHOLD: threshold,
                LOW: _number(row["spread_low_ml"]),
                HIGH: _number(row["spread_high_ml"]),
                MEAN: _number(row["mean_ml"]),
                MEMBERS: int(row["members"]),
                RUN_THRESHOLD: threshold,
            }
            index = table.InsertNextBlankRow()
            for name, value in values.items():
                table.SetValueByName(index, name, vtk.vtkVariant(value))
        self._node.SetAndObserveTable(table)
        self._node.SetLocked(True)
        self._node.SetDescription(_NOTE)

    def update(self, volumes_ml: Mapping[str, float], threshold: float) -> None:
        """Set the regions' volumes as they are now."""
        table = self._node.GetTable()
        for index in range(table.GetNumberOfRows()):
            region = table.GetValueByName(index, REGION).ToString()
            if region in volumes_ml:
                table.SetValueByName(index, VOLUME, vtk.vtkVariant(round(float(volumes_ml[region]), 3)))
                table.SetValueByName(index, THRESHOLD, vtk.vtkVariant(round(float(threshold), 4)))
        table.Modified()
        self._node.Modified()

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Region → volume in mL as the table says now."""
        table = self._node.GetTable()
        return {
            table.GetValueByName(index, REGION).ToString(): table.GetValueByName(index, VOLUME).ToDouble()
            for index in range(table.GetNumberOfRows())
        }


def _number(text: str) -> float:
    return round(float(text), 3) if text else float("nan")
