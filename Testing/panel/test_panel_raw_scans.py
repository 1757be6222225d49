"""Raw scans in the panel: what is asked of the command line, and what is shown of their preparation."""

from __future__ import annotations

import pytest
import slicer
from small_result import MATRICES, write_prepared_result


@pytest.fixture
def raw(panel, patient, tmp_path):
    """The panel with a result of raw scans in review; what was run."""
    played = panel.run("good", write_prepared_result(tmp_path / "vorbereitet ü", panel.widget.settings.specification))
    panel.click("segmentButton")
    panel.finished()
    return played


@pytest.fixture
def opened(panel, monkeypatch):
    """What was opened in the system's own viewer."""
    shown: list = []
    monkeypatch.setattr(panel.widget.dialogs, "show", shown.append)
    return shown


@pytest.mark.parametrize(
    ("choice", "asked"), [("what needs it", []), ("always", ["--prepare", "always"]), ("never", ["--prepare", "never"])]
)
def test_the_choice_reaches_the_command_line(panel, patient, result_folder, choice, asked):
    played = panel.run("good", result_folder)
    panel.pick("prepareSelector", choice)
    panel.click("segmentButton")
    panel.finished()
    given = played.asked[0]
    assert list(given[given.index("--prepare") :][:2] if "--prepare" in given else []) == asked


def test_the_steps_are_said_and_their_picture_is_shown(panel, raw):
    assert panel.shown("preparationBox")
    panel.open("preparationBox")
    assert "1.42 litres" in panel.text("preparationText") and "t1n onto t1c" in panel.text("preparationText")
    assert panel.shown("preparationPicture") and panel.ui.preparationPicture.pixmap.width() >= 400


def test_a_click_opens_the_picture_in_full(panel, raw, opened):
    panel.open("preparationBox")
    panel.click("preparationButton")
    assert [file.name for file in opened] == ["preparation.png"] and opened[0].is_file()


def test_a_picture_that_is_gone_is_told_and_the_words_stay(panel, raw, opened):
    panel.open("preparationBox")
    panel.widget.logic.folders.clear()
    panel.click("preparationButton")
    assert opened == [] and not panel.enabled("preparationButton")
    assert "run the segmentation again" in panel.tip("preparationButton") and "1.42 litres" in panel.text("preparationText")


def test_the_transforms_lie_in_the_results_folder_of_the_scene(panel, raw):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    result = panel.widget.review.result
    assert set(result.transforms) == set(MATRICES)
    for node in result.transforms.values():
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == result.folder.item


def test_prepared_images_show_nothing_of_it(panel, reviewed):
    assert not panel.ui.preparationBox.visible


def test_each_result_shows_its_own_report_and_preparation(panel, raw, opened, result_folder):
    first = panel.widget.review.result
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert not panel.ui.preparationBox.visible
    panel.choose("resultSelector", first.segmentation)
    assert panel.shown("preparationBox")
    panel.open("preparationBox")
    panel.click("preparationButton")
    assert opened and opened[0].is_file()


def test_the_files_of_a_run_are_saved_into_a_new_folder_and_nothing_is_overwritten(panel, raw, tmp_path):
    target = tmp_path / "Ablage für Müller"
    target.mkdir()
    for _ in range(2):
        panel.answer(str(target))
        panel.widget.more.actions["save"]._qt.trigger()
        assert "Saved in" in panel.text("reviewMessage")
    first, second = sorted(target.iterdir())
    assert first != second
    for folder in (first, second):
        assert {"labels.nii.gz", "probability_WT.nii.gz", "preparation.png", "provenance.json"} <= {file.name for file in folder.iterdir()}


def test_files_that_are_gone_or_cannot_be_saved_are_told(panel, raw, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    panel.answer(str(blocked))
    panel.widget.more.actions["save"]._qt.trigger()
    assert "cannot be saved" in panel.text("reviewMessage") and "choose another" in panel.text("reviewMessage")
    panel.widget.logic.folders.clear()
    panel.widget.more.actions["save"]._qt.trigger()
    assert "gone" in panel.text("reviewMessage")
