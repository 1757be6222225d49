"""Plays the Slicer application for `Testing/mrml/in_application.py`, on the host: starts, loads the module, runs the script.

    python played_application.py [FAULT]        (with the repository, Testing/unit and Testing/panel on PYTHONPATH)

A FAULT is put into Slicer or the module before: what the script says of it is what CI would say. Like Slicer, it prints what a
panel's `setup` raises and goes on. Ends as the script does.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import slicer
from host import install
from host.application import Strict

SCRIPT = Path(__file__).resolve().parents[1] / "mrml" / "in_application.py"

FAULTS = {
    "panel": lambda module: setattr(module, "ModelsPanel", _raise),
    "late in the panel": lambda module: setattr(module, "SceneWatch", _raise),
    "sample data": lambda module: setattr(module.PatientSample, "register", _raise),
    "terminology": lambda module: setattr(module.Terminology, "register", lambda *arguments: False),
    "packages": lambda module: setattr(module.Installation, "has", lambda *arguments: False),
}


def _raise(*arguments: object, **named: object) -> None:
    raise TypeError("a fault that was put in")


def play(fault: str) -> int:
    host = install.install()
    module = install.load_module()
    if fault:
        FAULTS[fault](module)
    module.LDMSeg(Strict("module", path=module.__file__))
    host.app._startup.completed()
    opened = []

    def representation() -> object:
        original, made = module.LDMSegWidget.__init__, []
        module.LDMSegWidget.__init__ = lambda self, parent=None: (made.append(self), original(self, parent))[1]
        try:
            opened.append(install.open_panel(module, host))
        except Exception:  # as qSlicerScriptedLoadableModuleWidget does
            traceback.print_exc()
        module.LDMSegWidget.__init__ = original
        slicer.modules.LDMSegWidget = made[0]
        return made[0].parent

    slicer.modules.ldmseg = Strict("ldmseg", widgetRepresentation=representation)
    spec = importlib.util.spec_from_file_location("in_application", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.main()


if __name__ == "__main__":
    sys.exit(play(*sys.argv[1:2] or [""]))
