"""Setting up, the models, and synthetic masks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import slicer
from host.application import Strict

from LDMSegLib.models.bundle import EMBEDDED


class Installation:
    """Stands where LDMSegModule.install.Installation does: torch is missing until it is installed."""

    def __init__(self):
        from LDMSegModule.install.Installed import Installed
        from LDMSegModule.install.Requirement import TORCH

        self.state, self.installed, self.ready, self.why_not = Installed(missing=(TORCH,)), [], Installed(), ""

    def absent(self):
        return self.state.missing

    def obstacle(self, installed):
        return self.why_not if not installed.ready else ""

    def start_check(self, done):
        installation = self

        class Run:
            running = True

            def poll(self):
                Run.running = False
                done(installation.state)

            def end(self): ...

        return Run()

    def consent(self, installed, folder=None):
        return f"install torch from {folder or 'the internet'}?"

    def install(self, installed):
        self.installed.append("internet")
        self.state = self.ready

    def install_from_folder(self, installed, folder):
        self.installed.append(folder)
        self.state = self.ready


@pytest.fixture
def bare(panel):
    """The panel in a Slicer without torch."""
    installation = Installation()
    panel.widget.setupPanel._installation = installation
    panel.widget.setupPanel.look()
    return installation


def test_a_missing_package_shows_setting_up_and_switches_the_buttons_off(panel, bare, patient):
    assert panel.shown("setupGroup") and "torch is missing" in panel.text("setupText")
    assert "torch is missing" in panel.tip("segmentButton") and not panel.enabled("drawButton")


def test_nothing_is_installed_without_consent(panel, bare):
    panel.answer(False)
    panel.click("installButton")
    assert bare.installed == []


def test_after_consent_it_is_installed_tried_and_the_buttons_come_on(panel, bare, patient):
    panel.answer(True)
    panel.click("installButton")
    panel.wait_until(lambda: panel.enabled("segmentButton"))
    assert bare.installed == ["internet"]
    assert panel.host.app.dialogs.shown == ["install torch from the internet?"]


def test_what_cannot_be_installed_here_is_said_before_install_is_pressed(panel, bare, patient):
    bare.why_not = "PyTorch cannot be installed in this Slicer; use another."
    panel.widget.setupPanel.look()
    assert panel.shown("setupGroup") and panel.text("setupText") == bare.why_not
    for button in ("installButton", "installFolderButton"):
        assert not panel.enabled(button) and panel.tip(button) == bare.why_not
    assert panel.tip("segmentButton").startswith(bare.why_not) and not panel.enabled("segmentButton")


def test_a_result_made_elsewhere_comes_into_the_scene_by_the_console(panel, bare, result_folder):
    result = panel.widget.logic.loadResult(str(result_folder))
    assert result.exists and result.regions[0].title != result.regions[0].name, "with the titles and colours of the model"


def test_an_offline_computer_installs_from_a_folder(panel, bare, tmp_path):
    panel.answer(str(tmp_path), True)
    panel.click("installFolderButton")
    panel.wait_until(lambda: bare.state.ready)
    assert bare.installed == [tmp_path]


def test_the_installation_can_be_checked_at_any_time(panel, bare):
    bare.state = bare.ready
    panel.widget.setupPanel.look()
    assert not panel.ui.setupGroup.visible
    panel.open("modelsGroup")
    panel.click("installationButton")
    panel.wait_until(lambda: "installed and work" in panel.text("setupText"))
    assert panel.shown("setupGroup") and not panel.enabled("installButton") and panel.tip("installButton") == "Everything is installed."


def test_a_failed_installation_is_told(panel, bare):
    from LDMSegModule.install.Installation import InstallationError

    def fail(installed):
        raise InstallationError("The PyTorch extension is not installed.")

    bare.install = fail
    panel.answer(True)
    panel.click("installButton")
    assert panel.text("setupText") == "The PyTorch extension is not installed."


@pytest.fixture
def models(panel, tmp_path, monkeypatch):
    """A model of the user's own beside the embedded one."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    own = tmp_path / "ldmseg" / "bundles" / "mein-modell"
    shutil.copytree(EMBEDDED / "ldmseg-small", own)
    panel.widget.modelsChanged()
    panel.open("modelsGroup")
    return own


