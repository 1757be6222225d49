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


def test_volumes_that_are_chosen_for_nothing_are_named_before_the_run(panel, patient):
    assert not panel.shown("unusedLabel")
    volume("Müller localizer", image(), AFFINE)
    panel.wait_until(lambda: panel.shown("unusedLabel"))
    assert panel.text("unusedLabel") == "Not used: 'Müller localizer'."
    panel.choose("t2wSelector", None)
    assert "'Müller T2'" in panel.text("unusedLabel") and "localizer" in panel.text("unusedLabel")


def test_a_result_names_its_volumes_and_those_left_out_even_when_others_are_chosen_since(panel, patient, result_folder):
    other = volume("second T1 post", image(), AFFINE)
    panel.wait(0.4)
    segmented(panel, result_folder)
    panel.choose("t1cSelector", other)
    panel.open("sequencesBox")
    said = panel.text("sequencesText").splitlines()
    assert said[:5] == [
        "t1c: 'Müller T1 post contrast'", "t1n: 'Müller T1 native'", "t2f: 'Müller FLAIR'", "t2w: 'Müller T2'",
        "Not used: 'second T1 post'.",
    ]  # fmt: skip
    assert not panel.shown("unusedLabel") or "probability" not in panel.text("unusedLabel"), "maps of a result are no left-out images"


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


def test_what_a_record_tells_of_series_is_shown_in_its_words(panel, patient, tmp_path):
    told = [
        {"sequence": "t1c", "description": "AX T1 POST", "reason": ["contrast agent in the header", "after t1n"], "path": "/x/Schmidt/1"},
        {"sequence": None, "description": "LOCALIZER", "reason": "three orientations"},
        "series 7 was left out: a scout",
        {"irrelevant": 3},
        17,
    ]
    folder = write_small_result(tmp_path / "result", find_bundle().specification, series=told)
    segmented(panel, folder)
    said = panel.text("sequencesText").splitlines()
    for line in (
        "t1c: AX T1 POST — contrast agent in the header; after t1n", "not used: LOCALIZER — three orientations",
        "series 7 was left out: a scout",
    ):  # fmt: skip
        assert line in said, said
    assert "Schmidt" not in "\n".join(said) and "17" not in said
