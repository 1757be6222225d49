"""Reviewing a result: threshold, overlay, doubted places, edits and their undo."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import slicer
from LDMSegModule.result.EditCount import EditCount
from LDMSegModule.result.LiveThreshold import LiveThreshold
from LDMSegModule.result.Overlay import Overlay
from LDMSegModule.result.Result import Result
from LDMSegModule.result.VolumesTable import VolumesTable
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from small_result import AFFINE, probabilities
from vtk.util.numpy_support import vtk_to_numpy

from LDMSegLib.postprocessing.regions import label_map


def labels_now(result) -> np.ndarray:
    """(X, Y, Z)."""
    return SegmentLabels(result.segmentation, result.original, result.labels).read().T


def editor(world, result, t1c):
    """The real Segment Editor logic on the result's segmentation."""
    logic = slicer.vtkSlicerSegmentEditorLogic()
    logic.SetMRMLScene(world.scene)
    node = world.scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    logic.SetSegmentEditorNode(node)
    logic.SetSegmentationNode(result.segmentation)
    logic.SetSourceVolumeNode(t1c)
    logic.SetMaximumNumberOfUndoStates(10)
    return logic


def paint(logic, segment: str, box: tuple[int, int, int, int, int, int], mode) -> None:
    """Add a box of voxels to a segment, or remove it, as an effect of the editor does."""
    logic.SetCurrentSegmentID(segment)
    logic.UpdateReferenceGeometryImage()
    logic.UpdateSelectedSegmentLabelmap()
    logic.UpdateMaskLabelmap()
    logic.ResetModifierLabelmapToDefault()
    modifier = logic.GetModifierLabelmap()
    first, last = modifier.GetExtent()[::2], modifier.GetExtent()[1::2]
    shape = tuple(b - a + 1 for a, b in zip(first, last, strict=True))
    voxels = vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(shape[::-1])
    voxels[...] = 0
    i0, i1, j0, j1, k0, k1 = box
    voxels[k0:k1, j0:j1, i0:i1] = 1
    modifier.GetPointData().GetScalars().Modified()
    logic.SaveStateForUndo()
    logic.ModifySegmentByLabelmap(logic.GetSegmentationNode(), segment, modifier, mode, False, False)


@pytest.mark.parametrize("value", [0.2, 0.5, 0.83, 0.005])
def test_the_segmentation_follows_the_threshold_as_the_program_would_have_made_it(result, specification, value):
    update = LiveThreshold(result).set(value)
    expected = label_map(probabilities(specification), specification.labels, specification.regions, value)
    assert update.applied and np.array_equal(labels_now(result), expected)
    voxel_ml = abs(np.linalg.det(AFFINE[:3, :3])) / 1000
    assert update.volumes_ml["WT"] == pytest.approx(np.count_nonzero(expected) * voxel_ml)
    assert VolumesTable(result.table).volumes_ml == pytest.approx(update.volumes_ml, abs=6e-4)
    assert result.threshold == pytest.approx(value)


def test_back_at_the_run_s_threshold_is_back_at_the_run_s_result(result, result_folder):
    live = LiveThreshold(result)
    live.set(0.9)
    live.set(result.provenance["sampling"]["threshold"])
    assert np.array_equal(labels_now(result), np.asarray(nib.load(result_folder / "labels.nii.gz").dataobj))
    assert EditCount(result).count().changed_voxels == 0


def test_the_threshold_lets_viewers_know(result):
    seen = []
    observer = result.segmentation.GetSegmentation().AddObserver(
        slicer.vtkSegmentation.SourceRepresentationModified, lambda *_: seen.append("segmentation")
    )
    LiveThreshold(result).set(0.3)
    result.segmentation.GetSegmentation().RemoveObserver(observer)
    assert seen


def test_edits_are_counted_by_segment(world, result, t1c):
    before = labels_now(result)
    paint(editor(world, result, t1c), "ET", (0, 3, 0, 4, 0, 5), slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd)
    edits = EditCount(result).count()
    assert (edits.added, edits.changed_voxels) == ({"NCR": 0, "ED": 0, "ET": 60}, 60)
    assert edits.changed_ml == pytest.approx(60 * abs(np.linalg.det(AFFINE[:3, :3])) / 1000)
    assert "ET +60" in edits.text and result.segmentation.GetAttribute(EditCount.ATTRIBUTE) == "60"
    assert np.array_equal(labels_now(result) != before, labels_now(result) * (before == 0) > 0)


def test_taking_voxels_from_one_label_for_another_is_counted_on_both_sides(world, result, t1c):
    before = labels_now(result)
    middle = tuple(int(v) for v in np.argwhere(before == 1).mean(axis=0).round())
    box = tuple(v for m in middle for v in (m, m + 2))
    taken = before[box[0] : box[1], box[2] : box[3], box[4] : box[5]]
    logic = editor(world, result, t1c)
    paint(logic, "ED", box, slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd)
    edits = EditCount(result).count()
    assert edits.changed_voxels == np.count_nonzero(taken != 2) > 0
    assert edits.added["ED"] == edits.changed_voxels and edits.removed["NCR"] == np.count_nonzero(taken == 1)


def test_undo_brings_the_computed_result_back(world, result, t1c):
    logic = editor(world, result, t1c)
    paint(logic, "ED", (0, 6, 0, 6, 0, 6), slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd)
    assert EditCount(result).count().changed_voxels > 0
    logic.Undo()
    assert EditCount(result).count().changed_voxels == 0
    assert EditCount(result).count().text == "Not edited."


