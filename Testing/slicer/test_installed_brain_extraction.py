"""Another extension's brain, by a strict stand-in of its logic: the real one and its network are not on this computer."""

from __future__ import annotations

import sys

import nibabel as nib
import numpy as np
import pytest
import slicer
from bent_transform import bent_transform
from LDMSegModule.BrainMask import BrainMask
from LDMSegModule.CaseExport import CaseExport
from LDMSegModule.InstalledBrainExtraction import InstalledBrainExtraction, is_installed
from LDMSegModule.VolumeGeometry import VolumeGeometry
from small_result import oblique

from LDMSegLib.errors import InputError

SHAPE = (20, 24, 10)
GRID = oblique((-2.0, -2.0, 5.0), (9.0, -4.0, 3.0), (20.0, 30.0, -20.0))
BRAIN = np.zeros(SHAPE, np.uint8)
BRAIN[4:15, 5:20, 2:8] = 1
BRAIN[4:8, 5:9, 2:5] = 0  # lopsided, so that every flip shows


class Tool:
    """Stands for HDBrainExtractionToolLogic: takes what its `process` takes, by position, and gives a segment by way of a file."""

    def __init__(self, folder, found=BRAIN):
        self.folder, self.found, self.calls = folder, found, 0

    def process(self, inputVolume, outputVolume, outputSegmentation, device=None):
        self.calls += 1
        if not inputVolume:
            raise ValueError("Input or output volume is invalid")
        assert inputVolume.IsA("vtkMRMLScalarVolumeNode") and outputVolume is None
        assert outputSegmentation.IsA("vtkMRMLSegmentationNode") and device in (None, "auto", "cpu")
        if isinstance(self.found, Exception):
            raise self.found
        if not self.found.any():
            return
        matrix = VolumeGeometry.of(inputVolume).local  # its own space: it knows of no parent transform
        file = str(self.folder / "hdbet-output_mask.nii.gz")
        nib.save(nib.Nifti1Image(self.found, matrix), file)
        storage = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(file)
        assert storage.ReadData(outputSegmentation)
        storage.UnRegister(None)


@pytest.fixture
def fetched(tmp_path):
    """A folder as it is once the network is there."""
    folder = tmp_path / "hd-bet_params"
    folder.mkdir()
    (folder / "0.model").write_bytes(b"weights")
    return folder


@pytest.fixture
def volume(world):
    return world.volume(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32), GRID, "T1 post")


def classes(scene) -> list[str]:
    """What the scene holds; a colour table that display nodes share does not count."""
    nodes = [scene.GetNthNode(k) for k in range(scene.GetNumberOfNodes())]
    return sorted(node.GetClassName() for node in nodes if not node.IsA("vtkMRMLColorNode"))


def test_the_brain_is_a_shown_segmentation_named_after_the_volume_and_nothing_else_is_new(world, volume, fetched, tmp_path):
    before = classes(world.scene)
    extraction = InstalledBrainExtraction(lambda: Tool(tmp_path), lambda: fetched)
    assert extraction.problem == ""
    brain = extraction.extract(volume)
    assert brain.GetName() == "T1 post brain" and brain.GetDisplayNode().GetVisibility()
    new = classes(world.scene)
    for kind in before:
        new.remove(kind)
    assert set(new) <= {"vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode", "vtkMRMLSubjectHierarchyNode"}, new
    assert volume.GetParentTransformNode() is None
    assert extraction.extract(volume).GetName() != brain.GetName(), "an earlier one stays, and can be told from it"


def test_its_mask_lies_on_the_volumes_voxels(world, volume, fetched, tmp_path):
    brain = InstalledBrainExtraction(lambda: Tool(tmp_path), lambda: fetched).extract(volume)
    assert np.array_equal(on_grid(CaseExport().write_mask(brain, tmp_path), GRID), BRAIN)


