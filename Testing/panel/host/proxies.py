"""PythonQt's manners over PySide6 objects.

A proxy is what the module sees of a Qt object: `button.text` is a property, `button.connect('clicked(bool)', slot)` a
connection. Only what the meta-object declares or METHODS lists can be reached; everything else raises `HostError`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import shiboken6
from PySide6 import QtCore, QtGui, QtWidgets

from host import failures


class HostError(AttributeError):
    """The module used something that Slicer's PythonQt does not offer, or not in this way."""


METHODS: dict[str, set[str]] = {
    # What PythonQt offers beyond slots and properties, as far as this project needs it. Add only what Slicer really has.
    "QObject": {
        "children",
        "parent",
        "objectName",
        "property",
        "setProperty",
        "blockSignals",
        "signalsBlocked",
        "inherits",
        "isWidgetType",
    },
    "QWidget": {
        *("layout", "setLayout", "setSizePolicy", "setMinimumHeight", "setMaximumHeight", "setMinimumWidth", "setMaximumWidth"),
        *("setFixedHeight", "setFixedWidth", "setToolTip", "setContentsMargins", "isVisible", "isEnabled", "window", "parentWidget"),
        *("fontMetrics", "addAction", "setShortcut", "isVisibleTo", "setContextMenuPolicy", "setAttribute"),
    },
    "QLayout": {"addWidget", "setContentsMargins", "setSpacing", "addLayout", "count", "removeWidget", "activate"},
    "QBoxLayout": {"addStretch", "addSpacing", "insertWidget"},
    "QFormLayout": {"addRow"},
    "QAbstractButton": {"setText", "setIcon", "isChecked"},
    "QToolButton": {"setMenu", "setPopupMode", "menu", "setDefaultAction"},
    "QPushButton": {"setMenu", "menu"},
    "QMenu": {"addAction", "addSeparator", "actions", "clear"},
    "QAction": {"setText", "setToolTip", "setShortcut"},
    "QComboBox": {
        *("addItem", "addItems", "clear", "itemText", "itemData", "findText", "findData", "setItemText", "setItemData"),
        *("removeItem", "insertItem"),
    },
    "QProgressBar": set(),
    "QAbstractSpinBox": {"setSpecialValueText"},
    "QSpinBox": {"setMinimum", "setMaximum", "setSingleStep"},
    "QDoubleSpinBox": {"setMinimum", "setMaximum", "setSingleStep", "setDecimals"},
    "QTableWidget": {
        "selectedItems",
        *("setItem", "item", "setHorizontalHeaderLabels", "currentRow", "rowCount", "columnCount", "setRowCount", "setColumnCount"),
        *("setCurrentCell", "scrollToItem", "selectRow", "horizontalHeader", "verticalHeader", "setHorizontalHeaderItem"),
        *("resizeColumnsToContents", "resizeRowsToContents"),
    },
    "QHeaderView": {"setSectionResizeMode", "setVisible"},
    "QTableWidgetItem": {
        *("text", "setText", "setData", "data", "setCheckState", "checkState", "setFlags", "flags", "setToolTip", "toolTip"),
        *("setTextAlignment", "row", "column", "setForeground", "setBackground", "setFont", "font"),
    },
    "QPlainTextEdit": {"toPlainText", "verticalScrollBar", "setMaximumBlockCount"},
    "QLabel": set(),
    "QTimer": {"isActive", "setInterval", "setSingleShot"},
    "QShortcut": {"setContext", "setKey"},
    "QMessageBox": {"setText", "exec", "addButton", "setIcon"},
}

_proxies: dict[int, Proxy] = {}
_classes: dict[type, type] = {}


