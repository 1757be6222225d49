"""`slicer.parameterNodeWrapper` over a real vtkMRMLScriptedModuleNode, for the types and widgets this project uses."""

from __future__ import annotations

import enum
import typing
import weakref
from dataclasses import dataclass
from typing import Annotated, Any

import slicer
import vtk
from PySide6 import QtWidgets

from host.proxies import HostError, proxy_class


@dataclass
class WithinRange:
    minimum: float
    maximum: float


@dataclass
class Default:
    value: Any


@dataclass
class Choice:
    choices: list


PROPERTY = "SlicerParameterName"


class _Parameter:
    def __init__(self, name: str, hint: Any, default: Any) -> None:
        self.name, self.annotations = name, ()
        self.kind = hint
        if typing.get_origin(hint) is Annotated:
            self.kind, *self.annotations = typing.get_args(hint)
        self.default = default
        self.nodes = _node_classes(self.kind)
        self.is_node = bool(self.nodes)
        self.is_enum = isinstance(self.kind, type) and issubclass(self.kind, enum.Enum)
        if not (self.is_node or self.is_enum or self.kind in (int, float, str, bool)):
            raise HostError(f"the parameter '{name}' is of {hint}, which the host cannot keep in a node")
        if default is None:
            self.default = None if self.is_node else next(iter(self.kind)) if self.is_enum else self.kind()

    def check(self, value: Any) -> None:
        accepted = self.nodes if self.is_node else (int, float) if self.kind is float else self.kind
        if value is None and self.is_node:
            return
        if not isinstance(value, accepted) or (isinstance(value, bool) and self.kind in (int, float)):
            raise TypeError(f"the parameter '{self.name}' was given {value!r}, expected {self.kind}")
        for annotation in self.annotations:
            if isinstance(annotation, WithinRange) and not annotation.minimum <= value <= annotation.maximum:
                raise ValueError(f"the parameter '{self.name}' was given {value}, expected {annotation.minimum} to {annotation.maximum}")
            if isinstance(annotation, Choice) and value not in annotation.choices:
                raise ValueError(f"the parameter '{self.name}' was given {value!r}, expected one of {annotation.choices}")

    @property
    def keys(self) -> tuple[str, ...]:
        """Under which names it may be kept: a union has one for each of its kinds, None among them."""
        return (self.name,) if len(self.nodes) < 2 else tuple(f"{self.name}.{k}" for k in range(len(self.nodes) + 1))

    def read(self, node: Any) -> Any:
        if self.is_node:
            return next((node.GetNodeReference(key) for key in self.keys if node.HasParameter(key)), None)
        text = node.GetParameter(self.name)
        if self.is_enum:
            return self.kind[text]
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        self.check(value)
        if not self.is_node:
            node.SetParameter(self.name, value.name if self.is_enum else str(value))
            return
        for key in self.keys[1:] and self.keys:
            node.UnsetParameter(key)
            node.RemoveNodeReferenceIDs(key)
        key = self.keys[-1] if value is None else self.keys[[isinstance(value, kind) for kind in self.nodes].index(True)]
        node.SetParameter(key, "")
        node.SetNodeReferenceID(key, value.GetID() if value is not None else None)

    def is_in(self, node: Any) -> bool:
        return any(node.HasParameter(key) for key in self.keys)


def _node_classes(hint: Any) -> tuple[type, ...]:
    """The node classes that a hint names; none for other kinds. Several only in the one form that Slicer knows."""
    kinds = (hint,)
    if typing.get_origin(hint) is typing.Union:
        kinds = typing.get_args(hint)
        if type(None) not in kinds:
            raise HostError(f"a union of nodes needs None, as Slicer's wrapper starts with it: {hint}")
        kinds = tuple(kind for kind in kinds if kind is not type(None))
    found = tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode))
    return found if len(found) == len(kinds) else ()


def parameterNodeWrapper(cls: type | None = None) -> Any:
    if cls is None:
        return parameterNodeWrapper
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {}
    for name, hint in hints.items():
        start = getattr(cls, name, None)
        if typing.get_origin(hint) is Annotated:
            given = [a.value for a in typing.get_args(hint)[1:] if isinstance(a, Default)]
            start = given[0] if given else start
        parameters[name] = _Parameter(name, hint, start)
        setattr(cls, name, property(lambda self, n=name: self.getValue(n), lambda self, value, n=name: self.setValue(n, value)))
    for method in (_init, connectGui, disconnectGui, getValue, setValue, default, StartModify, EndModify, AddObserver, RemoveObserver):
        setattr(cls, "__init__" if method is _init else method.__name__, method)
    cls.allParameters = parameters
    return cls


def _init(self: Any, node: Any, prefix: str | None = None) -> None:
    self.parameterNode, self._cache, self._guis, self._updating = node, {}, {}, False
    for parameter in self.allParameters.values():
        if not parameter.is_in(node):
            parameter.write(node, parameter.default)
        self._cache[parameter.name] = parameter.read(node)
    itself = weakref.ref(self)

    def refresh(caller: Any, event: str) -> None:
        if itself() is not None:
            itself()._cache = {p.name: p.read(node) for p in itself().allParameters.values()}

    self._refresher = node.AddObserver(vtk.vtkCommand.ModifiedEvent, refresh, 1.0)