def row_of(panel, origin: str) -> int:
    return next(row for row in range(panel.ui.modelsTable.rowCount) if panel.cell("modelsTable", row, 2) == origin)


def test_models_are_listed_with_size_and_origin(panel, models):
    assert panel.cell("modelsTable", row_of(panel, "part of LDMSeg"), 1).endswith(" MB")
    assert row_of(panel, "yours") >= 0


def test_the_embedded_model_cannot_be_deleted_and_the_tooltip_says_why(panel, models):
    panel.click_cell("modelsTable", row_of(panel, "part of LDMSeg"), 0)
    assert not panel.enabled("deleteButton") and "stays" in panel.tip("deleteButton")


def test_ones_own_model_is_deleted_after_asking(panel, models):
    panel.click_cell("modelsTable", row_of(panel, "yours"), 0)
    panel.answer(False)
    panel.click("deleteButton")
    assert models.is_dir()
    panel.answer(True)
    panel.click("deleteButton")
    assert not models.exists() and panel.ui.modelsTable.rowCount == 1
    assert "was deleted" in panel.text("modelsMessage")


def test_nothing_is_run_with_a_model_that_was_deleted(panel, models, patient):
    chosen = next(i for i in range(panel.ui.bundleSelector._qt.count()) if panel.ui.bundleSelector._qt.itemData(i) == str(models))
    panel.ui.bundleSelector._qt.setCurrentIndex(chosen)
    panel.wait()
    panel.click_cell("modelsTable", row_of(panel, "yours"), 0)
    panel.answer(True)
    panel.click("deleteButton")
    panel.open("syntheticGroup")
    played = panel.run("disk")
    for button in ("segmentButton", "drawButton"):
        panel.click(button)
        panel.finished()
    assert [asked[asked.index("--bundle") + 1] for asked in played.asked] == [str(EMBEDDED / "ldmseg-small")] * 2


def test_a_model_is_verified_in_the_background(panel, models):
    played = panel.run("verified")
    panel.click("verifyButton")
    assert not panel.enabled("verifyButton") and "running" in panel.tip("verifyButton")
    panel.wait_until(lambda: "is whole" in panel.text("modelsMessage"))
    assert played.asked[0][:2] == ("models", "verify")


def test_masks_are_drawn_with_what_the_panel_asks_for(panel, patient, tmp_path):
    panel.open("syntheticGroup")
    played = panel.run("disk")
    panel.ui.masksBox._qt.setValue(3)
    panel.ui.minimumBox._qt.setValue(2.5)
    panel.ui.masksFolder.currentPath = str(tmp_path / "Masken ä")
    panel.choose("likeSelector", patient["t1c"])
    panel.click("drawButton")
    panel.finished()
    asked = " ".join(played.asked[0])
    assert "synthesize -n 3" in asked and "--min-volume 2.5" in asked and "--like" in asked and "Masken ä" in asked
    assert "--any-shape" not in asked
    assert "no space left" in panel.text("drawOutcome")


def test_masks_of_any_shape_are_drawn_when_asked_for(panel, tmp_path):
    panel.open("syntheticGroup")
    played = panel.run("disk")
    panel.ui.masksFolder.currentPath = str(tmp_path / "masks")
    panel.ui.anyShapeBox._qt.click()
    panel.click("drawButton")
    panel.finished()
    assert "--any-shape" in played.asked[0]


def test_drawing_is_cancelled_like_segmenting(panel):
    panel.open("syntheticGroup")
    panel.run("slow")
    panel.click("drawButton")
    assert "Masks are being drawn" in panel.tip("segmentButton")
    panel.wait_until(lambda: "Member" in panel.text("drawStage"))
    panel.click("drawCancelButton")
    panel.finished()
    assert "unchanged" in panel.text("drawOutcome") and panel.enabled("drawButton")


