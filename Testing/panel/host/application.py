"""`slicer.app` and its like: as much of the application as the module may use, and a record of what it did."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from host.failures import guarded
from host.proxies import HostError, Proxy, wrap


class Strict:
    """Knows what it was given, raises for the rest."""

    def __init__(self, name: str, /, **known: Any) -> None:
        self.__dict__.update(known, _name=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise HostError(f"the host's {self.__dict__.get('_name', '?')} has no '{name}'")


class Dialogs:
    """What the user answers. A dialog that no answer was laid out for fails the test instead of waiting for ever."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.answers: list[Any] = []

    def ask(self, text: str) -> Any:
        self.shown.append(text)
        if not self.answers:
            raise HostError(f"a dialog nobody expected: {text}")
        return self.answers.pop(0)


class ModuleManager:
    def __init__(self) -> None:
        self._slots: list[Callable[[str], None]] = []

    def connect(self, signature: str, slot: Callable[[str], None]) -> None:
        if signature != "moduleAboutToBeUnloaded(QString)":
            raise HostError(f"the module manager has no signal '{signature}' (as far as the host knows)")
        self._slots.append(slot)

    def disconnect(self, signature: str, slot: Callable[[str], None]) -> None:
        self._slots.remove(slot)

    def unload(self, name: str) -> None:
        for slot in list(self._slots):
            guarded(slot)(name)


class Startup:
    """The application's signals; `startup()` is called when a test plays the end of Slicer's start."""

    def __init__(self) -> None:
        self.slots: list[Callable[[], None]] = []

    def connect(self, signature: str, slot: Callable[[], None]) -> None:
        if signature != "startupCompleted()":
            raise HostError(f"the application has no signal '{signature}' (as far as the host knows)")
        self.slots.append(slot)

    def completed(self) -> None:
        for slot in self.slots:
            guarded(slot)()


class SegmentEditorWidget:
    """The Segment Editor as other modules reach it: `slicer.modules.segmenteditor.widgetRepresentation().self().editor`."""

    def __init__(self) -> None:
        self.segmentation: Any = None
        self.source: Any = None

    def setSegmentationNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLSegmentationNode")
        self.segmentation = node

    def setSourceVolumeNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLScalarVolumeNode")
        self.source = node


def _must_be(node: Any, kind: str) -> None:
    if node is None or not node.IsA(kind):
        raise HostError(f"{node!r} was given, expected a {kind}")


class Application(Strict):
    def __init__(self, qt_application: QtWidgets.QApplication, logic: Any, temporary: str) -> None:
        self.__dict__["_startup"] = Startup()
        self.dialogs = Dialogs()
        manager, environment = ModuleManager(), QtCore.QProcessEnvironment.systemEnvironment()
        super().__init__(
            "slicer.app",
            qt=qt_application,
            dialogs=self.dialogs,
            moduleManager=lambda: manager,
            applicationLogic=lambda: logic,
            processEvents=lambda *a: qt_application.processEvents(),
            testingEnabled=lambda: False,
            commandOptions=lambda: Strict("commandOptions", testingEnabled=False),
            startupEnvironment=lambda: environment,
            temporaryPath=temporary,
            connect=self._startup.connect,
            slicerHome=os.path.dirname(os.path.dirname(sys.executable)),
            applicationName="Slicer",
            applicationVersion="5.12.0",
            majorVersion=5,
            minorVersion=12,
            revision="0",
            os="linux",
            isInstalled=True,
            layoutManager=lambda: None,
            userSettings=lambda: QtCore.QSettings(),
            settings=lambda: QtCore.QSettings(),
            primaryScreen=lambda: Strict("screen", logicalDotsPerInch=96.0),
        )


def modules(editor: SegmentEditorWidget) -> Strict:
    self_ = Strict("SegmentEditorWidget", editor=editor)
    representation = Strict("segment editor's representation")
    representation.__dict__["self"] = lambda: self_
    terminologies = slicer.vtkSlicerTerminologiesModuleLogic()  # the real one
    return Strict(
        "slicer.modules",
        segmenteditor=Strict("segmenteditor", widgetRepresentation=lambda: representation),
        terminologies=Strict("terminologies", logic=lambda: terminologies),
    )


def add_desktop_functions(application: Application, paths: dict[str, str]) -> list[str]:
    """The functions of slicer.util that only the desktop application has, and those that open a dialog.

    Returns the list in which the modules that were gone to are written down.
    """
    visited: list[str] = []
    dialogs = application.dialogs

    def message(text: str, parent: Any = None, **options: Any) -> Any:
        return dialogs.ask(text)

    def folder(*arguments: Any) -> str:
        return dialogs.ask(str(arguments[1]) if len(arguments) > 1 else "choose a folder")

    def load_volume(path: str, properties: dict[str, Any] | None = None, returnNode: bool = False) -> Any:
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(path)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", (properties or {}).get("name", os.path.basename(path)))
        if not storage.ReadData(node):
            slicer.mrmlScene.RemoveNode(node)
            raise RuntimeError(f"Failed to load node from file: {path}")
        node.CreateDefaultDisplayNodes()
        return node

    util = slicer.util
    util.loadVolume = load_volume
    util.selectModule = visited.append
    util.modulePath = lambda name: paths[name]
    util.mainWindow = lambda: None
    util.messageBox = message
    for name in ("infoDisplay", "warningDisplay", "errorDisplay"):
        setattr(util, name, lambda text, *a, **k: dialogs.ask(text))
    for name in ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay"):
        setattr(util, name, lambda text, *a, **k: bool(dialogs.ask(text)))
    util.showStatusMessage = lambda text, duration=0: None
    QtWidgets.QFileDialog.getExistingDirectory = staticmethod(folder)
    return visited


def settings_in(folder: str) -> None:
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, folder)
    QtCore.QCoreApplication.setOrganizationName("host")
    QtCore.QCoreApplication.setApplicationName("host")


def temporary_folder() -> str:
    return tempfile.mkdtemp(prefix="ldmseg host ünïcode ")


__all__ = ["Application", "Dialogs", "Proxy", "SegmentEditorWidget", "Strict", "add_desktop_functions", "modules", "wrap"]
