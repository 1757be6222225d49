"""Another extension's brain mask, by a strict stand-in of its logic: the real one and its network are not on this computer."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import slicer
from LDMSegModule.InstalledBrainExtraction import InstalledBrainExtraction
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


def test_the_mask_is_written_on_the_volumes_grid_and_the_scene_stays_as_it_was(world, volume, fetched, tmp_path):
    before = world.scene.GetNumberOfNodes()
    extraction = InstalledBrainExtraction(world.scene, lambda: Tool(tmp_path), lambda: fetched)
    assert extraction.problem == ""
    file = nib.load(extraction.write_mask(volume, tmp_path / "mask.nii"))
    assert np.abs(file.affine - GRID).max() < 1e-4 and np.array_equal(np.asarray(file.dataobj), BRAIN)
    segmentations = world.scene.GetNodesByClass("vtkMRMLSegmentationNode")
    assert segmentations.GetNumberOfItems() == 0 and world.scene.GetNumberOfNodes() <= before + 1  # a colour table may stay
    assert volume.GetParentTransformNode() is None


def test_under_a_transform_the_mask_lies_where_the_volume_is_on_the_screen(world, volume, fetched, tmp_path):
    move = oblique((1.0, 1.0, 1.0), (5.0, 8.0, -20.0), (12.0, -7.0, 30.0))
    volume.SetAndObserveTransformNodeID(world.transform(move).GetID())
    file = nib.load(
        InstalledBrainExtraction(world.scene, lambda: Tool(tmp_path), lambda: fetched).write_mask(volume, tmp_path / "mask.nii")
    )
    assert np.abs(file.affine - move @ GRID).max() < 1e-4
    assert (np.asarray(file.dataobj) != BRAIN).mean() < 0.005


@pytest.mark.parametrize(
    ("found", "said"),
    [(np.zeros(SHAPE, np.uint8), "found no brain in 'T1 post'"), (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory")],
)
def test_what_fails_is_one_sentence_and_nothing_is_left(found, said, world, volume, fetched, tmp_path):
    with pytest.raises(InputError, match=said):
        InstalledBrainExtraction(world.scene, lambda: Tool(tmp_path, found), lambda: fetched).write_mask(volume, tmp_path / "mask.nii")
    assert world.scene.GetNodesByClass("vtkMRMLSegmentationNode").GetNumberOfItems() == 0
    assert not (tmp_path / "mask.nii").exists()


def test_without_the_extension_or_its_network_it_says_what_to_do_and_starts_nothing(world, volume, tmp_path):
    assert "is not installed" in InstalledBrainExtraction(world.scene).problem, "nor is it here"
    tool = Tool(tmp_path)
    for weights in (None, tmp_path / "nowhere"):
        extraction = InstalledBrainExtraction(world.scene, lambda: tool, lambda weights=weights: weights)
        assert "run it once in its own module" in extraction.problem
        with pytest.raises(InputError, match="has not fetched its network"):
            extraction.write_mask(volume, tmp_path / "mask.nii")
    assert tool.calls == 0
