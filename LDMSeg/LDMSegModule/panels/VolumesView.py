"""The table of the regions' volumes."""

from __future__ import annotations

import math
from typing import Any

import qt
from slicer.i18n import tr as _

from LDMSegModule.result.Result import Result
from LDMSegModule.result.VolumesTable import HIGH, LOW, MEMBERS, REGION, TITLE, VOLUME

ROW_HEIGHT = 22


class VolumesView:
    """One row for each region: colour, name, mL, spread of the members. Reads the result's table node."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._items: list[Any] = []  # Qt does not keep what only it was given
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().defaultSectionSize = ROW_HEIGHT

    def show(self, result: Result | None) -> None:
        """Write the volumes as they are now."""
        node = result.table.GetTable() if result is not None and result.table.GetScene() is not None else None
        rows = node.GetNumberOfRows() if node is not None else 0
        self._table.setRowCount(rows)
        self._table.setFixedHeight(ROW_HEIGHT * (rows + 1) + 4 if rows else 0)
        self._items = []
        if result is None or node is None:
            return
        for row in range(rows):
            region = node.GetValueByName(row, REGION).ToString()
            title = node.GetValueByName(row, TITLE).ToString()
            value, low, high = (node.GetValueByName(row, name).ToDouble() for name in (VOLUME, LOW, HIGH))
            members = node.GetValueByName(row, MEMBERS).ToInt()
            name = self._put(row, 0, f"{title} ({region})")
            name.setData(qt.Qt.DecorationRole, qt.QColor(*result.region(region).color))
            self._put(row, 1, _ml(value), qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            spread = self._put(row, 2, _spread(low, high, members), qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            spread.setToolTip(
                _(
                    "2.5th to 97.5th percentile of the {members} members' own volumes at the run's threshold: not a confidence interval."
                ).format(members=members)
            )

    def _put(self, row: int, column: int, text: str, alignment: Any = None) -> Any:
        item = qt.QTableWidgetItem(text)
        if alignment is not None:
            item.setTextAlignment(alignment)
        self._table.setItem(row, column, item)
        self._items.append(item)
        return item


def _ml(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(low: float, high: float, members: int) -> str:
    return f"{_ml(low)} – {_ml(high)}" if members > 1 and not math.isnan(low) else "-"
