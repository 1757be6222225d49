"""Run by the Slicer application itself (`Slicer --python-script`): the module loads, and its background process answers.

Needs nothing installed in Slicer. Ends Slicer with 0, or with 1 after saying what failed.
"""

from __future__ import annotations

import sys
import time
import traceback

import slicer
import slicer.util

PANEL_SECONDS = 10.0
"""Generous, for a virtual machine; the speed that a user sees is measured elsewhere."""


def check_module() -> None:
    assert hasattr(slicer.modules, "ldmseg"), "Slicer did not load the module LDMSeg"
    start = time.monotonic()
    panel = slicer.modules.ldmseg.widgetRepresentation()
    seconds = time.monotonic() - start
    assert panel is not None, "the module has no panel"
    assert seconds < PANEL_SECONDS, f"the panel took {seconds:.1f} s to open"
    assert "torch" not in sys.modules, "opening the panel imported torch"
    print(f"the panel opened in {seconds:.2f} s")


def check_background_process() -> None:
    from LDMSegModule.BackgroundRun import BackgroundRun
    from LDMSegModule.PythonCommand import PythonCommand

    class Listener:
        def on_event(self, event):
            print(event.text)

        def on_end(self, outcome):
            print(outcome.status, outcome.sentence)

    python = PythonCommand.find(slicer.util.startupEnvironment)
    run = BackgroundRun(python.ldmseg("models", "list"), python.environment, Listener())
    run.start()
    deadline = time.monotonic() + 120
    while run.outcome is None and time.monotonic() < deadline:
        run.poll()
        time.sleep(0.05)
    assert run.outcome is not None and run.outcome.status == "done", f"{python.executable}: {run.log}"
    bundles = run.outcome.result["bundles"]
    assert any(bundle["default"] and not bundle["problem"] for bundle in bundles), f"the embedded bundle is not packaged: {bundles}"


def main() -> int:
    try:
        check_module()
        check_background_process()
    except Exception:  # whatever it is: Slicer would go on running and no one would hear of it
        traceback.print_exc()
        return 1
    print("LDMSeg works in this Slicer")
    return 0


if __name__ == "__main__":
    slicer.util.exit(main())
