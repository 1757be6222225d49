"""The steps of the preparation of raw scans, as text and as a picture while its file exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from LDMSegModule.panels.Dialogs import Dialogs
from LDMSegModule.result.Result import Result

WIDTH = 400
"""Of the picture in the panel, in pixels; a click on the button opens it in full."""


@dataclass(frozen=True, eq=False)
class PreparationWidgets:
    box: Any
    text: Any
    picture: Any
    open: Any


class PreparationView:
    """Shows what was done to raw scans.

    Args:
        widgets: of this box, which only results of raw scans have.
        picture: result → the page with a picture of each step, None where it is gone.
        dialogs: shows a file in the system's own viewer.
        catch_errors: wraps slots.
    """

    def __init__(
        self,
        widgets: PreparationWidgets,
        picture: Callable[[Result | None], Path | None],
        dialogs: Dialogs,
        catch_errors: Callable[..., Any],
    ) -> None:
        self._w, self._picture, self._dialogs = widgets, picture, dialogs
        self._result: Result | None = None
        widgets.open.connect("clicked(bool)", catch_errors(self._open))

    def show(self, result: Result | None) -> None:
        """Take another result; None = there is none."""
        self._result = result
        steps = result.preparation if result is not None else ()
        self._w.box.visible = bool(steps)
        if result is None or not steps:
            self._w.picture.clear()
            return
        moved = _("The transforms of these steps lie in the result's folder; put over a volume as it was loaded, each moves it there.")
        self._w.text.text = "\n".join([*steps, *([moved] if result.transforms else [])])
        file = self._picture(result)
        self._w.picture.clear()
        if file is not None:
            self._w.picture.pixmap = qt.QPixmap(str(file)).scaledToWidth(WIDTH, qt.Qt.SmoothTransformation)
        self._w.open.enabled = file is not None
        self._w.open.toolTip = (
            _("Opens the picture of each step in full.")
            if file is not None
            else _("The picture lies beside the files of a run and is gone with them; run the segmentation again for a new one.")
        )

    def _open(self) -> None:
        file = self._picture(self._result)
        if file is not None:
            self._dialogs.show(file)
        else:
            self.show(self._result)  # it has gone in the meantime: say so
