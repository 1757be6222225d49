"""A brain mask of the scene leaves it as it lies on the screen, and what speaks against it is said before anything starts."""

from __future__ import annotations

import time
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import slicer
import vtk
from bent_transform import bent_transform
from LDMSegModule.checks.Preflight import Preflight
from LDMSegModule.parameters.SegmentParameters import ALWAYS, AUTOMATIC, HD_BET, NEVER
from LDMSegModule.scene.BrainChoice import BrainChoice
from LDMSegModule.scene.BrainMask import BrainMask
from LDMSegModule.scene.CaseExport import CaseExport
from small_result import oblique
from vtk.util.numpy_support import vtk_to_numpy

from LDMSegLib.errors import InputError

SHAPE = (44, 52, 36)
GRID = oblique((-4.0, -4.1, 4.4), (9.0, -4.0, 3.0), (80.0, 95.0, -75.0))
MOVE = oblique((1.0, 1.0, 1.0), (5.0, 8.0, -20.0), (12.0, -7.0, 30.0))
SHEAR = np.array([[1.0, 0.1, 0, 3], [0, 1.1, 0.05, -4], [0, 0, 0.9, 5], [0, 0, 0, 1]])


def head() -> np.ndarray:
    """(X, Y, Z): a bright ball with noise all around, as a scan that has not been stripped."""
    noise = np.random.default_rng(0).uniform(1, 9, SHAPE)
    return (noise + 300 * ball(0.8)).astype(np.float32)


def ball(radius: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    index[0] += 0.1 * index[1]  # lopsided, so that every flip shows
    return (index**2).sum(axis=0) < radius**2


BRAIN = ball(0.7)


def segmentation(world, name="brain", marked=BRAIN, affine=GRID, first=(0, 0, 0), segment="Brain", node=None):
    """A segmentation with one segment whose image begins at any index, as an editor leaves it."""
    node = node or world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    image = slicer.vtkOrientedImageData()
    image.SetExtent(*np.column_stack([first, np.array(first) + marked.shape - 1]).ravel().tolist())
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(affine))
    vtk_to_numpy(image.GetPointData().GetScalars())[...] = marked.T.ravel()
    made = slicer.vtkSegment()
    made.SetName(segment)
    made.AddRepresentation("Binary labelmap", image)
    node.GetSegmentation().AddSegment(made, segment)
    return node


def label_map(world, marked=BRAIN, affine=GRID, name="brain"):
    node = world.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(marked.T.astype(np.int16)))
    return node


@pytest.fixture
def t1c(world):
    return world.volume(head(), GRID, "T1 post")


@pytest.fixture
def case(world, t1c):
    return {"t1c": t1c, **{n: world.volume(head() * (1.5 + k), GRID, n) for k, n in enumerate(("t1n", "t2w", "t2f"))}}


def on_grid(file, affine=GRID) -> np.ndarray:
    """The file's marked voxels (X, Y, Z), by nibabel, on a grid that they have to meet to a ten-thousandth of a millimetre."""
    mask = nib.load(file)
    assert mask.get_data_dtype() == np.uint8 and set(np.unique(np.asarray(mask.dataobj))) <= {0, 1}
    index = np.argwhere(np.asarray(mask.dataobj))
    points = index @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    back = np.linalg.inv(affine)
    nearest = np.rint(points @ back[:3, :3].T + back[:3, 3]).astype(int)
    assert np.abs(nearest @ affine[:3, :3].T + affine[:3, 3] - points).max() <= 1e-4
    out = np.zeros(SHAPE, bool)
    out[tuple(nearest.T)] = True
    return out


@pytest.mark.parametrize("kind", [segmentation, label_map])
@pytest.mark.parametrize("move", [None, MOVE, SHEAR], ids=["as it is", "moved", "sheared"])
def test_the_mask_is_written_where_it_is_on_the_screen(world, tmp_path, kind, move):
    node = kind(world)
    if move is not None:
        node.SetAndObserveTransformNodeID(world.transform(move).GetID())
    before = node.GetMTime()
    file = CaseExport().write_mask(node, tmp_path / "mäsk of a run")
    assert np.array_equal(on_grid(file, (np.eye(4) if move is None else move) @ GRID), BRAIN)
    assert node.GetMTime() == before


