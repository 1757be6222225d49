"""Which volume became which sequence, what was left out, and why: said before the run and with the result."""

from __future__ import annotations

import slicer
from driver import volume
from small_result import AFFINE, image, write_small_result

from LDMSegLib.models.bundle import find_bundle


def segmented(panel, folder):
    panel.run("good", folder)
    panel.click("segmentButton")
    panel.finished()
    assert panel.widget.review.result is not None, panel.text("runOutcome")


def test_a_result_names_its_volumes_and_those_left_out_even_when_others_are_chosen_since(panel, patient, result_folder):
    other = volume("second T1 post", image() * 1.7, AFFINE)
    panel.wait(0.4)
    segmented(panel, result_folder)
    panel.choose("t1cSelector", other)
    panel.open("sequencesBox")
    said = panel.text("sequencesText").splitlines()
    assert said[:5] == [
        "t1c: 'Müller T1 post contrast'", "t1n: 'Müller T1 native'", "t2f: 'Müller FLAIR'", "t2w: 'Müller T2'",
        "Not used: 'second T1 post'.",
    ]  # fmt: skip
    panel.click("segmentButton")
    panel.finished()
    assert "probability" not in panel.text("sequencesText"), "maps of a result are no left-out images"


def test_the_warnings_of_a_run_stay_with_its_result_and_unfold_the_box(panel, patient, result_folder):
    segmented(panel, result_folder)
    assert not panel.ui.sequencesBox.collapsed and "warnings (1)" in panel.ui.sequencesBox.title
    assert "Warning: a warning; with = signs: and %" in panel.text("sequencesText")


def test_names_follow_the_volumes_and_a_deleted_one_is_said_to_be(panel, patient, result_folder):
    segmented(panel, result_folder)
    patient["t2w"].SetName("renamed")
    slicer.mrmlScene.RemoveNode(patient["t2f"])
    result = panel.widget.review.result
    panel.widget.review.show(result)
    said = panel.text("sequencesText")
    assert "t2w: 'renamed'" in said and "FLAIR" not in said


IDENTIFIED = {
    "used": [{"sequence": "t1c", "name": "4: AX T1 POST", "certainty": "certain", "reason": "contrast agent in the header"}],
    "unused": [{"name": "1: LOCALIZER", "reason": "three orientations"}, {"name": "Schmidt.nii.gz", "reason": "a mask"}, {"odd": 3}, 17],
}


def test_what_a_record_tells_of_series_is_shown_in_its_words(panel, tmp_path):
    folder = write_small_result(tmp_path / "result", find_bundle().specification, identification=IDENTIFIED)
    result = panel.widget.logic.loadResult(folder)
    panel.widget.review.show(result)
    said = panel.text("sequencesText").splitlines()
    assert said[:3] == [
        "t1c: 4: AX T1 POST — contrast agent in the header", "not used: 1: LOCALIZER — three orientations", "not used: … — a mask",
    ]  # fmt: skip
    assert "17" not in said[3] and said[3].startswith("Warning")


def test_where_the_scene_has_the_volumes_the_names_of_temporary_files_are_not_told(panel, patient, tmp_path):
    segmented(panel, write_small_result(tmp_path / "result", find_bundle().specification, identification=IDENTIFIED))
    said = panel.text("sequencesText")
    assert "t1c: 'Müller T1 post contrast'" in said and "AX T1 POST" not in said and "not used: 1: LOCALIZER" in said


def test_a_partial_result_says_on_which_members_and_views_it_rests(panel, tmp_path):
    views = [
        {"mirrored": [], "shift": [0, 0, 0], "bias_corrected": True, "members": 2},
        {"mirrored": [0], "shift": [1, 0, 0], "bias_corrected": False, "members": 1},
        {"mirrored": [1, 2], "shift": [0, 1, 0], "bias_corrected": True, "members": 1},
    ]
    sampling = {
        "threshold": 0.5, "members_requested": 30, "members_finished": 4, "views": 3, "views_requested": 8, "members_by_view": views,
    }  # fmt: skip
    specification = find_bundle().specification
    panel.widget.review.show(panel.widget.logic.loadResult(write_small_result(tmp_path / "a", specification, sampling=sampling)))
    assert panel.text("sequencesText").splitlines()[:5] == [
        "Members: 4 of 30 were finished.",
        "Views of the images: 3 of 8.",
        "not mirrored, bias field corrected: 2 of the finished members",
        "mirrored left-right: 1 of the finished members",
        "mirrored front-back and up-down, bias field corrected: 1 of the finished members",
    ]
    sampling["members_by_view"] = ["odd", {"mirrored": "?"}]  # of another version
    panel.widget.review.show(panel.widget.logic.loadResult(write_small_result(tmp_path / "b", specification, sampling=sampling)))
    assert "not mirrored: ? of the finished members" in panel.text("sequencesText")


def test_a_whole_result_says_nothing_of_members_and_views(panel, result_folder):
    panel.widget.review.show(panel.widget.logic.loadResult(result_folder))
    assert "Members:" not in panel.text("sequencesText")