class Proxy:
    """Base of all proxies; the real Qt object is `_qt`, which only the tests may touch."""

    _qt: Any
    _qt_class: type

    def __init__(self, *arguments: Any, **properties: Any) -> None:
        made = type(self)._qt_class(*(unwrap(a) for a in arguments))
        object.__setattr__(self, "_qt", made)
        _remember(self, made)
        for name, value in properties.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        qt = _alive(self, name)
        if name == "name":
            name = "objectName"
        if isinstance(qt, QtCore.QObject):
            known = _declared(qt)
            if name in known.properties:
                return wrap(qt.metaObject().property(known.properties[name]).read(qt))
            if name in known.signals:
                return BoundSignal(self, name)
            if name in known.invokable or _listed(type(qt), name):
                return _method(qt, name)
        elif _listed(type(qt), name):
            return _method(qt, name)
        raise HostError(f"{type(self).__name__} has no attribute, slot or signal '{name}' in PythonQt (as far as the host knows)")

    def __setattr__(self, name: str, value: Any) -> None:
        qt = _alive(self, name)
        if name == "name":
            name = "objectName"
        if not isinstance(qt, QtCore.QObject):
            raise HostError(f"{type(self).__name__}.{name} cannot be set")
        properties = _declared(qt).properties
        if name not in properties:
            raise HostError(f"{type(self).__name__} has no property '{name}' to set")
        declared = qt.metaObject().property(properties[name])
        if not declared.isWritable():
            raise HostError(f"{type(self).__name__}.{name} is read-only")
        if not declared.write(qt, unwrap(value)):
            raise HostError(f"{type(self).__name__}.{name} does not take {value!r} ({declared.typeName()})")

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        name = signature.split("(")[0]
        known = _signal_signatures(_alive(self, "connect"), name)
        if _plain(signature) not in known:
            raise HostError(f"{type(self).__name__} has no signal '{signature}'; '{name}' has {sorted(known) or 'no signature'}")
        BoundSignal(self, name)._connect(slot, known[_plain(signature)])
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        return BoundSignal(self, signature.split("(")[0]).disconnect(slot)

    def className(self) -> str:
        return type(self).__name__

    def findChildren(self, kind: type, name: str = "") -> list[Proxy]:
        found = self._qt.findChildren(kind._qt_class, name) if name else self._qt.findChildren(kind._qt_class)
        return [wrap(child) for child in found]

    def __bool__(self) -> bool:
        return shiboken6.isValid(self._qt)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and self._qt is other._qt

    def __hash__(self) -> int:
        return id(self._qt)

    def __repr__(self) -> str:
        name = self._qt.objectName() if shiboken6.isValid(self._qt) and isinstance(self._qt, QtCore.QObject) else "?"
        return f"{type(self).__name__} ({name})"


class BoundSignal:
    """A signal as an attribute: `timer.timeout.connect(slot)`."""

    def __init__(self, owner: Proxy, name: str) -> None:
        self._owner, self._name = owner, name
        self._signal = getattr(owner._qt, name)
        self._relays: list = owner._qt.__dict__.setdefault("_host_relays", [])

    def connect(self, slot: Callable[..., Any]) -> None:
        self._connect(slot, max(_signal_signatures(self._owner._qt, self._name).values()))

    def disconnect(self, slot: Callable[..., Any]) -> bool:
        for entry in self._relays:
            if entry[0] == self._name and entry[1] == slot:
                self._signal.disconnect(entry[2])
                self._relays.remove(entry)
                return True
        return False

    def emit(self, *arguments: Any) -> None:
        self._signal.emit(*(unwrap(a) for a in arguments))

    def _connect(self, slot: Callable[..., Any], sent: int) -> None:
        if not callable(slot):
            raise HostError(f"{slot!r} cannot be connected to '{self._name}': it is not callable")
        taken = min(sent, _capacity(slot))

        def call(*arguments: Any) -> None:
            failures.guarded(slot)(*(wrap(a) for a in arguments[:taken]))

        # PySide chooses a signal's overload by how many arguments the receiver counts
        relay = (lambda: call(), lambda a: call(a), lambda a, b: call(a, b), lambda a, b, c: call(a, b, c))[sent]
        self._relays.append((self._name, slot, relay))
        self._signal.connect(relay)


def proxy_class(qt_class: type) -> type:
    """The proxy class that mirrors a Qt class, its bases mirrored too, so that isinstance works."""
    if qt_class not in _classes:
        bases = [b for b in qt_class.__bases__ if b is not object and b.__module__ != "Shiboken"]
        # a class of the host itself may come in two steps (a hidden Python base); it shows under its own name all the same
        mirrored = tuple(proxy_class(b) for b in bases) or (Proxy,)
        _classes[qt_class] = type(qt_class.__name__, mirrored, {"_qt_class": qt_class, "__module__": "qt", **_constants(qt_class)})
    return _classes[qt_class]


