"""Puts the host where Slicer's own modules would be: qt, ctk, slicer.app, slicer.ScriptedLoadableModule and the rest."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

sys.path.append(str(Path(__file__).resolve().parents[2] / "unit"))  # also where no pytest has set the path

from sample_data import make_module

from host import application, counts, ctk_widgets, failures, mrml_widgets, parameternode, uiloader
from host.proxies import VALUE_CLASSES, HostError, proxy_class, wrap

MODULE = "LDMSeg"
ROOT = Path(__file__).resolve().parents[3]
QT_CLASSES = (
    *(QtCore.QObject, QtCore.QTimer, QtGui.QAction, QtGui.QShortcut, QtWidgets.QWidget, QtWidgets.QLabel, QtWidgets.QPushButton),
    *(QtWidgets.QToolButton, QtWidgets.QCheckBox, QtWidgets.QComboBox, QtWidgets.QSpinBox, QtWidgets.QDoubleSpinBox),
    *(QtWidgets.QLineEdit, QtWidgets.QPlainTextEdit, QtWidgets.QProgressBar, QtWidgets.QTableWidget, QtWidgets.QTableWidgetItem),
    *(QtWidgets.QHeaderView, QtWidgets.QAbstractItemView, QtWidgets.QVBoxLayout, QtWidgets.QHBoxLayout, QtWidgets.QFormLayout),
    *(QtWidgets.QMenu, QtWidgets.QMessageBox, QtWidgets.QFileDialog, QtWidgets.QFrame, QtWidgets.QSlider, QtWidgets.QGroupBox),
)


class _StrictModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise HostError(f"{self.__name__}.{name} is not known to the host")


@dataclass
class Host:
    """What the tests hold in their hands."""

    app: application.Application
    visited: list[str]
    editor: application.SegmentEditorWidget


def install() -> Host:
    """Once a process: afterwards the module file can be imported as it is."""
    counts.hold_on()
    failures.hook()
    qt_application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    qt_application.setStyle("Fusion")
    temporary = application.temporary_folder()
    application.settings_in(temporary)
    custom = {c.__name__: c for c in (*ctk_widgets.CLASSES, *mrml_widgets.CLASSES)}
    qt = _StrictModule("qt")
    vars(qt).update({c.__name__: proxy_class(c) for c in QT_CLASSES}, **VALUE_CLASSES)
    vars(qt).update(QFile=uiloader.QFile, QUiLoader=uiloader.loader_class(custom))
    ctk = _StrictModule("ctk")
    vars(ctk).update({c.__name__: proxy_class(c) for c in ctk_widgets.CLASSES})
    for name, value in vars(ctk_widgets.ctkPathLineEdit).items():
        if isinstance(value, int):
            setattr(ctk.ctkPathLineEdit, name, value)
    sys.modules.update(qt=qt, ctk=ctk)
    for widget in mrml_widgets.CLASSES:
        setattr(slicer, widget.__name__, proxy_class(widget))

    new_scene(temporary)
    logic = slicer.vtkSlicerApplicationLogic()
    slicer.app = application.Application(qt_application, logic, temporary)
    editor = application.SegmentEditorWidget()
    slicer.modules = application.modules(editor)
    path = str(ROOT / MODULE / f"{MODULE}.py")
    visited = application.add_desktop_functions(slicer.app, {MODULE: path})
    sys.modules["SampleData"] = make_module(slicer.modules)
    sys.modules["slicer.parameterNodeWrapper"] = parameternode
    slicer.parameterNodeWrapper = parameternode
    translation = types.ModuleType("slicer.i18n")
    translation.tr = lambda text: text
    translation.translate = lambda context, text: text
    sys.modules["slicer.i18n"] = translation
    from host import scripted  # needs qt and slicer.app

    sys.modules["slicer.ScriptedLoadableModule"] = scripted
    sys.path.insert(0, str(ROOT / MODULE))
    return Host(slicer.app, visited, editor)


def new_scene(temporary: str) -> Any:
    """A fresh scene with what Slicer always has in one: three slice views, a layout, a selection, a subject hierarchy."""
    from host.scene import make_scene

    slicer.mrmlScene = make_scene(temporary)
    return slicer.mrmlScene


def load_module() -> types.ModuleType:
    """Import LDMSeg.py as Slicer does: from its file, under its own name."""
    spec = importlib.util.spec_from_file_location(MODULE, ROOT / MODULE / f"{MODULE}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


def open_panel(module: types.ModuleType, host: Host) -> tuple[Any, QtWidgets.QScrollArea]:
    """Make the module's widget in a panel of Slicer's usual width, as a click on the module's name does."""
    panel = mrml_widgets.qMRMLWidget()
    panel.setLayout(QtWidgets.QVBoxLayout())
    panel.layout().setContentsMargins(6, 6, 6, 6)
    widget = getattr(module, f"{MODULE}Widget")(wrap(panel))
    panel.setMRMLScene(slicer.mrmlScene)
    widget.setup()
    area = QtWidgets.QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(panel)
    area.resize(500, 1150)
    area.show()
    if hasattr(widget, "enter"):
        widget.enter()
    host.app.processEvents()
    return widget, area