def test_voxels_that_an_editor_counts_from_elsewhere_are_where_they_were(world, tmp_path):
    first = (7, -3, 11)
    shift = np.eye(4)
    shift[:3, 3] = first
    file = CaseExport().write_mask(segmentation(world, first=first), tmp_path)
    assert np.array_equal(on_grid(file, GRID @ shift), BRAIN)


def test_all_segments_count_together(world, tmp_path):
    left, right = BRAIN.copy(), BRAIN.copy()
    left[22:], right[:22] = False, False
    node = segmentation(world, marked=left, segment="left")
    segmentation(world, marked=right, segment="right", node=node)
    assert np.array_equal(on_grid(CaseExport().write_mask(node, tmp_path)), BRAIN)
    node.GetSegmentation().CollapseBinaryLabelmaps(False)  # as Slicer stores segments that do not overlap
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert np.array_equal(on_grid(CaseExport().write_mask(node, tmp_path)), BRAIN)


def test_a_brain_that_is_a_surface_only_is_made_of_voxels_and_the_scene_keeps_the_surface(world):
    node = segmentation(world)
    whole = BrainMask.of(node).millilitres
    segments = node.GetSegmentation()
    assert node.CreateClosedSurfaceRepresentation()
    node.SetSourceRepresentationToClosedSurface() if hasattr(node, "SetSourceRepresentationToClosedSurface") else None
    segments.RemoveRepresentation("Binary labelmap")
    assert abs(BrainMask.of(node).millilitres / whole - 1) < 0.1
    assert not segments.ContainsRepresentation("Binary labelmap")


def said(specification, case, mask, prepare=AUTOMATIC, severity=None, **choice) -> str:
    findings = Preflight(specification, prepare, replace(BrainChoice.of(mask, "deepbet", True), **choice)).check(case)
    assert all(f.text.endswith(".") and "\n" not in f.text for f in findings)
    return " | ".join(f.text for f in findings if severity in (None, f.severity))


def test_a_good_mask_is_announced_and_nothing_speaks_against_it(world, specification, case):
    assert "the brain will be extracted" in said(specification, case, None)
    for mask in (segmentation(world), label_map(world)):
        now = said(specification, case, mask)
        assert "the brain will be cut out by the brain mask" in now and "extracted" not in now and "mL" not in now
        assert said(specification, case, mask, severity="problem") == ""


@pytest.mark.parametrize("prepare", [AUTOMATIC, ALWAYS])
def test_masks_that_cannot_be_used_are_problems(world, specification, case, prepare):
    empty = segmentation(world, "empty", np.zeros_like(BRAIN))
    hollow = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "hollow")
    nothing = world.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "nothing")
    blank = label_map(world, np.zeros_like(BRAIN), name="blank")
    far = GRID.copy()
    far[0, 3] += 500
    elsewhere = segmentation(world, "elsewhere", affine=far)
    moved = label_map(world, name="moved")
    moved.SetAndObserveTransformNodeID(world.transform(np.array([[1, 0, 0, 0], [0, 1, 0, -600], [0, 0, 1, 0], [0, 0, 0, 1.0]])).GetID())
    bent = segmentation(world, "bent")
    bent.SetAndObserveTransformNodeID(bent_node(world).GetID())
    result = segmentation(world, "a result")
    result.SetAttribute("LDMSeg.Result", "x")
    for mask, reason in (
        *((empty, "'empty' is empty"), (hollow, "'hollow' has no segments"), (nothing, "'nothing' is empty"), (blank, "'blank' is empty")),
        *((elsewhere, "'elsewhere' lies nowhere near t1c"), (moved, "'moved' lies nowhere near t1c")),
        *((bent, "'bent' lies under a non-linear transform"), (result, "'a result' is a result of LDMSeg")),
    ):
        assert reason in said(specification, case, mask, prepare, "problem")


def bent_node(world):
    node = world.scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(bent_transform())
    return node


def test_what_cannot_be_used_is_refused_at_the_export_too(world, tmp_path):
    with pytest.raises(InputError, match="no voxel is marked"):
        CaseExport().write_mask(label_map(world, np.zeros_like(BRAIN)), tmp_path)
    bent = label_map(world)
    bent.SetAndObserveTransformNodeID(bent_node(world).GetID())
    with pytest.raises(InputError, match="harden the transform"):
        CaseExport().write_mask(bent, tmp_path)
    assert not list(tmp_path.glob("*.nii*"))


