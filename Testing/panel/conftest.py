"""Fixtures: the panel on the strict host, open over a fresh scene; four small volumes; a small result as the program writes it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "mrml"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="session")
def host():
    pytest.importorskip("slicer", reason="slicer-core is not installed: pip install slicer-core")
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed: pip install PySide6-Essentials")
    from host import install

    return install.install()


@pytest.fixture(scope="session")
def module(host):
    """LDMSeg.py, imported from its file."""
    from host import install

    return install.load_module()


@pytest.fixture
def panel(host, module, no_logged_errors):
    """The panel over an empty scene. What any slot raised makes the test fail at its end."""
    from driver import Panel, no_failures
    from host import failures, install

    failures.take()
    host.visited.clear()
    host.app.dialogs.shown.clear()
    host.app.dialogs.answers.clear()
    install.new_scene(host.app.temporaryPath)
    opened = Panel(module, host)
    yield opened
    opened.close()
    no_failures()
    assert not host.app.dialogs.answers, "a dialog that was expected never came"


@pytest.fixture
def no_logged_errors():
    """Our own last net must stay empty: what it catches is a mistake of ours. A test that wants it clears `records`."""
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(self.format(record))

    handler, logger = Keep(logging.ERROR), logging.getLogger("LDMSeg")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)
    assert not records, "\n".join(records)


@pytest.fixture(scope="session")
def result_folder(tmp_path_factory) -> Path:
    """A small result as the program writes it. Not to be changed."""
    from small_result import write_small_result

    from LDMSegLib.models.bundle import find_bundle

    return write_small_result(tmp_path_factory.mktemp("résults é") / "result", find_bundle().specification)


@pytest.fixture
def patient(panel):
    """Four volumes on one grid, named as scanners name them, loaded and guessed."""
    from driver import volume
    from small_result import AFFINE, image

    names = {"t1n": "T1 native", "t1c": "T1 post contrast", "t2w": "T2", "t2f": "FLAIR"}
    nodes = {name: volume(f"Müller {title}", image() * (1 + 0.1 * k), AFFINE) for k, (name, title) in enumerate(names.items())}
    panel.wait_until(lambda: panel.chosen("t2fSelector") is not None)
    return nodes


@pytest.fixture
def reviewed(panel, patient, result_folder):
    """The panel with the small result in review."""
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    return panel.widget.review.result