def wrap(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(wrap(v) for v in value)
    if not isinstance(value, (QtCore.QObject, QtWidgets.QTableWidgetItem)):
        return value
    known = _proxies.get(id(value))
    if known is not None and known._qt is value:
        return known
    made = object.__new__(proxy_class(type(value)))
    object.__setattr__(made, "_qt", value)
    _remember(made, value)
    return made


def unwrap(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(unwrap(v) for v in value)
    return value._qt if isinstance(value, Proxy) else value


def _remember(proxy: Proxy, qt: Any) -> None:
    _proxies[id(qt)] = proxy


def _alive(proxy: Proxy, name: str) -> Any:
    qt = proxy.__dict__.get("_qt")
    if qt is None or not shiboken6.isValid(qt):
        raise HostError(f"'{name}' was asked of a {type(proxy).__name__} that Qt has deleted")
    return qt


def _listed(kind: type, name: str) -> bool:
    return any(name in METHODS.get(c.__name__, ()) for c in kind.__mro__) or name in getattr(kind, "PYTHONQT_METHODS", ())


def _method(qt: Any, name: str) -> Callable[..., Any]:
    bound = getattr(qt, name)

    def call(*arguments: Any) -> Any:
        return wrap(bound(*(unwrap(failures.guarded(a) if inspect.isroutine(a) else a) for a in arguments)))

    call.__name__ = name
    return call


@dataclass(frozen=True)
class _Declared:
    """What a meta-object declares: property → its index, signal → {signature without blanks: arguments sent}, other methods."""

    properties: dict[str, int]
    signals: dict[str, dict[str, int]]
    invokable: frozenset[str]


_known: dict[type, _Declared] = {}


def _declared(qt: QtCore.QObject) -> _Declared:
    kind = type(qt)
    if kind not in _known:
        meta, signals, invokable = qt.metaObject(), {}, set()
        for i in range(meta.methodCount()):
            method = meta.method(i)
            name = bytes(method.name()).decode()
            if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
                signals.setdefault(name, {})[_plain(bytes(method.methodSignature()).decode())] = method.parameterCount()
            else:
                invokable.add(name)
        aliases = getattr(kind, "PYTHONQT_SIGNALS", {})
        for name in {signature.split("(")[0] for signature in aliases}:
            signals[name] = {_plain(s): count for s, count in aliases.items() if s.split("(")[0] == name}
        properties = {meta.property(i).name(): i for i in range(meta.propertyCount())}
        _known[kind] = _Declared(properties, signals, frozenset(invokable))
    return _known[kind]


def _signal_signatures(qt: QtCore.QObject, name: str) -> dict[str, int]:
    """Signature without blanks → how many arguments it sends."""
    return _declared(qt).signals.get(name, {})


def _plain(signature: str) -> str:
    return signature.replace(" ", "").replace("const", "").replace("&", "")


def _capacity(slot: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return 0
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 99
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _constants(qt_class: type) -> dict[str, Any]:
    """Enum values and static functions live on the class: `QMessageBox.Yes`, `QTimer.singleShot`."""
    found: dict[str, Any] = {}
    if qt_class is QtCore.QTimer:
        found["singleShot"] = staticmethod(lambda ms, slot: QtCore.QTimer.singleShot(ms, failures.guarded(slot)))
    if qt_class is QtWidgets.QFileDialog:
        found["getExistingDirectory"] = staticmethod(lambda *a: QtWidgets.QFileDialog.getExistingDirectory(*(unwrap(x) for x in a)))
    for value in vars(qt_class).values():
        if isinstance(value, type) and issubclass(value, (QtCore.Qt.CheckState.__bases__[0],)):
            found |= {member.name: member for member in value}
    return found


VALUE_CLASSES = {
    c.__name__: c
    for c in (
        *(QtGui.QIcon, QtGui.QPixmap, QtGui.QColor, QtGui.QBrush, QtGui.QFont, QtGui.QKeySequence, QtCore.QSize, QtCore.QUrl),
        *(QtCore.QSettings, QtGui.QDesktopServices, QtWidgets.QSizePolicy, QtCore.Qt),
    )
}
"""Classes whose objects the module sees as they are: values, not widgets."""
