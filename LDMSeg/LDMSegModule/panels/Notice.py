"""One sentence in the panel, coloured by its kind; hidden when there is none."""

from __future__ import annotations

from typing import Any

INFO, GOOD, WARNING, PROBLEM = "info", "good", "warning", "problem"

# Set on a light ground of their own, so that they can be read in Slicer's dark style too.
_COLOURS = {
    INFO: ("#eef2f7", "#31445c", "#c9d5e3"),
    GOOD: ("#eaf5ec", "#23502f", "#bcdcc3"),
    WARNING: ("#fdf3d8", "#5c4a12", "#e6d191"),
    PROBLEM: ("#fbe9e7", "#7a221a", "#ecbdb7"),
}


class Notice:
    """What a QLabel says. `text` is the plain sentence."""

    def __init__(self, label: Any) -> None:
        self._label = label
        self.text = ""
        self.clear()

    def show(self, text: str, kind: str = INFO) -> None:
        """Say this; an empty text says nothing and takes no room."""
        self.text = text
        ground, ink, edge = _COLOURS[kind]
        self._label.styleSheet = f"background: {ground}; color: {ink}; border: 1px solid {edge}; border-radius: 3px; padding: 5px;"
        self._label.text = text
        self._label.visible = bool(text)

    def problem(self, text: str) -> None:
        """Say that this went wrong."""
        self.show(text, PROBLEM)

    def clear(self) -> None:
        self.text = ""
        self._label.text = ""
        self._label.visible = False
