"""The MRML widgets the panel uses, over the real scene."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from host.failures import guarded


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that knows a scene and passes it on."""

    mrmlSceneChanged = Signal(object)
    PYTHONQT_SIGNALS = {"mrmlSceneChanged(vtkMRMLScene*)": 1}
    PYTHONQT_METHODS = {"setMRMLScene", "mrmlScene"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene. Without a scene it offers nothing, as in Slicer."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    PYTHONQT_SIGNALS = {
        "currentNodeChanged(vtkMRMLNode*)": 1,
        "currentNodeChanged(bool)": 1,
        "currentNodeIDChanged(QString)": 1,
        "nodeActivated(vtkMRMLNode*)": 1,
    }
    PYTHONQT_METHODS = {"setMRMLScene", "mrmlScene", "currentNode", "setCurrentNode", "setCurrentNodeID", "nodeCount", "addAttribute"}

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None
        self._tags: list[int] = []
        self._types: list[str] = []
        self._attributes: dict[str, str] = {}
        self._watched: set[str] = set()
        self._flags: dict[str, bool] = {"noneEnabled": False, "showChildNodeTypes": True}
        self._texts: dict[str, str] = {"noneDisplay": "None"}
        self._last: str | None = None
        self._busy = False
        self.box = QtWidgets.QComboBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box)
        self.box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)
        self.box.setMinimumWidth(120)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self.box.currentIndexChanged.connect(guarded(lambda index: self._tell()))
        self.box.activated.connect(guarded(lambda index: self.nodeActivated.emit(self.currentNode())))

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        if scene is self._scene:
            return
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (
            *(slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent),
            *(slicer.vtkMRMLScene.EndCloseEvent, slicer.vtkMRMLScene.EndImportEvent, slicer.vtkMRMLScene.EndBatchProcessEvent),
        )
        self._tags = [scene.AddObserver(event, guarded(self._scene_changed)) for event in events] if scene is not None else []
        self._fill()

    def _scene_changed(self, caller: Any, event: str) -> None:
        if self._scene is not None and not self._scene.IsBatchProcessing():
            self._watch()
            self._fill()

    def _watch(self) -> None:
        """Follow names and attributes of the nodes, as Slicer's scene model does."""
        for i in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(i)
            if node.GetID() not in self._watched and any(node.IsA(t) for t in self._types):
                self._watched.add(node.GetID())
                node.AddObserver("ModifiedEvent", guarded(self._node_changed))

    def _node_changed(self, caller: Any, event: str) -> None:
        offered = [(self.box.itemData(i), self.box.itemText(i)) for i in range(self.box.count()) if self.box.itemData(i)]
        if self._scene is not None and offered != [(node.GetID(), node.GetName()) for node in self.nodes()]:
            self._fill()

    def nodes(self) -> list[slicer.vtkMRMLNode]:
        if self._scene is None:
            return []
        found = []
        for i in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(i)
            exact = node.GetClassName() in self._types
            if any(node.IsA(kind) and node.GetAttribute(name) is None for kind, name in self._attributes.items()):
                continue
            if (exact or (self._flags["showChildNodeTypes"] and any(node.IsA(t) for t in self._types))) and not node.GetHideFromEditors():
                found.append(node)
        return found

    def _fill(self) -> None:
        before, self._busy = self._last, True
        try:
            self.box.clear()
            if self._scene is not None:
                if self._flags["noneEnabled"]:
                    self.box.addItem(self._texts["noneDisplay"], "")
                for node in self.nodes():
                    self.box.addItem(node.GetName(), node.GetID())
            index = self.box.findData(before) if before else -1
            if index < 0 and self.box.count():
                index = 0
            self.box.setCurrentIndex(index)
        finally:
            self._busy = False
        self._tell()

    def _tell(self) -> None:
        if self._busy:
            return
        id = self.box.currentData() or None
        if id != self._last:
            self._last = id
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(id or "")

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        id = self.box.currentData()
        return self._scene.GetNodeByID(id) if id and self._scene is not None else None

    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, id: str) -> None:
        index = self.box.findData(id or "")
        self.box.setCurrentIndex(index if index >= 0 else (0 if self._flags["noneEnabled"] and self.box.count() else -1))

    def nodeCount(self) -> int:
        return len(self.nodes())

    def addAttribute(self, node_class: str, name: str, value: object = None) -> None:
        """Offer nodes of that class only with that attribute."""
        self._attributes[node_class] = name
        self._fill()

    def _set_types(self, types: list[str]) -> None:
        self._types = list(types)
        self._fill()

    def _flag(name: str):
        def write(self: qMRMLNodeComboBox, value: bool) -> None:
            self._flags[name] = value
            self._fill()

        return lambda self: self._flags.get(name, False), write

    def _text(name: str):
        def write(self: qMRMLNodeComboBox, value: str) -> None:
            self._texts[name] = value
            self._fill()

        return lambda self: self._texts.get(name, ""), write

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    noneEnabled = Property(bool, *_flag("noneEnabled"))
    addEnabled = Property(bool, *_flag("addEnabled"))
    removeEnabled = Property(bool, *_flag("removeEnabled"))
    renameEnabled = Property(bool, *_flag("renameEnabled"))
    editEnabled = Property(bool, *_flag("editEnabled"))
    showHidden = Property(bool, *_flag("showHidden"))
    showChildNodeTypes = Property(bool, *_flag("showChildNodeTypes"))
    selectNodeUponCreation = Property(bool, *_flag("selectNodeUponCreation"))
    noneDisplay = Property(str, *_text("noneDisplay"))
    currentNodeID = Property(str, lambda self: self.box.currentData() or "", setCurrentNodeID)


CLASSES = (qMRMLWidget, qMRMLNodeComboBox)
