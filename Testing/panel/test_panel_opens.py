"""The panel by itself: that it opens, says what it is, and never leaves a switched-off button without a reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "LDMSeg" / "LDMSeg.py"


def test_the_research_use_notice_is_seen_first(panel):
    assert panel.shown("researchNotice")
    assert "Not a medical device" in panel.text("researchNotice")


def test_every_button_that_is_off_says_why(panel):
    off = [button for button in panel.buttons() if not button.isEnabled()]
    assert "segmentButton" in [button.objectName() for button in off]
    assert [button.objectName() for button in off if not button.toolTip()] == []


def test_every_button_has_a_tooltip(panel):
    assert [button.objectName() for button in panel.buttons() if not button.toolTip()] == []


def test_an_empty_scene_is_told_in_the_buttons_tooltip(panel):
    assert not panel.enabled("segmentButton")
    assert "load the patient's MRI" in panel.tip("segmentButton")


def test_groups_come_in_the_order_of_the_work(panel):
    tops = [getattr(panel.ui, name)._qt.y() for name in ("inputsGroup", "segmentGroup", "reviewGroup", "syntheticGroup", "modelsGroup")]
    assert tops == sorted(tops)
    assert panel.ui.syntheticGroup.collapsed and panel.ui.modelsGroup.collapsed


def test_setting_up_is_not_shown_where_nothing_is_missing(panel):
    assert not panel.ui.setupGroup.visible


def test_the_module_can_be_unloaded_and_opened_again(panel, host, module):
    from driver import Panel
    from host.proxies import HostError

    first = panel.widget
    host.app.moduleManager().unload("LDMSeg")
    again = Panel(module, host)
    try:
        assert again.widget is not first
        assert again.text("estimateLabel")
    finally:
        again.close()
    with pytest.raises((HostError, ValueError)):
        host.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", first._onModuleAboutToBeUnloaded)


def test_a_setting_is_in_the_parameter_node_at_once(panel):
    import slicer

    panel.open("moreSettings")
    panel.ui.membersBox._qt.setValue(7)
    node = slicer.mrmlScene.GetSingletonNode("LDMSeg", "vtkMRMLScriptedModuleNode")
    assert node.GetParameter("members") == "7"


def test_loading_the_module_imports_no_torch_and_no_nibabel(tmp_path):
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from host import install; install.install(); install.load_module()\n"
        "print([m for m in ('torch', 'monai', 'nibabel') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(MODULE.parents[1])], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip().endswith("[]")


def test_slicers_own_test_of_the_module_passes(panel, module):
    module.LDMSegTest().runTest()


def test_the_module_tells_slicer_who_it_is(host, module):
    from host.application import Strict

    parent = Strict("module", path=str(MODULE))
    told = module.LDMSeg(parent).parent
    assert told.title == "LDMSeg" and told.categories == ["Segmentation"]
    assert "not a medical device" in told.helpText
