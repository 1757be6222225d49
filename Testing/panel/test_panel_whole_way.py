"""The whole way by clicks, with the real command line as a real background process, on real cases and on the synthetic patient."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import slicer

pytest.importorskip("torch", reason="torch is not installed")

SEQUENCES = ("t1n", "t1c", "t2w", "t2f")
REAL = Path(os.environ.get("LDMSEG_REAL_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
PREPARED = REAL / "cases" / "BraTS2021_01660"
RAW = REAL / "native" / "TCGA-FG-6692_native_with_skull"
ABSENT = "no real case at {} (../shared/data beside the repository, or $LDMSEG_REAL_DATA)"

LONG = 900.0
"""Seconds that a busy machine may take for each step; an idle one needs ten to forty."""


def load(folder: Path) -> None:
    """As a user drags the files into Slicer."""
    for file in sorted(folder.glob("*.nii.gz")):
        if not file.name.endswith("_seg.nii.gz"):
            slicer.util.loadVolume(str(file), {"name": file.name.removesuffix(".nii.gz")})


def segment(panel, members: int = 2):
    """Few members, by clicks; returns the result under review."""
    panel.open("moreSettings")
    panel.ui.membersBox._qt.setValue(members)
    assert panel.enabled("segmentButton"), panel.tip("segmentButton")
    panel.click("segmentButton")
    panel.wait_until(lambda: f"of {members}" in panel.text("runStage") or not panel.widget.segmentPanel.running, LONG)
    panel.finished(LONG)
    result = panel.widget.review.result
    assert result is not None, panel.text("runOutcome")
    assert result.provenance["sampling"]["members_finished"] == members
    return result


def review(panel, host, result) -> None:
    """Volumes, threshold, doubted places, the way to the editor, an eraser's stroke, and the edits counted."""
    t1c = panel.ui.t1cSelector.currentNode()
    mine, its = (slicer.util.arrayFromVolume(node).shape for node in (result.probabilities["WT"], t1c))
    assert mine == its  # on the T1c, voxel for voxel
    whole = float(panel.cell("volumesTable", 2, 1))
    panel.slide("probabilitySlider", 0.2)
    panel.wait_until(lambda: abs(result.threshold - 0.2) < 1e-9)
    assert float(panel.cell("volumesTable", 2, 1)) >= whole > 1.0
    panel.slide("probabilitySlider", 0.5)
    if len(result.uncertain_regions):
        panel.click("nextButton")
    panel.click("editButton")
    assert host.editor.segmentation is result.segmentation and host.editor.source is t1c
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(result.segmentation.GetBinaryLabelmapInternalRepresentation("ED"))
    image.GetPointData().GetScalars().Fill(0)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(image, result.segmentation, "ED")
    panel.widget.enter()
    assert "Edited: " in panel.text("reviewMessage") and "ED −" in panel.text("reviewMessage")


def voxels() -> dict[str, np.ndarray]:
    return {name: slicer.util.arrayFromVolume(slicer.util.getNode(f"*{name}")).copy() for name in SEQUENCES}


@pytest.mark.skipif(not PREPARED.is_dir(), reason=ABSENT.format(PREPARED))
def test_a_real_case_from_its_files_to_counted_edits(panel, host):
    load(PREPARED)
    panel.wait_until(lambda: panel.chosen("t2fSelector") is not None, LONG)
    assert {name: panel.chosen(f"{name}Selector") for name in SEQUENCES} == {n: f"{PREPARED.name}_{n}" for n in SEQUENCES}
    before = voxels()
    result = segment(panel)
    assert not result.synthetic_input and result.preparation == ()
    assert float(panel.cell("volumesTable", 2, 1)) > 5.0
    review(panel, host, result)
    assert all(np.array_equal(before[name], now) for name, now in voxels().items())


@pytest.mark.skipif(not RAW.is_dir(), reason=ABSENT.format(RAW))
def test_a_real_raw_exam_is_prepared_and_comes_back_on_its_own_grid(panel, host):
    pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")
    pytest.importorskip("deepbet", reason="deepbet is not installed: pip install deepbet==1.0.2")
    load(RAW)
    panel.wait_until(lambda: panel.chosen("t2fSelector") is not None, LONG)
    assert "skull" in panel.text("findingsLabel")
    result = segment(panel)
    assert {"t1n_to_t1c", "t2w_to_t1c", "t2f_to_t1c"} <= set(result.transforms)
    assert panel.shown("preparationBox") and "Brain" in panel.text("preparationText")
    panel.open("preparationBox")
    assert panel.ui.preparationPicture.pixmap.width() >= 400
    review(panel, host, result)


def test_from_the_synthetic_patient_to_new_masks_by_clicks_alone(panel, host, tmp_path):
    pytest.importorskip(
        "nilearn", reason="nilearn, of whose templates the synthetic patient is made, is not installed: pip install nilearn"
    )
    panel.click("sampleButton")
    panel.wait_until(lambda: panel.chosen("t2fSelector") is not None, LONG)
    assert {panel.chosen(f"{name}Selector") for name in SEQUENCES} == {f"synthetic_patient_{name}" for name in SEQUENCES}
    result = segment(panel)
    assert result.synthetic_input and "synthetic" in panel.text("resultNotice")
    review(panel, host, result)

    panel.open("syntheticGroup")
    panel.ui.masksBox._qt.setValue(1)
    panel.ui.masksFolder.currentPath = str(tmp_path / "neue Masken")
    panel.click("drawButton")
    panel.finished(LONG)
    assert "One synthetic mask is in the scene" in panel.text("drawOutcome"), panel.text("drawOutcome")
    assert list((tmp_path / "neue Masken").glob("*.nii.gz"))
