"""Synthetic masks come into the scene under one folder, all of them called synthetic."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import slicer
from LDMSegModule.result.SyntheticImport import SyntheticImport
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from small_result import AFFINE, image, probabilities

from LDMSegLib.errors import InputError
from LDMSegLib.io.atomic_folder import result_folder
from LDMSegLib.postprocessing.regions import label_map
from LDMSegLib.synthesis.mask_folder import MaskFolder


@pytest.fixture(scope="module")
def masks(tmp_path_factory, specification):
    """Two masks as the program writes them."""
    folder = tmp_path_factory.mktemp("masks") / "drawn é"
    with result_folder(folder) as temporary:
        writer = MaskFolder(temporary, specification, AFFINE)
        for number, threshold in ((1, 0.5), (2, 0.7)):
            labels = label_map(probabilities(specification), specification.labels, specification.regions, threshold)
            writer.add(number, number, labels, {"ET": 1.0, "TC": 2.0, "WT": 3.0})
        writer.finish("Synthetic", {"generator": "LDMSeg"})
    return folder


def test_every_mask_is_a_segmentation_called_synthetic_and_the_first_is_shown(world, masks, specification):
    drawn = SyntheticImport(world.scene, specification).load(masks)
    assert len(drawn.segmentations) == 2
    for number, node in enumerate(drawn.segmentations, start=1):
        assert "synthetic" in node.GetName() and node.GetName().endswith(f"mask_000{number}")
        assert "no patient's tumour" in node.GetDescription()
        assert list(node.GetSegmentation().GetSegmentIDs()) == ["NCR", "ED", "ET"]
        grid = world.volume(image(), AFFINE)
        expected = np.asarray(nib.load(masks / f"mask_000{number}.nii.gz").dataobj)
        assert np.array_equal(SegmentLabels(node, grid, specification.labels).read().T, expected)
    assert [bool(node.GetDisplayNode().GetVisibility()) for node in drawn.segmentations] == [True, False]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene)
    parents = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in drawn.segmentations}
    assert parents == {drawn.folder.item} and drawn.folder.name == drawn.name


def test_masks_over_a_moved_brain_lie_on_it(world, masks, specification):
    matrix = np.eye(4)
    matrix[:3, 3] = (10, 20, -30)
    brain = world.volume(image(), np.linalg.inv(matrix) @ AFFINE)
    transform = world.transform(matrix)
    brain.SetAndObserveTransformNodeID(transform.GetID())
    drawn = SyntheticImport(world.scene, specification).load(masks, brain)
    assert drawn.segmentations[0].GetParentTransformNode() is transform
    found = SegmentLabels(drawn.segmentations[0], brain, specification.labels).read().T
    assert np.array_equal(found, np.asarray(nib.load(masks / "mask_0001.nii.gz").dataobj))


def test_a_second_drawing_gets_a_folder_of_its_own(world, masks, specification):
    loader = SyntheticImport(world.scene, specification)
    first, second = loader.load(masks), loader.load(masks)
    assert first.name != second.name and first.folder.item != second.folder.item


def test_no_mask_or_a_missing_one_is_one_sentence_and_the_scene_is_as_before(world, masks, tmp_path, specification):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(masks, copy)
    (copy / "mask_0002.nii.gz").unlink()
    before = world.scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="mask_0002"):
        SyntheticImport(world.scene, specification).load(copy)
    record = json.loads((copy / "provenance.json").read_text(encoding="utf-8"))
    (copy / "provenance.json").write_text(json.dumps({**record, "masks": []}), encoding="utf-8")
    with pytest.raises(InputError, match="holds no masks"):
        SyntheticImport(world.scene, specification).load(copy)
    for damaged in ({"labels": {"ET": "three"}}, {"masks": [{"file": "mask_0001.nii.gz"}]}, {"masks": 3}):
        (copy / "provenance.json").write_text(json.dumps({**record, **damaged}), encoding="utf-8")
        with pytest.raises(InputError, match="is damaged"):
            SyntheticImport(world.scene, specification).load(copy)
    assert world.scene.GetNumberOfNodes() == before
