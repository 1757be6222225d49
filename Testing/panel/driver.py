"""A person in front of the panel: looks, clicks, waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from host import event_loop, failures, install
from host.proxies import unwrap
from PySide6 import QtCore, QtTest, QtWidgets

LAUNCHER, PLAYER = (Path(__file__).parent / name for name in ("launcher.py", "player.py"))


class PlayedPython:
    """Stands where PythonCommand does and runs the player instead of the library, behind a launcher as Slicer's Python is."""

    def __init__(self, part: str, result: Path | None = None) -> None:
        self.environment = {**os.environ, "PLAY": part, "PLAY_RESULT": str(result or "")}
        self.asked: list[tuple[str, ...]] = []

    def ldmseg(self, *arguments: str) -> list[str]:
        self.asked.append(arguments)
        return [sys.executable, "-S", str(LAUNCHER), sys.executable, "-S", str(PLAYER), *arguments]


class Panel:
    """The open panel. `ui` has its widgets by name, as the module sees them."""

    def __init__(self, module: Any, host: install.Host) -> None:
        self.host = host
        self.widget, self.area = install.open_panel(module, host)
        self.ui = self.widget.ui
        self.wait()

    # looking

    def shown(self, name: str) -> bool:
        """Whether a person would see the widget, scrolling allowed."""
        widget = getattr(self.ui, name)._qt
        if not widget.isVisibleTo(self.area.widget()):
            return False
        for _ in range(10):  # a layout that has just changed takes its time
            self.area.ensureWidgetVisible(widget)
            if not widget.visibleRegion().isEmpty():
                return True
            self.wait(0.03)
        return False

    def text(self, name: str) -> str:
        return getattr(self.ui, name).text

    def tip(self, name: str) -> str:
        return getattr(self.ui, name).toolTip

    def enabled(self, name: str) -> bool:
        return getattr(self.ui, name)._qt.isEnabled()

    def chosen(self, name: str) -> str | None:
        node = getattr(self.ui, name).currentNode()
        return node.GetName() if node is not None else None

    def cell(self, table: str, row: int, column: int) -> str:
        return getattr(self.ui, table).item(row, column).text()

    def buttons(self) -> list[QtWidgets.QAbstractButton]:
        kinds = (QtWidgets.QPushButton, QtWidgets.QToolButton)
        found = [b for kind in kinds for b in self.area.widget().findChildren(kind)]
        return [b for b in found if b.objectName() and not b.objectName().startswith("qt_")]

    def picture(self, path: Path) -> None:
        """The whole panel as a PNG, down to its last group."""
        self.area.resize(500, 1600)
        self.wait(0.2)
        bottom = self.ui.modelsGroup._qt.mapTo(self.area, QtCore.QPoint(0, self.ui.modelsGroup._qt.height())).y()
        self.area.grab().copy(0, 0, 500, bottom + 6).save(str(path))

    # doing

    def click(self, name: str) -> None:
        widget = getattr(self.ui, name)._qt
        assert self.shown(name), f"'{name}' cannot be seen, so it cannot be clicked"
        assert widget.isEnabled(), f"'{name}' is switched off: {widget.toolTip()}"
        QtTest.QTest.mouseClick(widget, QtCore.Qt.MouseButton.LeftButton, pos=QtCore.QPoint(12, 8))
        self.wait()

    def open(self, group: str) -> None:
        if getattr(self.ui, group).collapsed:
            getattr(self.ui, group)._qt.setChecked(True)
        self.wait()

    def choose(self, selector: str, node: Any) -> None:
        box = getattr(self.ui, selector)._qt.box
        box.setCurrentIndex(box.findData(node.GetID() if node is not None else ""))
        self.wait(0.05)

    def pick(self, combo: str, text: str) -> None:
        box = getattr(self.ui, combo)._qt
        index = box.findText(text, QtCore.Qt.MatchFlag.MatchContains)
        assert index >= 0, f"'{combo}' does not offer '{text}'"
        box.setCurrentIndex(index)
        self.wait()

    def slide(self, slider: str, value: float) -> None:
        getattr(self.ui, slider)._qt.box.setValue(value)
        self.wait(0.05)
        self.wait_until(self._followed)
        self.wait()

    def _followed(self) -> bool:
        """Whether the result has the threshold that its slider shows, or the slider has gone back to the result's."""
        result = self.widget.review.result
        return result is None or abs(result.threshold - self.ui.probabilitySlider.value) < 1e-6

    def click_cell(self, table: str, row: int, column: int) -> None:
        widget = getattr(self.ui, table)._qt
        place = widget.visualItemRect(widget.item(row, column))
        inside = QtCore.QPoint(place.left() + 10, place.center().y())
        QtTest.QTest.mouseClick(widget.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=inside)
        self.wait()

    def wait(self, seconds: float = 0.02) -> None:
        event_loop.wait(int(seconds * 1000))

    def wait_until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"nothing came of it in {seconds:g} s; the panel says: {self.text('runOutcome')!r}"
            self.wait()

    def run(self, part: str, result: Path | None = None) -> PlayedPython:
        """Let the player play this part for every run from now on."""
        self.widget.logic.python = played = PlayedPython(part, result)
        return played

    def launcher(self) -> int:
        """The process ID of the launcher that the segmentation under way has started: the child of this process that plays a part."""
        (pid,) = _told_by("pgrep", "-P", str(os.getpid()), "-f", PLAYER.name)
        return int(pid)

    def real_process(self) -> int:
        """The process ID of what the launcher has started for the segmentation under way."""
        (pid,) = _told_by("pgrep", "-P", str(self.launcher()))
        return int(pid)

    def finished(self, seconds: float = 20.0) -> None:
        self.wait_until(lambda: not self.widget.segmentPanel.running and not self.widget.syntheticPanel.running, seconds)
        self.wait()

    def answer(self, *answers: Any) -> None:
        """What the user will say to the next dialogs."""
        self.host.app.dialogs.answers = list(answers)

    def close(self) -> None:
        self.host.app.moduleManager().unload(install.MODULE)
        self.area.close()
        self.area.deleteLater()
        self.wait()


def lives(pid: int) -> bool:
    """Whether that process still runs."""
    return any(not state.startswith("Z") for state in _told_by("ps", "-o", "stat=", "-p", str(pid)))


def _told_by(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def volume(name: str, array: np.ndarray, affine: np.ndarray) -> Any:
    """A volume in the scene, as if it had been loaded."""
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
    node.UnRegister(None)
    node.SetName(name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(affine, dtype=float)))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(array.T))
    slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def no_failures() -> None:
    found = failures.take()
    assert not found, "\n".join(found)


__all__ = ["Panel", "PlayedPython", "lives", "no_failures", "unwrap", "volume"]
