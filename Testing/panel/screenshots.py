"""Pictures of the panel for the documentation, of the synthetic patient and a result of it.

    python Testing/panel/screenshots.py PATIENT RESULT PREPARED Documentation/screenshots

PATIENT is what `ldmseg demo-patient` wrote, RESULT what `ldmseg segment PATIENT --synthetic` made of it, PREPARED the same with
`--prepare always`. `python Testing/screenshots.py` makes all of that. The panel is the real one on the tests' host, so buttons and
frames are drawn in another style than Slicer's.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]


def main(patient: Path, result: Path, prepared: Path, target: Path) -> None:
    from host import install

    host = install.install()
    module = install.load_module()
    import slicer  # the host has to be there first
    from driver import Panel
    from host import failures

    panel = Panel(module, host)
    for name in ("t1n", "t1c", "t2w", "t2f"):
        slicer.util.loadVolume(str(next(patient.glob(f"*{name}.nii*"))), {"name": f"synthetic_patient_{name}"})
    panel.wait_until(lambda: panel.enabled("segmentButton"))
    panel.widget.syntheticPanel._w.folder.currentPath = str(Path("/home/you") / "LDMSeg masks")
    groups = ("inputsGroup", "segmentGroup", "reviewGroup", "syntheticGroup", "modelsGroup")

    def picture(name: str, *opened: str) -> None:
        for group in groups:
            getattr(panel.ui, group).collapsed = group not in opened
        panel.picture(target / f"panel_{name}.png")

    picture("ready", "inputsGroup", "segmentGroup")
    panel.choose("t2wSelector", panel.ui.t2fSelector.currentNode())
    picture("problem", "inputsGroup", "segmentGroup")
    panel.click("guessButton")
    mask = _brain_of(panel.ui.t1cSelector.currentNode(), slicer)
    panel.choose("brainMaskSelector", mask)
    picture("brain_mask", "inputsGroup", "segmentGroup")
    panel.choose("brainMaskSelector", None)
    panel.ui.prepareGroup.collapsed = True
    panel.run("halfway", result)
    panel.click("segmentButton")
    panel.wait_until(lambda: "Member 12" in panel.text("runStage"))
    picture("running", "inputsGroup", "segmentGroup")
    panel.click("cancelButton")
    panel.finished()
    panel.run("memory", result)
    panel.click("segmentButton")
    panel.finished()
    picture("out_of_memory", "segmentGroup")
    panel.run("good", result)
    panel.click("retryButton")
    panel.finished()
    panel.ui.reviewGroup.collapsed = False
    panel.click("nextButton")
    panel.click_cell("regionsTable", 0, 0)
    picture("review", "reviewGroup")
    panel.run("good", prepared)
    panel.ui.segmentGroup.collapsed = False
    panel.click("segmentButton")
    panel.finished()
    panel.ui.reviewGroup.collapsed = False
    panel.open("preparationBox")
    picture("preparation", "reviewGroup")
    picture("synthetic", "syntheticGroup")
    picture("models", "modelsGroup")
    panel.close()
    print("\n".join(failures.take()) or f"pictures in {target}")


def _brain_of(volume, slicer) -> object:
    """A mask of the brain, as somebody might have drawn it: a label map in the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{volume.GetName()} brain")
    node.CopyOrientation(volume)
    slicer.util.updateVolumeFromArray(node, (slicer.util.arrayFromVolume(volume) > 0).astype("uint8"))
    return node


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:5]))
