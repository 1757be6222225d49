"""What nobody does on purpose: each ends in a sentence, and volumes and edits are as before."""

from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
import slicer
from driver import volume
from small_result import AFFINE, image, oblique

from LDMSegLib.models.bundle import find_bundle


def until_sampling(panel) -> None:
    panel.wait_until(lambda: "Member 30" in panel.text("runStage"))


def labels(result) -> np.ndarray:
    from LDMSegModule.scene.SegmentLabels import SegmentLabels

    return SegmentLabels(result.segmentation, result.original, result.labels).read()


def erase(result, segment: str) -> None:
    """As a stroke of the eraser over all of a segment does."""
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(result.segmentation.GetBinaryLabelmapInternalRepresentation(segment))
    image.GetPointData().GetScalars().Fill(0)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, result.segmentation, segment)


def use_every_control(panel) -> None:
    """Move and press all there is in review."""
    for slider, value in (("probabilitySlider", 0.3), ("opacitySlider", 0.2), ("hideSlider", 0.4)):
        getattr(panel.ui, slider)._qt.box.setValue(value)
        panel.wait(0.1)
    for combo in ("mapRegionSelector", "mapSelector"):
        box = getattr(panel.ui, combo)._qt
        for index in range(box.count()):
            box.setCurrentIndex(index)
    for button in ("nextButton", "previousButton", "editButton", "discardButton"):
        getattr(panel.ui, button)._qt.click()
    for name in ("surfaces", "regions", "label_map", "surfaces"):
        panel.widget.more.actions[name]._qt.trigger()
    panel.widget.enter()
    panel.wait(0.5)


# While it runs


def test_a_second_run_after_edits_leaves_every_edited_voxel_and_its_volumes(panel, reviewed):
    erase(reviewed, "NCR")
    panel.widget.enter()
    edited, table = labels(reviewed), panel.widget.review.result.table.GetTable()
    before = [table.GetValue(row, column).ToString() for row in range(3) for column in range(table.GetNumberOfColumns())]
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result.segmentation is not reviewed.segmentation
    assert np.array_equal(labels(reviewed), edited)
    assert [table.GetValue(row, column).ToString() for row in range(3) for column in range(table.GetNumberOfColumns())] == before
    panel.choose("resultSelector", reviewed.segmentation)
    panel.slide("probabilitySlider", 0.3)
    assert "edited by hand" in panel.text("reviewMessage") and np.array_equal(labels(reviewed), edited)


def test_a_volume_moved_while_it_runs_keeps_its_place_and_the_result_says_where_it_lies(panel, patient, result_folder):
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    until_sampling(panel)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(oblique((1, 1, 1), (5, 5, 5), (30, 0, 0))))
    patient["t1c"].SetAndObserveTransformNodeID(transform.GetID())
    panel.click("keepButton")
    panel.finished()
    result = panel.widget.review.result
    assert result is not None and "moved" in panel.text("runOutcome")
    assert patient["t1c"].GetParentTransformNode() is transform and result.segmentation.GetParentTransformNode() is None


def test_the_parameter_node_deleted_while_it_runs_is_made_anew(panel, patient, result_folder):
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    until_sampling(panel)
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetSingletonNode("LDMSeg", "vtkMRMLScriptedModuleNode"))
    panel.wait(0.4)
    panel.click("keepButton")
    panel.finished()
    assert panel.widget.review.result is not None, panel.text("runOutcome")
    assert slicer.mrmlScene.GetSingletonNode("LDMSeg", "vtkMRMLScriptedModuleNode") is not None


def test_a_scene_imported_while_it_runs_does_not_disturb_the_run(panel, patient, result_folder, tmp_path):
    saved = tmp_path / "another scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(saved))
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    until_sampling(panel)
    slicer.mrmlScene.ReadFromMRB(str(saved), False)  # adds to what is there
    panel.wait(0.4)
    assert panel.widget.segmentPanel.running
    panel.click("keepButton")
    panel.finished()
    assert panel.widget.review.result is not None, panel.text("runOutcome")