def getValue(self: Any, name: str) -> Any:
    return self._cache[name]  # as in Slicer: remembered until the node says that it changed


def setValue(self: Any, name: str, value: Any) -> None:
    if name not in self.allParameters:
        raise ValueError(f"Cannot find a param with the given name: {name}")
    with slicer.util.NodeModify(self.parameterNode):
        self.allParameters[name].write(self.parameterNode, value)
        self._cache[name] = self.allParameters[name].read(self.parameterNode)


def default(self: Any, name: str) -> Default:
    return Default(self.allParameters[name].default)


def StartModify(self: Any) -> int:
    return self.parameterNode.StartModify()


def EndModify(self: Any, state: int) -> None:
    self.parameterNode.EndModify(state)


def AddObserver(self: Any, event: Any, callback: Any, priority: float = 0.0) -> int:
    return self.parameterNode.AddObserver(event, callback, priority)


def RemoveObserver(self: Any, tag: int) -> None:
    self.parameterNode.RemoveObserver(tag)


def connectGui(self: Any, gui: Any) -> int:
    """Bind every widget with a SlicerParameterName to its parameter, both ways."""
    bound = {}
    for widget in vars(gui).values():
        name = widget.property(PROPERTY)
        if name:
            if name not in self.allParameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
            bound[name] = _Connector(widget, self.allParameters[name])
    tag = len(self._guis)
    self._guis[tag] = bound
    for name, connector in bound.items():
        connector.write(self.getValue(name))
        connector.listen(lambda n=name, c=connector: _from_gui(self, n, c))
    self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: _to_gui(self))
    return tag


def disconnectGui(self: Any, tag: int) -> None:
    for connector in self._guis.pop(tag, {}).values():
        connector.silence()


def _from_gui(self: Any, name: str, connector: _Connector) -> None:
    if not self._updating:
        with slicer.util.NodeModify(self):
            self.setValue(name, connector.read())


def _to_gui(self: Any) -> None:
    if self._updating:
        return
    self._updating = True
    try:
        for bound in self._guis.values():
            for name, connector in bound.items():
                connector.write(self.getValue(name))
    finally:
        self._updating = False


class _Connector:
    """One widget and one parameter. The widgets are those Slicer's own connectors know, found by their exact class."""

    def __init__(self, widget: Any, parameter: _Parameter) -> None:
        self.widget, self.parameter = widget, parameter
        ctk = __import__("ctk")
        kinds = {
            (proxy_class(QtWidgets.QCheckBox), bool): ("checked", "stateChanged"),
            (proxy_class(QtWidgets.QPushButton), bool): ("checked", "toggled"),
            (proxy_class(QtWidgets.QSpinBox), int): ("value", "valueChanged"),
            (proxy_class(QtWidgets.QDoubleSpinBox), float): ("value", "valueChanged"),
            (ctk.ctkSliderWidget, float): ("value", "valueChanged"),
            (proxy_class(QtWidgets.QLineEdit), str): ("text", "textChanged"),
        }
        self.property, signal = kinds.get((type(widget), parameter.kind), (None, None))
        if parameter.is_enum and type(widget) is proxy_class(QtWidgets.QComboBox):
            signal = "currentIndexChanged"
            widget.clear()
            label = getattr(parameter.kind, "label", lambda e: e.name)
            for value in parameter.kind:
                widget.addItem(label(value))
        elif parameter.is_node and type(widget) is slicer.qMRMLNodeComboBox:
            signal = "currentNodeChanged"
            widget.nodeTypes = [kind.__name__ for kind in parameter.nodes]
        elif self.property is None:
            raise RuntimeError(f"Unable to create GUI connector from datatype '{parameter.kind}' to widget type '{type(widget)}'")
        elif self.property == "value":
            self._limit()
        self._signal, self._slot = getattr(widget, signal), None

    def _limit(self) -> None:
        found = [a for a in self.parameter.annotations if isinstance(a, WithinRange)]
        if found:
            self.widget.minimum, self.widget.maximum = found[0].minimum, found[0].maximum
        elif type(self.widget).__name__ == "ctkSliderWidget":
            raise RuntimeError("Cannot have a connection to ctkSliderWidget where the float types is unbounded.")
        else:  # Slicer opens the range too, whatever the .ui file says
            self.widget.minimum = -(2**31) if self.parameter.kind is int else float("-inf")
            self.widget.maximum = 2**31 - 1 if self.parameter.kind is int else float("inf")

    def read(self) -> Any:
        if self.parameter.is_enum:
            return list(self.parameter.kind)[self.widget.currentIndex]
        return self.widget.currentNode() if self.parameter.is_node else getattr(self.widget, self.property)

    def write(self, value: Any) -> None:
        if self.parameter.is_enum:
            self.widget.currentIndex = list(self.parameter.kind).index(value)
        elif self.parameter.is_node:
            self.widget.setCurrentNode(value)
        else:
            setattr(self.widget, self.property, value)

    def listen(self, callback: Any) -> None:
        self._slot = lambda: callback()
        self._signal.connect(self._slot)

    def silence(self) -> None:
        if self._slot is not None:
            self._signal.disconnect(self._slot)
            self._slot = None
