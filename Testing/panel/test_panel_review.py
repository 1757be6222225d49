"""Group 3: look, question, correct; and that all of it survives a saved scene."""

from __future__ import annotations

import numpy as np
import slicer
from driver import Panel
from host import install
from PySide6 import QtCore, QtTest
from small_result import AFFINE


def composites() -> list:
    kind = "vtkMRMLSliceCompositeNode"
    return [slicer.mrmlScene.GetNthNodeByClass(k, kind) for k in range(slicer.mrmlScene.GetNumberOfNodesByClass(kind))]


def overlaid() -> set[str | None]:
    found = {composite.GetForegroundVolumeID() for composite in composites()}
    return {slicer.mrmlScene.GetNodeByID(id).GetName() if id else None for id in found}


def slices_at() -> list[tuple[int, ...]]:
    kind, scene = "vtkMRMLSliceNode", slicer.mrmlScene
    nodes = [scene.GetNthNodeByClass(k, kind) for k in range(scene.GetNumberOfNodesByClass(kind))]
    return [tuple(round(node.GetSliceToRAS().GetElement(row, 3)) for row in range(3)) for node in nodes]


def erase(result, segment: str) -> None:
    """As a stroke of the eraser over all of a segment does."""
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(result.segmentation.GetBinaryLabelmapInternalRepresentation(segment))
    image.GetPointData().GetScalars().Fill(0)
    image.Modified()
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, result.segmentation, segment)


def test_a_result_that_arrives_is_the_one_under_review_and_is_not_read_from_the_scene_again(panel, patient, result_folder, monkeypatch):
    arrived, load = [], panel.widget.logic.loadResult
    monkeypatch.setattr(panel.widget.logic, "loadResult", lambda *given: arrived.append(load(*given)) or arrived[-1])
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result is arrived[0]
    assert panel.chosen("resultSelector") == arrived[0].segmentation.GetName()


def test_the_volumes_are_listed_with_their_spread(panel, reviewed):
    assert [panel.cell("volumesTable", row, 0) for row in range(3)] == [f"{r.title} ({r.name})" for r in reviewed.regions]
    for row in range(3):
        assert float(panel.cell("volumesTable", row, 1)) > 0
        assert "–" in panel.cell("volumesTable", row, 2)


def test_moving_the_threshold_moves_segmentation_and_volumes_at_once(panel, reviewed):
    before = [float(panel.cell("volumesTable", row, 1)) for row in range(3)]
    panel.slide("probabilitySlider", 0.2)
    after = [float(panel.cell("volumesTable", row, 1)) for row in range(3)]
    assert after[2] > before[2]
    assert reviewed.threshold == 0.2


def test_probability_lies_over_the_images_and_can_be_changed_for_variance_or_none(panel, reviewed):
    assert overlaid() == {reviewed.probabilities["WT"].GetName()}
    panel.pick("mapSelector", "variance")
    assert overlaid() == {reviewed.variances["WT"].GetName()}
    panel.pick("mapRegionSelector", "ET")
    assert overlaid() == {reviewed.variances["ET"].GetName()}
    panel.pick("mapSelector", "none")
    assert overlaid() == {None}
    assert not panel.enabled("opacitySlider") and "No overlay" in panel.tip("opacitySlider")


def test_the_sliders_set_opacity_and_what_is_hidden(panel, reviewed):
    panel.slide("opacitySlider", 0.35)
    assert all(abs(composite.GetForegroundOpacity() - 0.35) < 1e-6 for composite in composites())
    panel.slide("hideSlider", 0.5)
    assert abs(reviewed.probabilities["WT"].GetDisplayNode().GetLowerThreshold() - 0.5) < 1e-6


def test_a_click_on_a_place_moves_every_slice_view_there(panel, reviewed):
    panel.click_cell("regionsTable", 2, 1)
    place = tuple(round(x) for x in reviewed.uncertain_regions.position(2))
    for at in slices_at():
        assert any(abs(a - b) <= 1 for a, b in zip(at, place, strict=True))
    assert panel.widget.review.regions.current == 2


def test_next_and_previous_go_round_by_button_and_by_key(panel, reviewed):
    count = len(reviewed.uncertain_regions)
    panel.click("nextButton")
    assert panel.widget.review.regions.current == 0
    panel.click("previousButton")
    assert panel.widget.review.regions.current == count - 1
    panel.area.activateWindow()
    modifiers = QtCore.Qt.KeyboardModifier.ControlModifier | QtCore.Qt.KeyboardModifier.ShiftModifier
    QtTest.QTest.keyClick(panel.area, QtCore.Qt.Key.Key_N, modifiers)
    panel.wait(0.05)
    assert panel.widget.review.regions.current == 0


def test_going_to_a_place_shows_the_map_of_its_boundary(panel, reviewed):
    panel.click("nextButton")
    region = reviewed.uncertain_regions.rows[0].region
    assert overlaid() == {reviewed.probabilities[region].GetName()}


def test_a_tick_marks_a_place_as_reviewed(panel, reviewed):
    panel.click_cell("regionsTable", 1, 0)
    assert reviewed.uncertain_regions.is_reviewed(1)
    assert panel.text("reviewedLabel").startswith("1 of ")


def test_the_segment_editor_opens_with_segmentation_and_t1c(panel, reviewed, patient, host):
    panel.click("editButton")
    assert host.visited == ["SegmentEditor"]
    assert host.editor.segmentation is reviewed.segmentation and host.editor.source is patient["t1c"]


def test_edited_voxels_are_counted_when_the_user_comes_back(panel, reviewed):
    panel.widget.enter()
    assert panel.text("reviewMessage") == ""
    erase(reviewed, "NCR")
    panel.widget.enter()
    assert "Edited: " in panel.text("reviewMessage") and "NCR −" in panel.text("reviewMessage")


