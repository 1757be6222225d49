"""Reads a .ui file as Slicer's loader does: custom classes by name, and the <connections> it lists. Typing errors raise."""

from __future__ import annotations

import xml.etree.ElementTree as xml

from PySide6 import QtCore, QtUiTools, QtWidgets

from host.failures import guarded
from host.proxies import HostError, _signal_signatures, wrap


class QFile:
    ReadOnly = 1

    def __init__(self, path: str) -> None:
        self._file = QtCore.QFile(path)
        self.exists, self.fileName = self._file.exists, self._file.fileName

    def open(self, mode: int) -> bool:
        return self._file.open(QtCore.QFile.OpenModeFlag.ReadOnly)

    def bytes(self) -> bytes:
        return bytes(self._file.readAll().data())


class _Loader(QtUiTools.QUiLoader):
    def __init__(self, custom: dict[str, type]) -> None:
        super().__init__()
        self._custom = custom
        self.made: dict[str, QtWidgets.QWidget] = {}

    def createWidget(self, kind: str, parent: QtWidgets.QWidget | None = None, name: str = "") -> QtWidgets.QWidget:
        if kind in self._custom:
            widget = self._custom[kind](parent)
            widget.setObjectName(name)
        elif kind in self.availableWidgets() or kind == "Line":
            widget = super().createWidget(kind, parent, name)
        else:
            raise HostError(f"the .ui file has a widget '{name}' of the unknown class '{kind}'")
        if name in self.made:
            raise HostError(f"the .ui file has two widgets called '{name}'")
        self.made[name] = widget
        return widget


def loader_class(custom: dict[str, type]) -> type:
    """`qt.QUiLoader` for these custom widget classes."""

    class QUiLoader:
        def load(self, file: QFile) -> object:
            tree = xml.fromstring(file.bytes())
            connections = tree.find("connections")
            listed = list(connections) if connections is not None else []
            if connections is not None:
                tree.remove(connections)
            declared = {entry.findtext("class") for entry in tree.iter("customwidget")}
            for kind in {w.get("class") for w in tree.iter("widget")} & set(custom):
                if kind not in declared:
                    raise HostError(f"the .ui file uses '{kind}' without declaring it under <customwidgets>")
            buffer = QtCore.QBuffer()
            buffer.setData(xml.tostring(tree))
            loader = _Loader(custom)
            top = loader.load(buffer)
            if top is None:
                raise HostError(f"the .ui file cannot be loaded: {loader.errorString()}")
            _check_properties(tree, loader.made)
            for entry in listed:
                _connect(entry, loader.made)
            return wrap(top)

    return QUiLoader


def _check_properties(tree: xml.Element, made: dict[str, QtWidgets.QWidget]) -> None:
    for element in tree.iter("widget"):
        widget = made[element.get("name")]
        for entry in element.findall("property"):
            name = entry.get("name")
            if name == "orientation" and element.get("class") == "Line":
                continue
            if widget.metaObject().indexOfProperty(name) < 0 and entry.get("stdset") != "0":
                raise HostError(f"the .ui file sets '{name}' of '{widget.objectName()}', a {element.get('class')}, which has none")


def _connect(entry: xml.Element, made: dict[str, QtWidgets.QWidget]) -> None:
    sender, receiver = (made.get(entry.findtext(who, "")) for who in ("sender", "receiver"))
    signal, slot = entry.findtext("signal", ""), entry.findtext("slot", "")
    if sender is None or receiver is None:
        raise HostError(f"a connection of the .ui file names an unknown widget: {entry.findtext('sender')} → {entry.findtext('receiver')}")
    name = signal.split("(")[0]
    if signal not in _signal_signatures(sender, name):
        raise HostError(f"'{sender.objectName()}' has no signal '{signal}'")
    method = getattr(receiver, slot.split("(")[0], None)
    if method is None:
        raise HostError(f"'{receiver.objectName()}' has no slot '{slot}'")
    getattr(sender, name).connect(guarded(method))
