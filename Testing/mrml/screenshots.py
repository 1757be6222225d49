"""The README's pictures of the scene: what a user sees of a result, rendered off-screen.

    python Testing/mrml/screenshots.py CASE_DIR RESULT_DIR MASKS_DIR [Documentation/screenshots]

CASE_DIR is made by `ldmseg demo-patient`, RESULT_DIR by `ldmseg segment CASE_DIR`, MASKS_DIR by `ldmseg synthesize`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "LDMSeg")]

import numpy as np  # noqa: E402
from LDMSegModule.result.Overlay import Overlay  # noqa: E402
from LDMSegModule.result.ResultExtras import ResultExtras  # noqa: E402
from LDMSegModule.result.ResultImport import ResultImport  # noqa: E402
from LDMSegModule.result.SyntheticImport import SyntheticImport  # noqa: E402
from LDMSegModule.scene.NiftiFile import NiftiFile  # noqa: E402
from offscreen import FourUp, write_png  # noqa: E402
from scene import new_scene  # noqa: E402

from LDMSegLib.models.bundle import find_bundle  # noqa: E402
from LDMSegLib.sequences.naming import find_case  # noqa: E402

FIELD_OF_VIEW_MM = 200.0
NOTICE = "Synthetic patient, nobody's images.\nResearch use only, not a medical device."


def main(case: str, result_folder: str, masks: str, out: str = str(ROOT / "Documentation" / "screenshots")) -> None:
    specification = find_bundle().specification
    with tempfile.TemporaryDirectory() as cache:
        world = new_scene(cache)
        image = NiftiFile.read(find_case(case, specification.sequences)[specification.reference])
        t1c = world.volume(image.array.T, image.affine, "Synthetic patient T1c")
        display = t1c.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(0, float(np.percentile(image.array[image.array > 0], 99.8)) * 1.15)
        views = FourUp(world.scene, world.application)
        views.show(t1c, FIELD_OF_VIEW_MM)
        middle = np.argwhere(image.array > 0)[::97].mean(axis=0)[::-1]
        result = ResultImport(world.scene, specification).load(result_folder, t1c)
        _look(views, image.affine @ [*middle, 1.0], result.uncertain_regions.position(0))
        ResultExtras(result).toggle_surfaces()
        overlay = Overlay(result)
        for kind in ("none", "probability", "variance"):
            overlay.show(kind, specification.region_names[-1])
            views.caption(NOTICE)
            write_png(views.pixels(), Path(out) / f"scene_{'segmentation' if kind == 'none' else kind}.png")

        overlay.show("none")
        result.segmentation.GetDisplayNode().SetVisibility(False)
        drawn = SyntheticImport(world.scene, specification).load(masks).segmentations[0]
        drawn.CreateClosedSurfaceRepresentation()
        mask = NiftiFile.read(min(Path(masks).glob("mask_*.nii.gz")))
        inside = np.argwhere(mask.array > 0)
        deepest = inside[np.linalg.norm(inside - inside.mean(axis=0), axis=1).argmin()]  # in the mask, whatever its form
        _look(views, image.affine @ [*middle, 1.0], (mask.affine @ [*deepest[::-1], 1.0])[:3])
        views.caption("Synthetic mask over a synthetic patient.\nResearch use only, not a medical device.")
        write_png(views.pixels(), Path(out) / "scene_synthetic_mask.png")


def _look(views: FourUp, middle: Any, place: Any) -> None:
    """The brain in the middle of each slice view, cut through `place`."""
    for view in views.slices.values():
        view.node.JumpSliceByCentering(*middle[:3])
        view.node.JumpSliceByOffsetting(*place)


if __name__ == "__main__":
    main(*sys.argv[1:5])