def test_the_volumes_are_those_of_the_edited_segmentation_when_the_user_comes_back(panel, reviewed):
    before = {panel.cell("volumesTable", row, 0)[-3:-1]: float(panel.cell("volumesTable", row, 1)) for row in range(3)}
    erase(reviewed, "NCR")
    panel.widget.enter()
    after = {panel.cell("volumesTable", row, 0)[-3:-1]: float(panel.cell("volumesTable", row, 1)) for row in range(3)}
    assert after["ET"] == before["ET"] and after["TC"] == after["ET"] < before["TC"] and after["WT"] < before["WT"]
    voxel_ml = abs(np.linalg.det(AFFINE[:3, :3])) / 1000
    whole = sum(
        np.count_nonzero(slicer.util.arrayFromSegmentInternalBinaryLabelmap(reviewed.segmentation, name) == value)
        for name, value in (("ED", 2), ("ET", 3))
    )
    assert abs(after["WT"] - whole * voxel_ml) < 0.06
    panel.click("discardButton")
    assert {panel.cell("volumesTable", row, 0)[-3:-1]: float(panel.cell("volumesTable", row, 1)) for row in range(3)} == before


def test_edits_are_never_lost_by_moving_the_threshold(panel, reviewed):
    erase(reviewed, "NCR")
    panel.slide("probabilitySlider", 0.3)
    assert "edited by hand" in panel.text("reviewMessage")
    assert panel.ui.probabilitySlider.value == 0.5 and reviewed.threshold == 0.5
    panel.click("discardButton")
    assert "edited" not in panel.text("reviewMessage") and not panel.ui.discardButton.visible
    panel.slide("probabilitySlider", 0.3)
    assert reviewed.threshold == 0.3


def test_surfaces_regions_and_label_map_come_on_demand(panel, reviewed):
    for name in ("surfaces", "regions", "label_map"):
        panel.widget.more.actions[name]._qt.trigger()
        assert panel.text("reviewMessage")
    scene = slicer.mrmlScene
    assert reviewed.segmentation.GetDisplayNode().GetVisibility3D()
    regions = scene.GetFirstNodeByName(f"{reviewed.name} regions").GetSegmentation()
    assert {regions.GetNthSegmentID(k) for k in range(regions.GetNumberOfSegments())} == {"ET", "TC", "WT"}
    labels = slicer.util.arrayFromVolume(scene.GetFirstNodeByName(f"{reviewed.name} labels"))
    assert set(labels.ravel()) == {0, 1, 2, 3}


def test_the_report_of_the_run_can_be_opened_or_its_absence_is_told(panel, reviewed):
    panel.widget.logic.folders.clear()
    panel.widget.more.actions["report"]._qt.trigger()
    assert "run the segmentation again" in panel.text("reviewMessage")


def test_a_result_deleted_under_review_leaves_an_empty_review(panel, reviewed):
    slicer.mrmlScene.RemoveNode(reviewed.probabilities["TC"])
    panel.wait(0.4)
    assert not panel.ui.reviewContent.visible
    assert panel.widget.review.result is None


def test_every_control_survives_a_result_that_vanishes_between_two_clicks(panel, reviewed):
    for node in reviewed.nodes:
        slicer.mrmlScene.RemoveNode(node)
    panel.ui.probabilitySlider._qt.box.setValue(0.7)
    panel.ui.editButton._qt.click()
    panel.ui.nextButton._qt.click()
    panel.ui.discardButton._qt.click()
    for name in ("surfaces", "regions", "label_map"):
        panel.widget.more.actions[name]._qt.trigger()
    panel.wait(0.4)
    assert panel.widget.review.result is None


def test_a_partial_result_is_called_partial(panel, patient, tmp_path):
    from small_result import write_small_result

    spec = panel.widget.settings.specification
    sampling = {"seed": 7, "mode": "solver", "members_requested": 30, "members_finished": 3, "threshold": spec.threshold}
    folder = write_small_result(tmp_path / "partial", spec, sampling=sampling, partial=True, synthetic_input=True)
    panel.run("good", folder)
    panel.click("segmentButton")
    panel.finished()
    assert panel.shown("resultNotice")
    assert "synthetic" in panel.text("resultNotice")


def test_everything_is_back_after_saving_and_loading_the_scene(panel, reviewed, module, host, tmp_path):
    panel.click_cell("regionsTable", 0, 0)
    panel.open("moreSettings")
    panel.ui.seedBox._qt.setValue(42)
    panel.pick("mapSelector", "variance")
    panel.slide("probabilitySlider", 0.4)
    chosen, volumes = panel.chosen("t1cSelector"), panel.cell("volumesTable", 2, 1)
    saved = tmp_path / "Szene mit Umlaut ä.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(saved))
    host.app.moduleManager().unload("LDMSeg")
    install.new_scene(host.app.temporaryPath)
    again = Panel(module, host)
    try:
        slicer.mrmlScene.ReadFromMRB(str(saved))
        again.wait_until(lambda: again.widget.review.result is not None)
        assert again.chosen("t1cSelector") == chosen
        assert again.ui.seedBox.value == 42 and again.ui.mapSelector.currentText == "variance"
        assert again.cell("volumesTable", 2, 1) == volumes and abs(again.ui.probabilitySlider.value - 0.4) < 1e-6
        assert again.widget.review.result.uncertain_regions.is_reviewed(0)
        assert again.text("reviewedLabel").startswith("1 of ")
        assert "variance" in overlaid().pop()
    finally:
        again.close()