def test_without_a_folder_masks_cannot_be_drawn(panel):
    panel.ui.masksFolder.currentPath = ""
    assert not panel.enabled("drawButton") and "folder" in panel.tip("drawButton")
    panel.ui.masksFolder.currentPath = "/somewhere"
    assert panel.enabled("drawButton")


def test_an_emptied_folder_stays_empty_whatever_happens_to_the_scene(panel):
    panel.ui.masksFolder.currentPath = ""
    slicer.mrmlScene.Clear(False)
    panel.wait(0.4)
    assert panel.ui.masksFolder.currentPath == "" and not panel.enabled("drawButton")


def test_a_scene_says_nothing_of_where_things_lie_on_this_computer(panel, models, patient, tmp_path):
    """What is saved with the scene, paths of the user's among it, goes to whoever the scene is given to."""
    panel.open("syntheticGroup")
    panel.ui.masksFolder.currentPath = str(tmp_path / "Masken von Müller")
    same_name = tmp_path / "second" / "mein-modell"
    shutil.copytree(models, same_name)
    os.environ["LDMSEG_BUNDLES"] = str(same_name.parent)
    try:
        panel.widget.modelsChanged()
        box = panel.ui.bundleSelector._qt
        for k in range(box.count()):
            box.setCurrentIndex(k)
            panel.wait()
            assert panel.widget.settings.folder == box.itemData(k), "what is kept still tells the models apart"
            for node in (slicer.mrmlScene.GetNthNode(n) for n in range(slicer.mrmlScene.GetNumberOfNodes())):
                kept = [node.GetAttribute(name) or "" for name in node.GetAttributeNames()]
                if node.IsA("vtkMRMLScriptedModuleNode"):
                    kept += [node.GetParameter(name) for name in node.GetParameterNames()]
                assert not [text for text in kept if str(tmp_path) in text or "Masken" in text or str(Path.home()) + os.sep in text]
    finally:
        del os.environ["LDMSEG_BUNDLES"]


def test_a_folder_for_masks_is_suggested_that_is_not_there_yet(panel):
    suggested = Path(panel.ui.masksFolder.currentPath)
    assert suggested.is_absolute() and not suggested.exists()


@pytest.fixture
def started(panel, host, module, monkeypatch):
    """Slicer as it is when it has started, without anything registered before."""
    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)
    monkeypatch.setattr(host.app._startup, "slots", [])
    module.LDMSeg(Strict("module", path=module.__file__))
    host.app._startup.completed()


def test_the_synthetic_patient_is_offered_in_sample_data(started):
    (source,) = slicer.modules.sampleDataSources["LDMSeg"]
    assert len(source.uris) == len(source.fileNames) == len(source.nodeNames) == 4
    assert Path(source.thumbnailFileName).name == "LDMSeg.png" and callable(source.customDownloader)


def test_our_names_of_tissues_are_offered_by_slicers_terminology(started):
    import vtk

    known = vtk.vtkStringArray()
    slicer.modules.terminologies.logic().GetLoadedTerminologyNames(known)
    names = [known.GetValue(k) for k in range(known.GetNumberOfValues())]
    assert names.count("LDMSeg brain tumour") == 1, names


@pytest.mark.parametrize("agrees", [True, False])
def test_a_package_for_the_sample_is_installed_after_asking_only(host, module, monkeypatch, agrees):
    from LDMSegModule.install.Requirement import SAMPLE
    from LDMSegModule.panels.Dialogs import Dialogs

    asked, installed = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_: asked.append(text) or agrees)
    logic = module.LDMSegLogic()
    monkeypatch.setattr(logic.installation, "install_one", installed.append)
    assert logic.installation.obtain(SAMPLE, Dialogs().ask) is agrees
    assert "nilearn" in asked[0] and "MB" in asked[0]
    assert installed == ([SAMPLE] if agrees else [])
