"""Tell the panel when the scene changes, closes or loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

WAIT_MS = 150
"""Loading a patient adds many nodes one after the other: they are looked at once, so long after the last."""


class SceneListener(Protocol):
    def scene_closes(self) -> None: ...

    def scene_closed(self) -> None: ...

    def scene_loads(self) -> None:
        """A saved scene is about to be read."""

    def scene_loaded(self) -> None: ...

    def scene_changed(self) -> None:
        """Something was added or removed a moment ago."""


class SceneWatch:
    """Observes the scene and tells a listener in the panel's terms.

    Args:
        scene: vtkMRMLScene.
        observe: `addObserver` of VTKObservationMixin, which also forgets the observers.
        timer: a QTimer of its own.
        listener: who is told.
        catch_errors: wraps what is called by Qt and VTK.
    """

    def __init__(
        self, scene: Any, observe: Callable[..., Any], timer: Any, listener: SceneListener, catch_errors: Callable[..., Any]
    ) -> None:
        self._scene, self._timer, self._listener = scene, timer, listener
        timer.setSingleShot(True)
        timer.setInterval(WAIT_MS)
        timer.connect("timeout()", catch_errors(self._look))
        for event, slot in (
            (scene.StartCloseEvent, listener.scene_closes),
            (scene.EndCloseEvent, listener.scene_closed),
            (scene.StartImportEvent, listener.scene_loads),
            (scene.EndImportEvent, listener.scene_loaded),
            (scene.NodeAddedEvent, self._changed),
            (scene.NodeRemovedEvent, self._changed),
            (scene.EndBatchProcessEvent, self._changed),
        ):
            observe(scene, event, catch_errors(slot))

    def stop(self) -> None:
        """Tell nothing any more of what has just changed."""
        self._timer.stop()

    def _changed(self) -> None:
        if not self._scene.IsClosing():
            self._timer.start()

    def _look(self) -> None:
        if self._scene.IsBatchProcessing() or self._scene.IsImporting():
            self._timer.start()
        else:
            self._listener.scene_changed()
