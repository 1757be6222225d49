"""Draw the icon, 128×128: a brain from above, a tumour, and the outlines of an ensemble that does not quite agree.

python Documentation/draw_icon.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
TARGETS = (ROOT / "LDMSeg.png", ROOT / "LDMSeg" / "Resources" / "Icons" / "LDMSeg.png")
NIGHT, BRAIN, FOLD, TUMOUR, OUTLINE = "#14233a", "#c9d6e6", "#8fa3bd", "#e8553d", "#ffd24a"
MEMBERS = 9


def draw() -> plt.Figure:
    """The icon as a figure."""
    figure = plt.figure(figsize=(1.28, 1.28), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    axes.axis("off")
    axes.add_patch(FancyBboxPatch((-0.78, -0.78), 1.56, 1.56, boxstyle="round,pad=0.18", color=NIGHT, linewidth=0))
    axes.add_patch(Ellipse((0, 0), 1.32, 1.62, color=BRAIN, linewidth=0))
    axes.plot([0, 0], [-0.74, 0.74], color=FOLD, linewidth=1.6)
    angle = np.linspace(0, 2 * np.pi, 200)
    blob = 0.26 + 0.03 * np.cos(2 * angle + 1.0) + 0.015 * np.sin(3 * angle) + 0.012 * np.cos(5 * angle)
    axes.fill(0.31 + blob * np.cos(angle), 0.16 + 1.15 * blob * np.sin(angle), color=TUMOUR, linewidth=0)
    random = np.random.default_rng(4)
    for _ in range(MEMBERS):
        wave = sum(random.normal(0, 0.022) * np.cos(k * angle + random.uniform(0, 6.28)) for k in range(1, 6))
        radius = blob + 0.06 + random.normal(0, 0.02) + wave
        axes.plot(0.31 + radius * np.cos(angle), 0.16 + 1.15 * radius * np.sin(angle), color=OUTLINE, linewidth=0.8, alpha=0.75)
    return figure


if __name__ == "__main__":
    figure = draw()
    for target in TARGETS:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target, transparent=True, metadata={"Software": None})