def test_under_a_transform_it_lies_where_the_volume_is_on_the_screen(world, volume, fetched, tmp_path):
    move = oblique((1.0, 1.0, 1.0), (5.0, 8.0, -20.0), (12.0, -7.0, 30.0))
    volume.SetAndObserveTransformNodeID(world.transform(move).GetID())
    brain = InstalledBrainExtraction(lambda: Tool(tmp_path), lambda: fetched).extract(volume)
    assert np.array_equal(on_grid(CaseExport().write_mask(brain, tmp_path), move @ GRID), BRAIN)


def test_it_can_be_edited_on_the_volumes_grid(world, volume, fetched, tmp_path):
    brain = InstalledBrainExtraction(lambda: Tool(tmp_path), lambda: fetched).extract(volume)
    segment = brain.GetSegmentation().GetNthSegmentID(0)
    drawn = slicer.vtkOrientedImageData()
    assert brain.GenerateMergedLabelmapForAllSegments(drawn, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, None)
    assert drawn.GetDimensions() == SHAPE
    drawn.GetPointData().GetScalars().Fill(1)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(drawn, brain, segment)
    assert int(BrainMask.of(brain).array.sum()) == np.prod(SHAPE)


def on_grid(file, affine) -> np.ndarray:
    """A mask's file (X, Y, Z) on the voxels of a larger grid of the same kind, which it has to meet to a ten-thousandth of a mm."""
    mask = nib.load(file)
    offset = np.linalg.inv(affine) @ mask.affine
    first = np.rint(offset[:3, 3]).astype(int)
    assert np.abs(affine @ np.block([[np.eye(3), first[:, None]], [0, 0, 0, 1]]) - mask.affine).max() <= 1e-4
    out = np.zeros(SHAPE, np.uint8)
    for index in np.argwhere(np.asarray(mask.dataobj)):
        out[tuple(index + first)] = 1
    return out


@pytest.mark.parametrize(
    ("found", "said"),
    [(np.zeros(SHAPE, np.uint8), "found no brain in 'T1 post'"), (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory")],
)
def test_what_fails_is_one_sentence_and_nothing_is_left(found, said, world, volume, fetched, tmp_path):
    before = classes(world.scene)
    with pytest.raises(InputError, match=said):
        InstalledBrainExtraction(lambda: Tool(tmp_path, found), lambda: fetched).extract(volume)
    assert world.scene.GetNodesByClass("vtkMRMLSegmentationNode").GetNumberOfItems() == 0
    assert classes(world.scene) == before


def test_a_volume_under_a_bent_transform_is_refused_before_it_is_computed(world, volume, fetched, tmp_path):
    bent = world.scene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    bent.SetAndObserveTransformToParent(bent_transform())
    volume.SetAndObserveTransformNodeID(bent.GetID())
    tool = Tool(tmp_path)
    with pytest.raises(InputError, match="expected a linear one; harden it"):
        InstalledBrainExtraction(lambda: tool, lambda: fetched).extract(volume)
    assert tool.calls == 0


def test_without_the_extension_or_its_network_it_says_what_to_do_and_starts_nothing(world, volume, tmp_path):
    assert not is_installed() and "is not installed" in InstalledBrainExtraction().problem, "nor is it here"
    tool = Tool(tmp_path)
    for weights in (None, tmp_path / "nowhere"):
        extraction = InstalledBrainExtraction(lambda: tool, lambda weights=weights: weights)
        assert "run it once in its own module" in extraction.problem
        with pytest.raises(InputError, match="has not fetched its network"):
            extraction.extract(volume)
    assert tool.calls == 0


def test_an_extension_that_cannot_be_loaded_is_told_with_the_reason(world, volume, tmp_path, monkeypatch):
    (tmp_path / "HDBrainExtractionTool.py").write_text("import a_package_that_is_nowhere\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "HDBrainExtractionTool", raising=False)
    assert is_installed()
    with pytest.raises(InputError, match="cannot be loaded .ModuleNotFoundError: No module named 'a_package_that_is_nowhere'"):
        InstalledBrainExtraction().extract(volume)
