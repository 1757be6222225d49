"""The ranked list of uncertain regions: a click shows one, a tick marks it reviewed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from LDMSegModule.panels.VolumesView import ROW_HEIGHT
from LDMSegModule.result.UncertainRegions import UncertainRegions, UncertainRow


@dataclass(frozen=True, eq=False)
class RegionsWidgets:
    table: Any
    previous: Any
    next: Any
    reviewed: Any


class RegionsView:
    """Lists the uncertain regions; `catch_errors` wraps slots, `arrived` is told the row that is shown."""

    def __init__(self, widgets: RegionsWidgets, catch_errors: Callable[..., Any], arrived: Callable[[UncertainRow], None]) -> None:
        self._w, self._arrived = widgets, arrived
        self._regions: UncertainRegions | None = None
        self._items: list[Any] = []
        self._filling = False
        self.current = -1
        header = widgets.table.horizontalHeader()
        header.setSectionResizeMode(1, qt.QHeaderView.Stretch)
        for column in (0, 2, 3):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        widgets.table.verticalHeader().setVisible(False)
        widgets.table.verticalHeader().defaultSectionSize = ROW_HEIGHT
        widgets.table.connect("cellClicked(int,int)", catch_errors(self._clicked))
        widgets.table.connect("cellChanged(int,int)", catch_errors(self._ticked))
        widgets.next.connect("clicked(bool)", catch_errors(self.go_to_next))
        widgets.previous.connect("clicked(bool)", catch_errors(self.go_to_previous))

    def show(self, regions: UncertainRegions | None) -> None:
        """List these regions; None = there is no result."""
        self._regions, self.current, self._items = regions, -1, []
        listed = [(row, regions.is_reviewed(index)) for index, row in enumerate(regions.rows)] if regions is not None else []
        self._filling = True
        try:
            self._w.table.setRowCount(len(listed))
            self._w.table.clearSelection()
            for index, (row, reviewed) in enumerate(listed):
                self._fill(index, row, reviewed)
        finally:
            self._filling = False
        self._w.table.visible = bool(listed)
        why = "" if listed else _("There is no uncertain region to go to.")
        for button, tip in (
            (self._w.previous, _("The previous region (Ctrl+Shift+P)")),
            (self._w.next, _("The next region (Ctrl+Shift+N)")),
        ):
            button.enabled = bool(listed)
            button.toolTip = why or tip
        self._count()

    def go_to_next(self) -> None:
        """Jump to the next region, going round."""
        if self._regions is not None and len(self._regions):
            self.go_to(self._regions.next(self.current))

    def go_to_previous(self) -> None:
        """Jump to the previous region, going round."""
        if self._regions is not None and len(self._regions):
            self.go_to(self._regions.previous(self.current))

    def go_to(self, index: int) -> None:
        """Jump to the region with this index, from 0."""
        if self._regions is None or not 0 <= index < len(self._regions):
            return
        self.current = index
        self._w.table.selectRow(index)
        self._regions.jump(index)
        self._arrived(self._regions.rows[index])

    def _clicked(self, row: int, column: int) -> None:
        if column != 0:
            self.go_to(row)

    def _ticked(self, row: int, column: int) -> None:
        if self._filling or column != 0 or self._regions is None:
            return
        self._regions.set_reviewed(row, self._w.table.item(row, 0).checkState() == qt.Qt.Checked)
        self._count()

    def _fill(self, index: int, row: UncertainRow, reviewed: bool) -> None:
        tick = self._put(index, 0, "")
        tick.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
        tick.setCheckState(qt.Qt.Checked if reviewed else qt.Qt.Unchecked)
        tick.setToolTip(_("Tick when you have reviewed this region."))
        where = ", ".join(f"{x:.0f}" for x in row.position)
        self._put(index, 1, f"{row.rank}.  {row.boundary}").setToolTip(_("RAS {where} mm").format(where=where))
        self._put(index, 2, f"{row.volume_ml:.2f}", qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        ambiguity = self._put(index, 3, f"{100 * row.ambiguity:.0f} %", qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        ambiguity.setToolTip(_("Mean of 4 p (1 - p): 100 % where the ensemble is split in halves."))

    def _put(self, row: int, column: int, text: str, alignment: Any = None) -> Any:
        item = qt.QTableWidgetItem(text)
        if alignment is not None:
            item.setTextAlignment(alignment)
        self._w.table.setItem(row, column, item)
        self._items.append(item)
        return item

    def _count(self) -> None:
        total, done = (len(self._regions), self._regions.reviewed_count) if self._regions is not None else (0, 0)
        self._w.reviewed.text = _("{done} of {total} reviewed").format(done=done, total=total) if total else _("No uncertain regions.")
