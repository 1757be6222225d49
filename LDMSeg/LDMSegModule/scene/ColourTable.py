"""Colour tables for probability and variance maps, made in code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from LDMSegModule.scene.Nodes import nodes_of

_COLOURS = 256


@dataclass(frozen=True)
class ColourTable:
    """A ramp through `stops` (red, green, blue, 0 to 255), lightness rising all the way so that it reads in grey too.
    The hues are blue and magenta because segments are red, green and yellow.

    The lowest `fade` of the ramp comes in from transparent, so that an overlay has no hard rim.
    """

    name: str
    description: str
    stops: tuple[tuple[int, int, int], ...]
    fade: float

    def node(self, scene: Any) -> Any:
        """The scene's vtkMRMLColorTableNode of this name, made where there is none."""
        for node in nodes_of(scene, "vtkMRMLColorTableNode"):
            if node.GetName() == self.name:
                return node
        node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", self.name)
        node.SetTypeToUser()
        node.SetDescription(self.description)
        node.SetNumberOfColors(_COLOURS)
        for k, (red, green, blue, alpha) in enumerate(self.colours()):
            node.SetColor(k, f"{k / (_COLOURS - 1):.2f}", red, green, blue, alpha)
        return node

    def colours(self) -> np.ndarray:
        """(256, 4) red, green, blue, alpha, 0 to 1."""
        at = np.linspace(0.0, 1.0, _COLOURS)
        known = np.linspace(0.0, 1.0, len(self.stops))
        channels = [np.interp(at, known, [stop[c] / 255.0 for stop in self.stops]) for c in range(3)]
        alpha = np.clip(at / self.fade, 0.0, 1.0) if self.fade > 0 else np.ones(_COLOURS)
        return np.stack([*channels, alpha], axis=1)


PROBABILITY = ColourTable(
    "LDMSeg probability",
    "Probability from 0 (dark blue, transparent) to 1 (light blue). Research use only.",
    ((10, 15, 80), (20, 40, 150), (25, 80, 205), (35, 125, 235), (65, 170, 250), (130, 210, 255)),
    fade=0.25,
)
VARIANCE = ColourTable(
    "LDMSeg variance",
    "Variance over the members from low (dark violet, transparent) to high (pale rose). Research use only.",
    ((40, 10, 75), (100, 15, 135), (175, 25, 160), (235, 60, 170), (255, 135, 200), (255, 225, 240)),
    fade=0.25,
)