def test_the_slider_let_go_of_as_the_scene_closes(panel, reviewed):
    panel.ui.probabilitySlider._qt.box.setValue(0.7)
    slicer.mrmlScene.Clear(False)
    panel.wait(0.6)
    assert panel.widget.review.result is None and not panel.ui.reviewContent.visible


# Files and folders


def test_temporary_files_in_a_folder_with_spaces_umlauts_and_quotes(panel, patient, result_folder, tmp_path):
    panel.widget.logic.folders._parent = tmp_path / "Bénédicte's Ordner ü 脑"
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result is not None, panel.text("runOutcome")


def test_a_disk_that_fills_up_while_the_volumes_are_written_is_told(panel, patient, monkeypatch):
    real_open = open

    def no_room(file, mode="r", *rest, **options):
        if "w" in mode and ".nii" in str(file):
            raise OSError(28, os.strerror(28), str(file))
        return real_open(file, mode, *rest, **options)

    monkeypatch.setattr("builtins.open", no_room)
    played = panel.run("good")
    panel.click("segmentButton")
    assert not panel.widget.segmentPanel.running and played.asked == []
    assert "no space left" in panel.text("runOutcome").lower() and panel.enabled("segmentButton")


def test_masks_into_a_place_where_nothing_can_be_written_is_told_by_the_command(panel, tmp_path):
    from LDMSegModule.process.PythonCommand import PythonCommand

    blocked = tmp_path / "no folder"
    blocked.write_text("a file")
    panel.widget.logic.python = PythonCommand.of(sys.executable, os.environ)
    panel.open("syntheticGroup")
    panel.ui.masksFolder.currentPath = str(blocked / "masks")
    panel.click("drawButton")
    panel.finished(120)
    assert str(blocked) in panel.text("drawOutcome") and panel.enabled("drawButton")
    assert blocked.read_text() == "a file"


