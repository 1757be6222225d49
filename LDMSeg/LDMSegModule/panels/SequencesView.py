"""Show the volumes, members and views that a result rests on, and the warnings of its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

from LDMSegModule.result.Result import Result
from LDMSegModule.result.ResultSequences import ResultSequences


@dataclass(frozen=True, eq=False)
class SequencesWidgets:
    box: Any
    text: Any


class SequencesView:
    """Shows what a result rests on.

    Args:
        widgets: a box that folds, and a label in it.
    """

    def __init__(self, widgets: SequencesWidgets) -> None:
        self._w = widgets
        self._shown: Any = None

    def show(self, result: Result | None) -> None:
        """Take another result; None = there is none. Warnings unfold the box the first time."""
        told = ResultSequences(result.segmentation, result.provenance) if result is not None else None
        lines, warnings = (told.lines, told.warnings) if told is not None else ([], [])
        self._w.box.visible = bool(lines or warnings)
        self._w.text.text = "\n".join([*lines, *(_("Warning: {text}").format(text=text) for text in warnings)])
        if not warnings:
            self._w.box.title = _("What it rests on")
        else:
            self._w.box.title = _("What it rests on, and warnings ({count})").format(count=len(warnings))
        segmentation = result.segmentation if result is not None else None
        if segmentation is not self._shown:
            self._w.box.collapsed = not warnings
        self._shown = segmentation
