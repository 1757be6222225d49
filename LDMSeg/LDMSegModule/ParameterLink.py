"""The panel and the scene's parameter node, kept together through scenes that close and load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk


class ParameterLink:
    """Args:
    node: gives the parameter node of the scene as it is now.
    wrap: that node → its `parameterNodeWrapper`.
    ui: the widgets, of which those with a SlicerParameterName follow the parameters by themselves.
    observe, forget: `addObserver` and `removeObserver` of VTKObservationMixin.
    bind: told the parameters, None while there are none.
    changed: told that a parameter has changed.
    """

    def __init__(
        self,
        node: Callable[[], Any],
        wrap: Callable[[Any], Any],
        ui: Any,
        observe: Callable[..., Any],
        forget: Callable[..., Any],
        bind: Callable[[Any], None],
        changed: Callable[..., Any],
    ) -> None:
        self._node, self._wrap, self._ui = node, wrap, ui
        self._observe, self._forget, self._bind, self._changed = observe, forget, bind, changed
        self.parameters: Any = None
        self._connection: Any = None
        self._held: tuple[Any, int] | None = None

    def take(self) -> None:
        """Follow the parameter node of the scene as it is now."""
        node = self._node()
        if self.parameters is not None and node is self.parameters.parameterNode:
            return
        self.drop()
        self.parameters = self._wrap(node)
        self._connection = self.parameters.connectGui(self._ui)
        self._observe(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._changed)
        self._bind(self.parameters)

    def drop(self) -> None:
        """Follow none."""
        if self.parameters is not None:
            self.parameters.disconnectGui(self._connection)
            self._forget(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._changed)
            self.parameters = None
        self._bind(None)

    def hold(self) -> None:
        """The scene closes: the node outlives it but is emptied, which its wrapper must not see, as it would read numbers of nothing."""
        if self.parameters is not None:
            node = self.parameters.parameterNode
            self._held = (node, node.StartModify())
        self.drop()

    def resume(self) -> None:
        """The scene has closed."""
        self.take()
        if self._held is not None:
            node, modifying = self._held
            node.EndModify(modifying)
            self._held = None