def test_a_model_whose_weights_were_changed_fails_its_verification_in_a_sentence(panel, tmp_path, monkeypatch):
    from LDMSegModule.process.PythonCommand import PythonCommand

    bad = tmp_path / "verändert"
    shutil.copytree(find_bundle().folder, bad)
    weights = max((file for file in bad.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    with open(weights, "r+b") as file:
        file.seek(-100, os.SEEK_END)
        was = file.read(1)
        file.seek(-100, os.SEEK_END)
        file.write(bytes([was[0] ^ 0xFF]))
    monkeypatch.setenv("LDMSEG_BUNDLES", str(bad))
    panel.widget.logic.python = PythonCommand.of(sys.executable, os.environ)
    panel.widget.modelsChanged()
    panel.open("modelsGroup")
    row = next(r for r in range(panel.ui.modelsTable.rowCount) if panel.cell("modelsTable", r, 2) == "LDMSEG_BUNDLES")
    panel.click_cell("modelsTable", row, 0)
    panel.click("verifyButton")
    panel.wait_until(lambda: panel.enabled("verifyButton"), 120)
    said = panel.text("modelsMessage")
    assert "SHA-256" in said and "copy or download" in said and "\n" not in said and "is whole" not in said


# Under review


def test_a_map_that_lost_its_display_does_not_hurt(panel, reviewed):
    for node in (*reviewed.probabilities.values(), *reviewed.variances.values(), reviewed.segmentation):
        slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
    use_every_control(panel)
    assert panel.widget.review.result is not None


def test_segments_that_were_removed_and_renamed_do_not_hurt(panel, reviewed):
    segmentation = reviewed.segmentation.GetSegmentation()
    segmentation.GetSegment("ET").SetName("mine")
    segmentation.RemoveSegment("NCR")
    use_every_control(panel)
    assert segmentation.GetSegment("ET").GetName() == "mine" and segmentation.GetSegment("NCR") is None


def test_a_segmentation_that_was_emptied_does_not_hurt(panel, reviewed):
    reviewed.segmentation.GetSegmentation().RemoveAllSegments()
    use_every_control(panel)
    assert reviewed.segmentation.GetSegmentation().GetNumberOfSegments() == 0


def test_a_table_that_was_emptied_does_not_hurt(panel, reviewed):
    reviewed.table.RemoveAllColumns()
    use_every_control(panel)


def test_a_map_that_was_cropped_or_emptied_is_told_and_changes_nothing(panel, reviewed):
    panel.slide("probabilitySlider", 0.4)
    before = labels(reviewed)
    slicer.util.updateVolumeFromArray(reviewed.probabilities["WT"], np.zeros((5, 6, 7), np.float32))
    use_every_control(panel)
    assert np.array_equal(labels(reviewed), before) and reviewed.threshold == 0.4 and panel.ui.probabilitySlider.value == 0.4
    panel.ui.probabilitySlider._qt.box.setValue(0.6)
    panel.wait(0.3)
    assert np.array_equal(labels(reviewed), before) and panel.ui.probabilitySlider.value == 0.4
    assert "grid" in panel.text("reviewMessage") and "run the segmentation again" in panel.text("reviewMessage")


def test_the_results_folder_deleted_in_the_subject_hierarchy_empties_review(panel, reviewed):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hierarchy.RemoveItem(reviewed.folder.item, True, True)
    panel.wait(0.4)
    assert panel.widget.review.result is None and not panel.ui.reviewContent.visible


def test_a_result_moved_to_another_folder_stays_one(panel, reviewed):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(reviewed.segmentation), hierarchy.GetSceneItemID())
    use_every_control(panel)
    assert panel.widget.review.result is not None


# Inputs and settings


@pytest.mark.parametrize(("name", "value"), [("members", "many"), ("prepare", "SOMETIMES"), ("mapOpacity", "")])
def test_settings_of_another_version_fall_back_to_the_defaults_and_the_volumes_stay(panel, host, module, name, value):
    from driver import Panel
    from host import install

    host.app.moduleManager().unload("LDMSeg")
    install.new_scene(host.app.temporaryPath)
    chosen = {
        sequence: volume(f"patient {sequence}", image() * (1 + 0.1 * k), AFFINE) for k, sequence in enumerate(("t1n", "t1c", "t2w", "t2f"))
    }
    node = slicer.mrmlScene.AddNode(module.ScriptedLoadableModuleLogic.createParameterNode(module.LDMSegLogic()))
    for sequence, chosen_node in chosen.items():
        node.SetNodeReferenceID(sequence, chosen_node.GetID())
    node.SetParameter("seed", "42")
    node.SetParameter(name, value)
    again = Panel(module, host)
    try:
        assert "defaults" in again.text("generalNotice") and again.ui.seedBox.value == 0
        assert again.chosen("t1cSelector") == "patient t1c" and again.enabled("segmentButton")
    finally:
        again.close()


def test_a_selector_that_the_user_emptied_stays_empty_when_something_else_is_loaded(panel, patient):
    panel.choose("t2fSelector", None)
    volume("CT of the chest", image(), AFFINE)
    panel.wait(0.4)
    panel.widget.enter()
    assert panel.chosen("t2fSelector") is None
    again = volume("another FLAIR", image() * 1.7, AFFINE)
    panel.wait(0.4)
    assert panel.chosen("t2fSelector") == again.GetName()


def test_guess_again_also_fills_what_was_emptied(panel, patient):
    panel.choose("t2fSelector", None)
    panel.click("guessButton")
    assert panel.chosen("t2fSelector") == patient["t2f"].GetName()


@pytest.mark.parametrize("values", ["nan", "constant", "huge"])
def test_voxels_that_are_no_image_are_told(panel, patient, values):
    array = {"nan": np.full_like(image(), np.nan), "constant": image() * 0 + 7, "huge": image() * np.float32(1e37)}[values]
    slicer.util.updateVolumeFromArray(patient["t1c"], np.ascontiguousarray(array.T))
    panel.widget.enter()
    if values != "huge":  # as large as it is, it is an image
        assert not panel.enabled("segmentButton") and "T1 post contrast" in panel.tip("segmentButton")


def test_a_transform_without_an_inverse_is_told(panel, patient):
    flat = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    flat.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, 1.0, 0.0, 1.0])))
    patient["t1c"].SetAndObserveTransformNodeID(flat.GetID())
    panel.widget.enter()
    assert not panel.enabled("segmentButton")
