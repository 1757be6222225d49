"""Run by the Slicer application itself (`Slicer --python-script`): the module loads whole, says so to the rest of Slicer, and works.

Without LDMSeg's packages in Slicer: the panel's own state, Sample Data, terminology, and the background process behind Slicer's
launcher. With them also a whole run on the synthetic patient by the panel's buttons, and one that is stopped and kept.
LDMSEG_EXPECT_PACKAGES=1 makes it a failure that they are missing. Ends Slicer with 0, or with 1 after saying what failed.
"""

from __future__ import annotations

import os
import sys
import time
import traceback

import slicer
import slicer.util

PANEL_SECONDS = 10.0
"""Generous, for a virtual machine; the speed that a user sees is measured elsewhere."""

RUN_SECONDS = 1200.0
SEQUENCES = ("t1n", "t1c", "t2w", "t2f")


def check_module():
    """Returns the panel, whose parts must all be there: Slicer shows a panel whose `setup` failed like any other."""
    assert hasattr(slicer.modules, "ldmseg"), "Slicer did not load the module LDMSeg"
    start = time.monotonic()
    representation = slicer.modules.ldmseg.widgetRepresentation()
    seconds = time.monotonic() - start
    assert representation is not None, "the module has no panel"
    assert seconds < PANEL_SECONDS, f"the panel took {seconds:.1f} s to open"
    assert "torch" not in sys.modules, "opening the panel imported torch"
    widget = getattr(slicer.modules, "LDMSegWidget", None)
    assert widget is not None, "the panel's Python side was not made, see the error above"
    assert widget.readiness is not None, "setting the panel up failed half-way, see the error above"
    assert widget.parameters is not None, "the panel follows no parameters: its setup did not come to its end"
    widget.enter()
    ui = widget.ui
    assert "Not a medical device" in ui.researchNotice.text, "the notice is missing"
    assert widget.modelsPanel.models and widget.settings.specification is not None, "the panel found no model that works"
    assert not ui.segmentButton.enabled and ui.segmentButton.toolTip, "without images the button must be off and say why"
    assert ui.generalNotice.text == "", f"the panel complains: {ui.generalNotice.text}"
    print(f"the panel opened in {seconds:.2f} s")
    return widget


def check_sample_data():
    sources = getattr(slicer.modules, "sampleDataSources", {}).get("LDMSeg", [])
    assert len(sources) == 1, f"Sample Data offers {len(sources)} patients of LDMSeg, expected one"
    source = sources[0]
    assert len(source.uris) == len(source.fileNames) == len(source.nodeNames) == len(SEQUENCES), str(source)
    assert callable(source.customDownloader)
    print("the synthetic patient is in Sample Data")


def check_terminology():
    import vtk

    known = vtk.vtkStringArray()
    slicer.modules.terminologies.logic().GetLoadedTerminologyNames(known)
    names = [known.GetValue(k) for k in range(known.GetNumberOfValues())]
    assert "LDMSeg brain tumour" in names, f"Slicer knows {names}"
    print("the terminology is registered")


def check_background_process():
    from LDMSegModule.process.BackgroundRun import BackgroundRun
    from LDMSegModule.process.PythonCommand import PythonCommand

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


def missing_packages(widget):
    from LDMSegModule.install.Requirement import SAMPLE

    installation = widget.logic.installation
    return [requirement.package for requirement in (*installation.absent(), *[SAMPLE] * (not installation.has(SAMPLE)))]


def check_whole_run(widget):
    """The synthetic patient, loaded, guessed and segmented by the panel's own buttons; then a long run, stopped and kept."""
    ui, parameters = widget.ui, widget.parameters
    ui.sampleButton.click()
    wait(lambda: ui.t2fSelector.currentNode() is not None, 300.0, lambda: ui.generalNotice.text)
    for name in SEQUENCES:
        node = getattr(ui, f"{name}Selector").currentNode()
        assert node is not None and node.GetName() == f"synthetic_patient_{name}", f"{name} was guessed to be {node and node.GetName()}"
    parameters.members = 1
    first = segment(widget)
    assert first.provenance["sampling"]["members_finished"] == 1 and first.synthetic_input and not first.partial
    millilitres = {row: float(ui.volumesTable.item(row, 1).text()) for row in range(ui.volumesTable.rowCount)}
    assert millilitres and max(millilitres.values()) > 1.0, f"no tumour was found in a patient that has one: {millilitres}"
    t1c = ui.t1cSelector.currentNode()
    for node in first.probabilities.values():
        assert slicer.util.arrayFromVolume(node).shape == slicer.util.arrayFromVolume(t1c).shape, "the result is on another grid"
    print(f"one member, whole: {ui.runOutcome.text}")

    parameters.members, parameters.batchSize = 200, 1
    second = segment(widget, stop_after_the_first=True)
    assert second.partial and second.segmentation is not first.segmentation, "what was stopped is no partial result"
    assert 1 <= second.provenance["sampling"]["members_finished"] < 200
    print(f"stopped and kept: {ui.runOutcome.text}")


def segment(widget, stop_after_the_first=False):
    """By the button; the result that is then under review."""
    ui, before = widget.ui, widget.review.result
    assert ui.segmentButton.enabled, ui.segmentButton.toolTip
    ui.segmentButton.click()
    assert widget.segmentPanel.running, ui.runOutcome.text
    if stop_after_the_first:
        wait(lambda: ui.keepButton.enabled or not widget.segmentPanel.running, RUN_SECONDS, lambda: ui.runStage.text)
        ui.keepButton.click()
    wait(lambda: not widget.segmentPanel.running, RUN_SECONDS, lambda: ui.runStage.text)
    result = widget.review.result
    assert result is not None and result is not before, f"{ui.runOutcome.text}\n{ui.logText.plainText}"
    return result


def wait(true, seconds, said):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"nothing came of it in {seconds:g} s; the panel says: {said()!r}"
        slicer.app.processEvents()
        time.sleep(0.02)


def main():
    try:
        widget = check_module()
        check_sample_data()
        check_terminology()
        check_background_process()
        missing = missing_packages(widget)
        if not missing:
            check_whole_run(widget)
        elif os.environ.get("LDMSEG_EXPECT_PACKAGES"):
            raise AssertionError(f"packages are missing: {missing}")
        else:
            print(f"no run: without {', '.join(missing)}")
    except Exception:  # whatever it is: Slicer would go on running and no one would hear of it
        traceback.print_exc()
        return 1
    print("LDMSeg works in this Slicer")
    return 0


if __name__ == "__main__":
    slicer.util.exit(main())