def test_the_threshold_never_overwrites_edits_unasked(world, result, t1c):
    live = LiveThreshold(result)
    live.set(0.45)
    paint(editor(world, result, t1c), "ET", (0, 3, 0, 4, 0, 5), slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd)
    edited = labels_now(result)
    update = live.set(0.6)
    assert not update.applied and "60 voxels" in update.message
    assert result.threshold == pytest.approx(0.45) and np.array_equal(labels_now(result), edited)
    assert live.set(0.6, discard_edits=True).applied
    assert EditCount(result).count().changed_voxels == 0 and labels_now(result)[0, 0, 0] == 0


def test_edits_made_before_the_slider_was_first_touched_are_seen_too(world, result, t1c):
    paint(editor(world, result, t1c), "NCR", (0, 2, 0, 2, 0, 2), slicer.vtkSlicerSegmentEditorLogic.ModificationModeAdd)
    assert not LiveThreshold(result).set(0.6).applied


def test_added_and_removed_segments_survive_and_are_told(result):
    segmentation = result.segmentation.GetSegmentation()
    segmentation.AddEmptySegment("mine", "My own", [0, 0, 1])
    segmentation.RemoveSegment("ED")
    edits = EditCount(result).count()
    assert edits.new_segments == ("My own",) and edits.removed["ED"] > 0
    update = LiveThreshold(result).set(0.4, discard_edits=True)
    assert update.applied and list(segmentation.GetSegmentIDs()) == ["NCR", "ET", "mine"]
    assert set(np.unique(labels_now(result))) == {0, 1, 3}


def test_the_overlay_shows_one_map_with_its_legend_and_leaves_the_background(world, result, t1c):
    composites = [world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(3)]
    for composite in composites:
        composite.SetBackgroundVolumeID(t1c.GetID())
    overlay = Overlay(result)
    overlay.show("probability", "TC")
    overlay.opacity = 0.4
    for composite in composites:
        assert composite.GetForegroundVolumeID() == result.probabilities["TC"].GetID()
        assert composite.GetForegroundOpacity() == pytest.approx(0.4) and composite.GetBackgroundVolumeID() == t1c.GetID()
    legends = {n: slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(result.probabilities[n]).GetVisibility() for n in ("ET", "TC", "WT")}
    assert legends == {"ET": 0, "TC": 1, "WT": 0}
    overlay.threshold = 0.3
    assert result.probabilities["TC"].GetDisplayNode().GetLowerThreshold() == pytest.approx(0.3)
    overlay.show("variance")
    assert composites[0].GetForegroundVolumeID() == result.variances["TC"].GetID() and overlay.highest < 1
    overlay.show("none")
    assert not composites[0].GetForegroundVolumeID() and composites[0].GetBackgroundVolumeID() == t1c.GetID()


def test_taking_the_overlay_away_leaves_a_foreground_that_is_not_ours(world, result, t1c):
    composite = world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetForegroundVolumeID(t1c.GetID())
    overlay = Overlay(result)
    overlay.show("none")
    overlay.opacity = 0.1
    assert composite.GetForegroundVolumeID() == t1c.GetID() and composite.GetForegroundOpacity() == 0
    with pytest.raises(ValueError, match="expected one of"):
        overlay.show("entropy")


def test_a_click_takes_every_view_to_the_doubted_place(world, result):
    nodes = [world.scene.AddNewNodeByClass("vtkMRMLSliceNode") for _ in range(3)]
    row = result.uncertain_regions.rows[0]
    position = result.uncertain_regions.jump(0)
    assert np.allclose(position, row.position, atol=0.01)
    assert np.allclose(AFFINE @ [*row.voxel, 1], [*position, 1], atol=0.01)
    for node in nodes:
        matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        assert np.allclose(matrix[:3, 3], position, atol=1e-3)
    assert 0.2 <= slicer.util.arrayFromVolume(result.probabilities[row.region]).T[row.voxel] <= 0.8


def test_a_doubted_place_is_found_again_when_the_result_was_moved(world, result, t1c):
    matrix = np.eye(4)
    matrix[:3, 3] = (5, -6, 7)
    transform = world.transform(matrix)
    for node in (t1c, *result.probabilities.values(), result.original, result.segmentation):
        node.SetAndObserveTransformNodeID(transform.GetID())
    assert np.allclose(result.uncertain_regions.position(0), np.add(result.uncertain_regions.rows[0].position, (5, -6, 7)), atol=0.01)


def test_rows_are_ranked_and_walked_round_and_ticks_are_kept(world, result):
    places = result.uncertain_regions
    scores = [row.score_ml for row in places.rows]
    assert scores == sorted(scores, reverse=True) and len(places) == len(scores) > 2
    assert places.rows[0].boundary.endswith(f"({places.rows[0].region})") and len(places.rows[0].boundary) > 6
    assert places.next(-1) == 0 and places.next(len(places) - 1) == 0 and places.previous(0) == len(places) - 1
    places.set_reviewed(0)
    places.set_reviewed(1)
    places.set_reviewed(1, False)
    assert places.reviewed_count == 1 and places.is_reviewed(0)
    (again,) = Result.all_in(world.scene)
    assert again.uncertain_regions.is_reviewed(0)
