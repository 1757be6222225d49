"""Group 1: which volume is which, and what speaks against them."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import slicer
from driver import volume
from small_result import AFFINE, image


def test_the_four_volumes_are_guessed_when_they_are_loaded(panel, patient):
    chosen = {name: panel.chosen(f"{name}Selector") for name in patient}
    assert chosen == {name: node.GetName() for name, node in patient.items()}
    assert panel.enabled("segmentButton")


def test_it_is_said_which_volume_became_which_sequence_and_what_was_not_used(panel, patient):
    volume("Müller T2_star", image(), AFFINE)
    panel.wait_until(lambda: "T2_star" in panel.text("findingsLabel"))
    said = panel.text("findingsLabel").replace("&#x27;", "'")
    assert "t1c: 'Müller T1 post contrast' (" in said and "Not used: 'Müller T2_star' (" in said and "T2*" in said
    assert panel.enabled("segmentButton"), "a note stops nothing"


def test_each_volume_has_its_facts_under_it(panel, patient):
    assert panel.shown("t1cFacts")
    assert "40×36×30" in panel.text("t1cFacts")


def test_a_wrong_guess_can_be_corrected_and_is_not_guessed_back(panel, patient):
    other = volume("Müller T1 post contrast again", image(), AFFINE)
    panel.choose("t1cSelector", other)
    panel.wait(0.4)
    assert panel.chosen("t1cSelector") == other.GetName()
    assert panel.widget.parameters.t1c is other


def test_guess_again_brings_the_names_back(panel, patient):
    panel.choose("t2wSelector", patient["t2f"])
    assert "FLAIR" in panel.chosen("t2wSelector")
    panel.click("guessButton")
    assert panel.chosen("t2wSelector") == patient["t2w"].GetName()


def test_the_same_volume_twice_is_a_problem_in_panel_and_tooltip(panel, patient):
    panel.choose("t2wSelector", patient["t2f"])
    assert not panel.enabled("segmentButton")
    problem = next(f.text for f in panel.widget.inputs.findings if f.is_problem)
    assert problem in panel.tip("segmentButton")
    assert "FLAIR" in problem and panel.shown("findingsLabel")


def test_a_missing_sequence_that_the_model_needs_is_named(panel, patient):
    panel.choose("t1cSelector", None)
    assert not panel.enabled("segmentButton")
    assert "T1 post-contrast" in panel.tip("segmentButton")


def test_a_missing_sequence_that_the_model_can_do_without_is_a_warning(panel, patient):
    panel.choose("t2fSelector", None)
    assert panel.enabled("segmentButton")
    assert any("FLAIR" in f.text and not f.is_problem for f in panel.widget.inputs.findings)


def test_deleting_a_volume_empties_its_selector_and_nothing_else(panel, patient):
    slicer.mrmlScene.RemoveNode(patient["t1c"])
    panel.wait(0.4)
    assert panel.chosen("t1cSelector") is None
    assert panel.chosen("t1nSelector") == patient["t1n"].GetName()
    assert not panel.enabled("segmentButton")


def test_an_empty_volume_is_told_in_words(panel, patient):
    empty = volume("Müller T2 empty", np.zeros_like(image()), AFFINE)
    panel.choose("t2wSelector", empty)
    assert not panel.enabled("segmentButton")
    assert "T2 empty" in panel.tip("segmentButton") or "T2" in panel.tip("segmentButton")


def test_a_volume_without_voxels_does_not_hurt(panel, patient):
    hollow = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    panel.choose("t1nSelector", hollow)
    assert not panel.enabled("segmentButton")
    assert panel.text("t1nFacts") == "no voxels"


def test_grids_that_differ_are_said_to_be_registered_or_resampled_and_do_not_stop_the_run(panel, patient):
    moved = AFFINE.copy()
    moved[:3, 3] += 0.6
    other = volume("Müller FLAIR shifted", image() * 1.3, moved)
    panel.choose("t2fSelector", other)
    assert panel.enabled("segmentButton")
    assert "t2f will be registered to t1c" in panel.text("findingsLabel")
    panel.pick("prepareSelector", "never")
    assert panel.enabled("segmentButton")
    assert "resampled" in panel.text("findingsLabel") and "registered to" not in panel.text("findingsLabel")


def test_a_volume_under_a_transform_is_called_transformed(panel, patient):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    patient["t1c"].SetAndObserveTransformNodeID(transform.GetID())
    panel.widget.enter()
    assert "transformed" in panel.text("t1cFacts")


def test_a_setting_that_is_not_about_the_volumes_does_not_look_at_them_again(panel, patient, monkeypatch):
    from LDMSegModule.checks.Preflight import Preflight

    looked, check = [], Preflight.check
    monkeypatch.setattr(Preflight, "check", lambda self, nodes: looked.append(1) or check(self, nodes))
    panel.widget.parameters.mapOpacity = 0.2
    panel.widget.parameters.seed = 5
    assert looked == []
    panel.choose("t2wSelector", patient["t2f"])
    assert looked == [1]
    panel.pick("prepareSelector", "never")
    assert looked == [1, 1]


def test_which_volume_became_which_sequence_is_still_said_after_a_setting_was_changed(panel, patient):
    panel.wait_until(lambda: "Taken for" in panel.text("findingsLabel"))
    panel.widget.parameters.seed = 7
    panel.pick("prepareSelector", "always")
    assert "Taken for" in panel.text("findingsLabel")


RULES = "müller t2\tt2f\nflair\tnone\n"


@pytest.fixture
def rules(tmp_path):
    from PySide6 import QtCore

    file = tmp_path / "our wörds.tsv"
    file.write_text(RULES, encoding="utf-8")
    yield file
    QtCore.QSettings().remove("LDMSeg/SiteRules")


def test_the_site_s_rules_come_before_all_others_and_are_told_to_the_run(panel, patient, rules, result_folder):
    panel.ui.siteRulesPath.currentPath = str(rules)
    panel.wait_until(lambda: panel.chosen("t2fSelector") == patient["t2w"].GetName())
    assert "the site's rule" in panel.text("findingsLabel").replace("&#x27;", "'")
    panel.choose("t2wSelector", patient["t2f"])
    played = panel.run("good", result_folder)
    panel.click("segmentButton")
    panel.finished()
    arguments = played.asked[-1]
    assert arguments[arguments.index("--site-rules") + 1] == str(rules)


def test_a_volume_that_the_site_never_uses_is_taken_out_and_comes_back_without_the_rule(panel, patient, rules):
    panel.ui.siteRulesPath.currentPath = str(rules)
    assert patient["t2f"].GetName() not in [panel.chosen(f"{name}Selector") for name in patient]
    assert "Not used: 'Müller FLAIR' (the site's rule" in panel.text("findingsLabel").replace("&#x27;", "'")
    panel.ui.siteRulesPath.currentPath = ""
    assert {name: panel.chosen(f"{name}Selector") for name in patient} == {name: node.GetName() for name, node in patient.items()}


def test_site_rules_that_cannot_be_read_are_one_sentence_and_stop_the_run(panel, patient, rules):
    rules.write_text("stealth t1c\n", encoding="utf-8")
    panel.ui.siteRulesPath.currentPath = str(rules)
    assert panel.shown("siteRulesMessage") and "ine 1 of the site rules" in panel.text("siteRulesMessage")
    assert not panel.enabled("segmentButton") and "ine 1 of the site rules" in panel.tip("segmentButton")
    panel.ui.siteRulesPath.currentPath = ""
    assert not panel.shown("siteRulesMessage") and panel.enabled("segmentButton")


def test_rules_that_contradict_each_other_leave_the_volume_to_the_user(panel, patient, rules):
    rules.write_text("müller t2\tt2f\nmüller t2\tt2w\n", encoding="utf-8")
    panel.choose("t2wSelector", None)
    panel.ui.siteRulesPath.currentPath = str(rules)
    panel.click("guessButton")
    said = panel.text("findingsLabel").replace("&quot;", '"')
    assert "two rules" in said and "expected one answer" in said


class FreshPathEdit:
    """The path edit of the next session."""

    currentPath = ""  # noqa: N815 -- CTK calls it so

    def connect(self, signal, slot) -> None: ...


def test_the_site_rules_are_kept_for_the_next_session_but_not_in_the_scene(panel, patient, rules, tmp_path):
    from LDMSegModule.panels.Notice import Notice
    from LDMSegModule.panels.SiteRulesPanel import SiteRulesPanel, SiteRulesWidgets

    panel.ui.siteRulesPath.currentPath = str(rules)
    edit = FreshPathEdit()
    again = SiteRulesPanel(SiteRulesWidgets(edit), Notice(panel.ui.siteRulesMessage), lambda: None, lambda slot: slot)
    again.use(panel.widget.settings.specification)
    assert edit.currentPath == str(rules) and again.file == rules and len(again.rules.rules) == 2
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        (scene,) = (archive.read(name) for name in archive.namelist() if name.endswith(".mrml"))
    assert "our wörds".encode() not in scene
