"""Seconds the Slicer module's panel takes, against what was promised.

    python -m Testing.benchmarks.slicer_panel [RESULT_DIR CASE_DIR]

The real module file and form on the tests' Qt host, over slicer-core's scene, with the synthetic patient (240×240×155) and a
small ensemble unless a result and its case are given. Slice views are not part of it: see slicer_scene. CPU seconds stand beside
the wall's, for machines that are busy otherwise.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "Testing" / "panel")]

from host import install  # noqa: E402  (it must be there before the module and what drives it)

HOST = install.install()

import slicer  # noqa: E402
from driver import Panel  # noqa: E402

from Testing.benchmarks.process import machine, measure, table  # noqa: E402


def main(result: str | None = None, case: str | None = None) -> None:
    print(f"Machine: {machine()}")
    rows: list[tuple[str, ...]] = []
    module = _timed(rows, "Slicer imports the module", install.load_module)
    torch = "torch" in sys.modules
    panel = _timed(rows, "the panel opens", lambda: Panel(module, HOST), 1.0)
    torch |= "torch" in sys.modules
    with tempfile.TemporaryDirectory() as temporary:
        if result is None or case is None:
            case, result = str(Path(temporary) / "patient"), str(Path(temporary) / "result")
            measure(["-m", "LDMSegLib", "demo-patient", "-o", case])
            measure(["-m", "LDMSegLib", "segment", case, "-o", result, "--synthetic", "--members", "5"])
        for name in ("t1n", "t1c", "t2w", "t2f"):
            slicer.util.loadVolume(str(next(Path(case).glob(f"*{name}.nii*"))), {"name": f"patient_{name}"})
        _timed(rows, "four volumes loaded: guessed, described, checked", lambda: panel.widget.scene_changed())
        t1c = panel.ui.t1cSelector.currentNode()
        _timed(rows, "another volume is chosen: facts and preflight", lambda: panel.choose("t2wSelector", t1c), 0.5)
        panel.widget.inputs.guess(replace=True)

        def arrive() -> None:
            panel.widget.segmentPanel._load_result(Path(result), t1c, 0.0)
            HOST.app.processEvents()

        _timed(rows, "process end to result under review", arrive, 3.0)
        regions = panel.widget.review.regions
        _timed(rows, "jump to an uncertain region", regions.go_to_next, 0.2)
        _timed(rows, "the panel gets ready for the threshold slider", panel.widget.review.threshold._settled)
        threshold = panel.widget.review.threshold
        panel.ui.probabilitySlider._qt.slider.blockSignals(True)
        for number, value in enumerate((0.45, 0.4, 0.35)):
            threshold._slide_to(value)
            _timed(rows, f"threshold slider, move {number + 1}", threshold._apply, 0.2)
    panel.close()
    print(table("The panel", ("what", "wall s", "CPU s", "promised s"), rows))
    print(f"\ntorch was imported by the panel: {'yes' if torch else 'no'}")


def _timed(rows: list[tuple[str, ...]], what: str, action: Callable[[], Any], promised: float | None = None) -> Any:
    start, cpu = time.perf_counter(), time.process_time()
    returned = action()
    rows.append(
        (
            what,
            f"{time.perf_counter() - start:.3f}",
            f"{time.process_time() - cpu:.3f}",
            "" if promised is None else f"{promised:g}",
        )
    )
    return returned


if __name__ == "__main__":
    main(*sys.argv[1:3])
