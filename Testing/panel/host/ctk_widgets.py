"""The CTK widgets the panel uses: same names, properties and signals; painted plainly."""

from __future__ import annotations

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A titled section whose content folds away."""

    contentsCollapsed = Signal(bool)
    TITLE = 26

    def __init__(self, text: object = None, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(text if isinstance(text, QtWidgets.QWidget) else parent)
        if isinstance(text, str):
            self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self.TITLE, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.toggled.connect(self._fold)

    def _collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _collapsed, _set_collapsed)

    def _fold(self, opened: bool) -> None:
        self.setMaximumHeight(16777215 if opened else self.TITLE)
        self.updateGeometry()
        self.contentsCollapsed.emit(not opened)

    def minimumSizeHint(self) -> QtCore.QSize:
        inner = self.layout().totalMinimumSize() if self.layout() and self.isChecked() else QtCore.QSize(0, self.TITLE)
        return inner.expandedTo(QtCore.QSize(120, self.TITLE))

    def sizeHint(self) -> QtCore.QSize:
        return self.layout().totalSizeHint() if self.layout() and self.isChecked() else QtCore.QSize(160, self.TITLE)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < self.TITLE

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        bar = QtCore.QRectF(0.5, 0.5, self.width() - 1, self.TITLE - 5)
        painter.setPen(QtGui.QColor(196, 199, 203))
        painter.setBrush(QtGui.QColor(228, 230, 233))
        painter.drawRoundedRect(bar, 3, 3)
        painter.setBrush(QtGui.QColor(90, 94, 99))
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        x, y = 10.0, bar.center().y()
        opened = [(x - 4, y - 2), (x + 4, y - 2), (x, y + 3)]
        closed = [(x - 2, y - 4), (x - 2, y + 4), (x + 3, y)]
        painter.drawPolygon(QtGui.QPolygonF([QtCore.QPointF(*p) for p in (opened if self.isChecked() else closed)]))
        painter.setPen(self.palette().color(QtGui.QPalette.ColorRole.WindowText))
        font = self.font()
        font.setWeight(QtGui.QFont.Weight.DemiBold)
        painter.setFont(font)
        painter.drawText(bar.adjusted(22, 0, -4, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.text())


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box that folds with its tick."""

    def __init__(self, title: object = None, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(title if isinstance(title, QtWidgets.QWidget) else parent)
        if isinstance(title, str):
            self.setTitle(title)
        self.setCheckable(True)
        self.toggled.connect(self._fold)

    def _collapsed(self) -> bool:
        return not self.isChecked()

    def _set_collapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = Property(bool, _collapsed, _set_collapsed)

    def _fold(self, opened: bool) -> None:
        self.setFlat(not opened)
        self.setMaximumHeight(16777215 if opened else self.fontMetrics().height() + 8)
        self.updateGeometry()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        if self.isChecked():
            super().paintEvent(event)
            return
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        middle = self.height() / 2
        painter.setBrush(QtGui.QColor(90, 94, 99))
        painter.setPen(QtCore.Qt.PenStyle.NoPen)
        painter.drawPolygon(QtGui.QPolygonF([QtCore.QPointF(x, middle + y) for x, y in ((4, -4), (4, 4), (9, 0))]))
        painter.setPen(self.palette().color(QtGui.QPalette.ColorRole.WindowText))
        painter.drawText(self.rect().adjusted(16, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, self.title())

    def minimumSizeHint(self) -> QtCore.QSize:
        return super().minimumSizeHint() if self.isChecked() else QtCore.QSize(100, self.fontMetrics().height() + 8)


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one number."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    PYTHONQT_SIGNALS = {"valueChanged(double)": 1, "valueIsChanging(double)": 1}
    PYTHONQT_METHODS = {"setValue", "setRange"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider, self.box = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal), QtWidgets.QDoubleSpinBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.box)
        self._limits()
        self.slider.valueChanged.connect(lambda tick: self.box.setValue(self.box.minimum() + tick * self.box.singleStep()))
        self.box.valueChanged.connect(self._told)

    def _told(self, value: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round((value - self.box.minimum()) / self.box.singleStep()))
        self.slider.blockSignals(blocked)
        self.valueChanged.emit(value)

    def _limits(self) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setRange(0, max(1, round((self.box.maximum() - self.box.minimum()) / self.box.singleStep())))
        self.slider.setValue(round((self.box.value() - self.box.minimum()) / self.box.singleStep()))
        self.slider.blockSignals(blocked)

    def _with_limits(name: str):
        def write(self: ctkSliderWidget, value: float) -> None:
            getattr(self.box, f"set{name[0].upper()}{name[1:]}")(value)
            self._limits()

        return lambda self: getattr(self.box, name)(), write

    value = Property(float, lambda self: self.box.value(), lambda self, v: self.box.setValue(v))
    minimum = Property(float, *_with_limits("minimum"))
    maximum = Property(float, *_with_limits("maximum"))
    singleStep = Property(float, *_with_limits("singleStep"))
    decimals = Property(int, lambda self: self.box.decimals(), lambda self, v: self.box.setDecimals(v))
    suffix = Property(str, lambda self: self.box.suffix(), lambda self, v: self.box.setSuffix(v))
    pageStep = Property(float, lambda self: float(self.slider.pageStep()), lambda self, v: None)
    tracking = Property(bool, lambda self: self.slider.hasTracking(), lambda self, v: self.slider.setTracking(v))

    def setValue(self, value: float) -> None:
        self.box.setValue(value)

    def setRange(self, low: float, high: float) -> None:
        self.box.setRange(low, high)
        self._limits()


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path typed or browsed for. As in CTK the new path is told only where it is acceptable, which an empty one is not."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    Files, Dirs, Writable = 0x002, 0x001, 0x020  # the values of QDir::Filter that CTK uses
    PYTHONQT_METHODS = {"setCurrentPath", "addCurrentPathToHistory"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.edit, self.browse = QtWidgets.QLineEdit(), QtWidgets.QToolButton(text="…")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit, 1)
        row.addWidget(self.browse)
        self._filters, self._valid = 0, False
        self.edit.textChanged.connect(self._told)

    def _told(self, path: str) -> None:
        valid, before = bool(path), self._valid
        self._valid = valid
        if valid:
            self.currentPathChanged.emit(path)
        if valid != before:
            self.validInputChanged.emit(valid)

    currentPath = Property(str, lambda self: self.edit.text(), lambda self, v: self.edit.setText(v))
    settingKey = Property(str, lambda self: "", lambda self, v: None)

    def _set_filters(self, filters: int) -> None:
        self._filters = filters

    filters = Property(int, lambda self: self._filters, _set_filters)

    def setCurrentPath(self, path: str) -> None:
        self.edit.setText(path)

    def addCurrentPathToHistory(self) -> None: ...


CLASSES = (ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkSliderWidget, ctkPathLineEdit)
