"""The whole way with the real command line: a synthetic patient, guessed, segmented, reviewed, corrected, and new masks drawn."""

from __future__ import annotations

import pytest
import slicer

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("nilearn", reason="nilearn, of whose templates the synthetic patient is made, is not installed: pip install nilearn")

LONG = 900.0
"""Seconds that a busy machine may take for each step; an idle one needs ten to thirty."""


def test_from_the_synthetic_patient_to_new_masks_by_clicks_alone(panel, host, tmp_path):
    panel.click("sampleButton")
    panel.wait_until(lambda: panel.chosen("t2fSelector") is not None, LONG)
    assert {panel.chosen(f"{name}Selector") for name in ("t1n", "t1c", "t2w", "t2f")} == {
        f"synthetic_patient_{name}" for name in ("t1n", "t1c", "t2w", "t2f")
    }
    assert panel.enabled("segmentButton"), panel.tip("segmentButton")

    panel.open("moreSettings")
    panel.ui.membersBox._qt.setValue(2)
    panel.ui.stepsBox._qt.setValue(2)
    panel.click("segmentButton")
    panel.wait_until(lambda: "of 2" in panel.text("runStage"), LONG)
    panel.finished(LONG)
    result = panel.widget.review.result
    assert result is not None, panel.text("runOutcome")
    assert result.synthetic_input and "synthetic" in panel.text("resultNotice")
    assert result.provenance["sampling"]["members_finished"] == 2

    # the result lies on the T1c, voxel for voxel
    t1c = panel.ui.t1cSelector.currentNode()
    mine, its = (slicer.util.arrayFromVolume(node).shape for node in (result.probabilities["WT"], t1c))
    assert mine == its
    whole = float(panel.cell("volumesTable", 2, 1))
    panel.slide("probabilitySlider", 0.2)
    panel.wait_until(lambda: abs(result.threshold - 0.2) < 1e-9)
    assert float(panel.cell("volumesTable", 2, 1)) >= whole > 1.0
    if len(result.uncertain_regions):
        panel.click("nextButton")
    panel.click("editButton")
    assert host.editor.segmentation is result.segmentation and host.editor.source is t1c

    panel.open("syntheticGroup")
    panel.ui.masksBox._qt.setValue(1)
    panel.ui.masksFolder.currentPath = str(tmp_path / "neue Masken")
    panel.click("drawButton")
    panel.finished(LONG)
    assert "One synthetic mask is in the scene" in panel.text("drawOutcome"), panel.text("drawOutcome")
    assert list((tmp_path / "neue Masken").glob("*.nii.gz"))
