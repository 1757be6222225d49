"""Seconds the scene's side of the Slicer module takes, against what was promised.

    python -m Testing.benchmarks.slicer_scene [RESULT_DIR CASE_DIR]

On slicer-core, with the synthetic patient (240×240×155) and a small ensemble unless a result and its case are given. Views are
rendered by software here; a graphics card is faster. CPU seconds stand beside the wall's, for machines that are busy otherwise.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "LDMSeg"), str(ROOT / "Testing" / "mrml")]

import numpy as np  # noqa: E402
from LDMSegModule.checks.Preflight import Preflight  # noqa: E402
from LDMSegModule.result.LiveThreshold import LiveThreshold  # noqa: E402
from LDMSegModule.result.Overlay import Overlay  # noqa: E402
from LDMSegModule.result.ResultImport import ResultImport  # noqa: E402
from LDMSegModule.scene.CaseExport import CaseExport  # noqa: E402
from LDMSegModule.scene.NiftiFile import NiftiFile  # noqa: E402
from LDMSegModule.scene.SequenceGuess import SequenceGuess  # noqa: E402
from LDMSegModule.scene.VolumeFacts import VolumeFacts  # noqa: E402
from offscreen import SliceView  # noqa: E402
from scene import SceneWithLogics, new_scene  # noqa: E402

from LDMSegLib.models.bundle import find_bundle  # noqa: E402
from LDMSegLib.sequences.naming import find_case  # noqa: E402
from Testing.benchmarks.process import machine, measure, table  # noqa: E402

REPEATS = 5


def main(result: str | None = None, case: str | None = None) -> None:
    print(f"Machine: {machine()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if result is None or case is None:
            case, result = str(folder / "patient"), str(folder / "result")
            measure(["-m", "LDMSegLib", "demo-patient", "-o", case])
            measure(["-m", "LDMSegLib", "segment", case, "-o", result, "--synthetic", "--members", "5"])
        world = new_scene(folder / "cache")
        print(_measured(world, Path(result), Path(case), folder))


def _measured(world: SceneWithLogics, result_folder: Path, case: Path, folder: Path) -> str:
    specification = find_bundle().specification
    nodes = {name: _volume(world, file) for name, file in find_case(case, specification.sequences).items()}
    t1c = nodes[specification.reference]
    views = [SliceView(world.scene, name, world.application) for name in ("Red", "Green", "Yellow")]
    for view in views:
        view.show(t1c)
        view.pixels()

    rows = [_row("guess the four sequences", lambda: SequenceGuess(specification.sequences).guess(nodes.values()))]
    rows.append(_row("facts of four volumes", lambda: [VolumeFacts.of(node) for node in nodes.values()]))
    rows.append(_row("preflight of four volumes", lambda: Preflight(specification).check(nodes), 0.5))
    rows.append(_row("write the four volumes for the process", lambda: CaseExport().write(nodes, folder / "export")))

    results: list[Any] = []

    def results_on_screen() -> None:
        for earlier in results:
            earlier.segmentation.GetDisplayNode().SetVisibility(False)
        results.append(ResultImport(world.scene, specification).load(result_folder, t1c))
        Overlay(results[-1]).show("probability")
        for view in views:
            view.pixels()

    rows.append(_row("process end to results on screen, three views", results_on_screen, 3.0, repeats=3))
    result = results[-1]

    def jump() -> None:
        result.uncertain_regions.jump(places[0])
        places.append(places.pop(0))

    places = list(range(len(result.uncertain_regions)))
    if places:
        rows.append(_row("jump to an uncertain region", jump, 0.2))
        rows.append(_row("the same with three views redrawn", lambda: (jump(), [view.pixels() for view in views]), 0.2))

    live, thresholds = None, iter(np.linspace(0.2, 0.8, 4 * REPEATS))

    def ready() -> None:
        nonlocal live
        live = LiveThreshold(result)

    rows.append(_row("get ready for the threshold slider", ready, repeats=1))
    rows.append(_row("threshold: segmentation and volumes", lambda: live.set(next(thresholds)), 0.2))
    rows.append(_row("the same with three views redrawn", lambda: (live.set(next(thresholds)), [view.redraw() for view in views]), 0.2))
    everything = "the same with all in three views drawn anew"
    rows.append(_row(everything, lambda: (live.set(next(thresholds)), [view.pixels() for view in views]), 0.2))
    return table("The scene, 4 volumes of " + VolumeFacts.of(t1c).text, ("what", "wall s", "CPU s", "promised s"), rows)


def _volume(world: SceneWithLogics, file: Path) -> Any:
    image = NiftiFile.read(file)
    return world.volume(image.array.T, image.affine, file.name.split(".")[0])


def _row(what: str, action: Callable[[], object], promised: float | None = None, repeats: int = REPEATS) -> tuple[str, ...]:
    """The median of some runs."""
    wall, cpu = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        action()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return what, f"{np.median(wall):.3f}", f"{np.median(cpu):.3f}", "" if promised is None else f"{promised:g}"


if __name__ == "__main__":
    main(*sys.argv[1:3])