def test_masks_that_look_wrong_are_warned_of(world, specification, case):
    half = GRID.copy()
    half[:3, 3] += GRID[:3, 0] * 14
    two = segmentation(world, "two")
    segmentation(world, marked=ball(0.2), segment="Tumour", node=two)
    for mask, reason in (
        (segmentation(world, "small", ball(0.2)), "'small' measures"),
        (segmentation(world, "half", affine=half), "lies in the field of view of t1c"),
        (two, "'two' has 2 segments"),
    ):
        assert reason in said(specification, case, mask, severity="warning")
        assert said(specification, case, mask, severity="problem") == ""


def test_a_mask_beside_a_brain_that_stands_alone_is_warned_of(world, specification):
    stripped = np.where(ball(0.7), head(), 0)
    lone = {n: world.volume((stripped * (1.5 + k)).astype(np.float32), GRID, n) for k, n in enumerate(("t1n", "t1c", "t2w", "t2f"))}
    now = said(specification, lone, segmentation(world))
    assert "beside" not in now and "cut out by the brain mask" in now
    corner = np.zeros_like(BRAIN)
    corner[:20, :20, :14] = True
    assert "lies beside the brain in t1c" in said(specification, lone, segmentation(world, "corner", corner), severity="warning")


def test_with_never_the_mask_is_said_to_be_of_no_use(world, specification, case):
    assert "'brain' will not be used" in said(specification, case, segmentation(world), NEVER, "warning")
    assert said(specification, case, segmentation(world), NEVER, "problem") == ""


def test_a_network_that_is_not_installed_is_a_problem_only_where_it_is_needed(world, specification, case):
    lacking = {"extraction": HD_BET, "installed": False}
    assert "hd-bet, which is not installed" in said(specification, case, None, severity="problem", **lacking)
    assert said(specification, case, segmentation(world), severity="problem", **lacking) == ""
    assert said(specification, case, None, NEVER, severity="problem", **lacking) == ""
    assert "extracted by hd-bet" in said(specification, case, None, extraction=HD_BET)


def test_a_choice_is_another_once_the_mask_was_edited_moved_or_deleted(world):
    for node in (segmentation(world), label_map(world)):
        first = BrainChoice.of(node, "deepbet", True)
        assert first == BrainChoice.of(node, "deepbet", True)
        if node.IsA("vtkMRMLSegmentationNode"):
            image = node.GetSegmentation().GetNthSegment(0).GetRepresentation("Binary labelmap")
            image.Modified()
        else:
            node.GetImageData().Modified()
        edited = BrainChoice.of(node, "deepbet", True)
        assert edited != first
        node.SetAndObserveTransformNodeID(world.transform(MOVE).GetID())
        moved = BrainChoice.of(node, "deepbet", True)
        assert moved != edited
        node.GetParentTransformNode().SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(SHEAR))
        assert BrainChoice.of(node, "deepbet", True) != moved
        world.scene.RemoveNode(node)
        assert BrainChoice.of(node, "deepbet", True).mask is None


def test_a_mask_as_large_as_a_brats_volume_is_judged_at_once(world, specification):
    shape, affine = (240, 240, 155), np.array([[-1.0, 0, 0, 120], [0, -1.0, 0, 120], [0, 0, 1.0, -70], [0, 0, 0, 1.0]])
    marked = np.zeros(shape, bool)
    marked[60:180, 60:180, 30:125] = True
    image = np.where(marked, np.random.default_rng(1).uniform(100, 900, shape), 0).astype(np.float32)
    case = {n: world.volume(image + k * (image > 0), affine, n) for k, n in enumerate(("t1n", "t1c", "t2w", "t2f"))}
    mask = segmentation(world, marked=marked, affine=affine)
    seconds = []
    for choice in (BrainChoice(), BrainChoice.of(mask, "deepbet", True)):
        start = time.process_time()
        Preflight(specification, AUTOMATIC, choice).check(case)
        seconds.append(time.process_time() - start)
    assert seconds[1] - seconds[0] < 0.2, seconds
