"""Group 2: from the click to the result, and every way in which a run can go wrong."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import slicer
from driver import lives, volume
from small_result import AFFINE, image


def running(panel) -> bool:
    return panel.widget.segmentPanel.running


def until_sampling(panel) -> None:
    panel.wait_until(lambda: "Member 30" in panel.text("runStage"))


def test_a_click_brings_the_result_into_review(panel, patient, result_folder):
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    assert running(panel) and panel.shown("cancelButton") and not panel.enabled("segmentButton")
    assert "running" in panel.tip("segmentButton")
    panel.finished()
    assert panel.widget.review.result is not None
    assert panel.shown("volumesTable") and not panel.ui.runFrame.visible
    assert "3 members" in panel.text("runOutcome") and "A warning of the run." in panel.text("runOutcome")
    assert played.asked[0][0] == "segment" and {"--t1n", "--t1c", "--t2w", "--t2f"} <= set(played.asked[0])


def test_settings_reach_the_command_line(panel, patient, result_folder):
    played = panel.run("good", result_folder)
    panel.open("moreSettings")
    for box, value in (("membersBox", 5), ("stepsBox", 3), ("seedBox", 11), ("batchBox", 2), ("thresholdBox", 0.4)):
        getattr(panel.ui, box)._qt.setValue(value)
    panel.pick("deviceSelector", "CPU")
    panel.pick("prepareSelector", "never")
    panel.click("segmentButton")
    panel.finished()
    asked = " ".join(played.asked[0])
    for part in ("--members 5", "--steps 3", "--seed 11", "--batch-size 2", "--threshold 0.4", "--device cpu", "--prepare never"):
        assert part in asked


def test_a_synthetic_image_is_passed_on_as_synthetic_and_a_patients_is_not(panel, patient, result_folder):
    played = panel.run("disk")
    panel.click("segmentButton")
    panel.finished()
    patient["t2w"].SetAttribute("LDMSeg.SyntheticImage", "yes")
    panel.click("segmentButton")
    panel.finished()
    assert ["--synthetic" in asked for asked in played.asked] == [False, True]


def test_the_log_says_what_the_run_said(panel, patient, result_folder):
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert "Reading the images" in panel.ui.logText.toPlainText()


def test_progress_names_member_and_time_left(panel, patient):
    panel.run("slow")
    panel.click("segmentButton")
    panel.wait_until(lambda: "Member" in panel.text("runStage"))
    assert " of 30" in panel.text("runStage") and "left" in panel.text("runStage")
    assert panel.ui.runProgress.value > 100
    panel.click("cancelButton")
    panel.finished()


def test_cancel_ends_the_process_within_two_seconds_even_a_stubborn_one(panel, patient):
    panel.run("stubborn")
    panel.click("segmentButton")
    until_sampling(panel)
    launcher, start = panel.launcher(), time.monotonic()
    panel.click("cancelButton")
    assert not panel.enabled("cancelButton") and "stopped" in panel.tip("cancelButton")
    panel.finished()
    assert time.monotonic() - start < 2.5
    assert not lives(launcher)
    assert "volumes are unchanged" in panel.text("runOutcome") and panel.enabled("segmentButton")


def test_cancel_offers_the_partial_ensemble(panel, patient, result_folder):
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    until_sampling(panel)
    panel.click("cancelButton")
    panel.finished()
    assert panel.widget.review.result is None
    assert "3 of 30 members" in panel.text("runOutcome")
    panel.click("partialButton")
    assert panel.widget.review.result is not None
    assert not panel.ui.partialButton.visible


def test_stop_and_keep_loads_what_is_finished_at_once(panel, patient, result_folder):
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    assert not panel.enabled("keepButton") and "nothing to keep" in panel.tip("keepButton")
    until_sampling(panel)
    panel.click("keepButton")
    panel.finished()
    assert panel.widget.review.result is not None


def test_out_of_memory_is_explained_and_retried_with_smaller_batches_by_one_click(panel, patient, result_folder):
    panel.run("memory")
    panel.click("segmentButton")
    panel.finished()
    assert "memory" in panel.text("runOutcome")
    played = panel.run("good", result_folder)
    panel.click("retryButton")
    panel.finished()
    asked = played.asked[0]
    assert asked[asked.index("--batch-size") + 1] == "2"
    assert panel.widget.review.result is not None and not panel.ui.retryButton.visible


def test_a_full_disk_is_told_in_the_words_of_the_command(panel, patient):
    panel.run("disk")
    panel.click("segmentButton")
    panel.finished()
    assert "no space left on device" in panel.text("runOutcome") and panel.shown("runOutcome")


def test_a_process_killed_from_outside_is_told(panel, patient):
    panel.run("slow")
    panel.click("segmentButton")
    until_sampling(panel)
    os.kill(panel.real_process(), signal.SIGKILL)
    panel.finished()
    assert "ended" in panel.text("runOutcome") and "unchanged" in panel.text("runOutcome")
    assert panel.enabled("segmentButton") and panel.shown("retryButton"), "memory may have run out"


def test_garbage_instead_of_json_is_told_and_kept_in_the_log(panel, patient):
    panel.run("garbage")
    panel.click("segmentButton")
    panel.finished()
    assert "reported no result" in panel.text("runOutcome")
    assert "not json" in panel.ui.logText.toPlainText()


def test_a_damaged_result_leaves_the_scene_as_it_was(panel, patient, result_folder):
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode")
    for part in ("damaged", "lost"):
        panel.run(part, result_folder)
        panel.click("segmentButton")
        panel.finished()
        assert panel.text("runOutcome") and panel.widget.review.result is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == before
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_program_that_cannot_be_started_is_told(panel, patient):
    played = panel.run("good")
    played.ldmseg = lambda *arguments: ["/nowhere/PythonSlicer", *arguments]
    panel.click("segmentButton")
    panel.finished()
    assert "could not be started" in panel.text("runOutcome")


def test_volumes_deleted_while_it_runs_do_not_lose_the_result(panel, patient, result_folder):
    panel.run("keeps", result_folder)
    panel.click("segmentButton")
    until_sampling(panel)
    for node in patient.values():
        slicer.mrmlScene.RemoveNode(node)
    panel.wait(0.3)
    panel.click("keepButton")
    panel.finished()
    assert panel.widget.review.result is not None
    assert "no longer in the scene" in panel.text("runOutcome")


def test_closing_the_scene_cancels_the_run_and_says_so(panel, patient):
    panel.run("slow")
    panel.click("segmentButton")
    until_sampling(panel)
    launcher, real = panel.launcher(), panel.real_process()
    slicer.mrmlScene.Clear(False)
    panel.finished()
    assert not lives(launcher) and not lives(real)
    assert "scene was closed" in panel.text("runOutcome")
    assert panel.chosen("t1cSelector") is None and not panel.enabled("segmentButton")


def test_after_a_closed_scene_the_panel_works_as_before(panel, patient, result_folder):
    panel.run("slow")
    panel.click("segmentButton")
    slicer.mrmlScene.Clear(False)
    panel.finished()
    for k, name in enumerate(("t1n", "t1c", "t2w", "t2f")):
        volume(f"again {name}", image() * (1 + 0.1 * k), AFFINE)
    panel.wait_until(lambda: panel.enabled("segmentButton"))
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result is not None


def test_a_second_run_leaves_the_first_result_alone(panel, reviewed, result_folder):
    first = reviewed.segmentation
    first.SetName("corrected by me")
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result.segmentation is not first
    assert first.GetScene() is slicer.mrmlScene and first.GetName() == "corrected by me"
    panel.choose("resultSelector", first)
    assert panel.widget.review.result.segmentation is first


def test_a_damaged_bundle_switches_the_button_off_and_says_what_is_wrong(panel, patient, tmp_path, monkeypatch):
    broken = tmp_path / "schön kaputt"
    (broken / "configs").mkdir(parents=True)
    (broken / "configs" / "metadata.json").write_text("{ not json", encoding="utf-8")
    monkeypatch.setenv("LDMSEG_BUNDLES", str(broken))
    panel.widget.modelsChanged()
    panel.pick("bundleSelector", "damaged")
    assert not panel.enabled("segmentButton")
    assert "not readable JSON" in panel.tip("segmentButton")
    panel.pick("bundleSelector", "small")
    assert panel.enabled("segmentButton")


def test_no_room_for_temporary_files_is_told(panel, patient, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    panel.widget.logic.folders._parent = blocked / "below"
    panel.run("good")
    panel.click("segmentButton")
    assert "temporary files" in panel.text("runOutcome")
    assert panel.enabled("segmentButton")


def test_a_missing_package_opens_setting_up(panel, patient):
    panel.run("no torch")
    panel.click("segmentButton")
    panel.wait_until(lambda: panel.ui.setupGroup.visible)
    assert "torch" in panel.text("runOutcome")
    panel.wait_until(lambda: not panel.widget.setupPanel._run.running, 120)


def test_a_patients_images_do_not_stay_on_the_disk(panel, patient, result_folder):
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    left = list(Path(slicer.app.temporaryPath).glob("LDMSeg-*/inputs/*"))
    assert left == []


def test_closing_the_panel_ends_the_run(panel, patient, host):
    panel.run("stubborn")
    panel.click("segmentButton")
    until_sampling(panel)
    real = panel.real_process()
    host.app.moduleManager().unload("LDMSeg")
    panel.wait(2.5)  # as Slicer waits: no thread of ours is given a turn
    assert not lives(real)
    assert list(Path(slicer.app.temporaryPath).glob("LDMSeg-*")) == []


def test_a_run_comes_to_its_result_by_the_ticks_of_its_timer_alone(panel, patient, result_folder):
    """One long wait with Python's lock held: the threads that listen to the process advance only while a tick lets them."""
    panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.wait(6.0)
    assert panel.widget.review.result is not None, panel.text("runStage")


def test_cancel_ends_a_stubborn_process_by_the_ticks_of_its_timer_alone(panel, patient):
    panel.run("stubborn")
    panel.click("segmentButton")
    until_sampling(panel)
    real = panel.real_process()
    panel.click("cancelButton")
    panel.wait(2.0)
    assert not lives(real) and panel.enabled("segmentButton"), panel.text("runStage")
