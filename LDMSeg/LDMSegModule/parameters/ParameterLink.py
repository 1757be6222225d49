"""Connect the panel to the scene's parameter node, also when scenes are closed and loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from slicer.i18n import tr as _


class ParameterLink:
    """Follows the parameter node of the scene as it is now.

    Args:
        node: gives the parameter node of the scene as it is now.
        wrap: that node → its `parameterNodeWrapper`.
        ui: the widgets, of which those with a SlicerParameterName follow the parameters by themselves.
        observe, forget: `addObserver` and `removeObserver` of VTKObservationMixin.
        bind: told the parameters, None while there are none.
        changed: told that a parameter has changed.
        tell: says a sentence to the user.
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
        tell: Callable[[str], None],
    ) -> None:
        self._node, self._wrap, self._ui = node, wrap, ui
        self._observe, self._forget, self._bind, self._changed, self._tell = observe, forget, bind, changed, tell
        self.parameters: Any = None
        self._connection: Any = None
        self._held: tuple[Any, int] | None = None

    def take(self) -> None:
        """Follow the parameter node of the scene as it is now."""
        node = self._node()
        if self.parameters is not None and node is self.parameters.parameterNode:
            return
        self.drop()
        self.parameters = self._wrapped(node)
        self._connection = self.parameters.connectGui(self._ui)
        self._observe(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._changed)
        self._bind(self.parameters)

    def _wrapped(self, node: Any) -> Any:
        """The node's wrapper, with the defaults where what a scene has saved means nothing to this version of the module."""
        wrapper = self._readable(node)
        if wrapper is None:
            for name in node.GetParameterNames():
                node.UnsetParameter(name)
            wrapper = self._wrap(node)
            self._tell(_("The settings saved in this scene cannot be read by this version of LDMSeg and were put back to their defaults."))
        return wrapper

    def _readable(self, node: Any) -> Any:
        try:
            wrapper = self._wrap(node)
            for name in wrapper.allParameters:
                getattr(wrapper, name)
        except (KeyError, TypeError, ValueError):
            return None
        return wrapper

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
