"""The transforms of prepared raw scans come into the scene and mean there what they mean to ITK."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer
import vtk
from LDMSegModule.result.Result import Result
from LDMSegModule.result.ResultImport import ResultImport
from small_result import AFFINE, MATRICES, image, write_prepared_result, write_small_result

from LDMSegLib.errors import InputError
from LDMSegLib.io.itk_transform import itk_text

POINTS = np.random.default_rng(5).uniform(-110, 110, (200, 3))


@pytest.fixture
def prepared(world, tmp_path, specification, t1c):
    return ResultImport(world.scene, specification).load(write_prepared_result(tmp_path / "prepared", specification), t1c)


def to_world(node, points: np.ndarray) -> np.ndarray:
    """(n, 3) RAS as the node moves what lies under it."""
    matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
    node.GetMatrixTransformToWorld(matrix)
    return points @ slicer.util.arrayFromVTKMatrix(matrix)[:3, :3].T + slicer.util.arrayFromVTKMatrix(matrix)[:3, 3]


@pytest.mark.parametrize("name", MATRICES)
def test_a_transform_node_maps_points_as_simpleitk_does_with_the_file_of_the_run(prepared, tmp_path, name):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")
    file = tmp_path / f"transform_{name}.tfm"
    file.write_bytes(itk_text(MATRICES[name]))
    transform, flip = sitk.ReadTransform(str(file)), np.array([-1, -1, 1])
    moved = to_world(prepared.transforms[name], POINTS)
    # ITK's transforms take target points to the source, in LPS
    back = np.array([transform.TransformPoint((flip * point).tolist()) for point in moved]) * flip
    assert np.abs(back - POINTS).max() <= 1e-3
    assert np.abs(moved - POINTS).max() > 5  # and it does move them


@pytest.mark.parametrize("name", MATRICES)
def test_the_file_of_the_run_loaded_by_slicer_itself_is_the_same_transform(world, prepared, tmp_path, name):
    file = tmp_path / f"transform_{name}.tfm"
    file.write_bytes(itk_text(MATRICES[name]))
    storage = slicer.vtkMRMLTransformStorageNode()
    world.scene.AddNode(storage)
    storage.SetFileName(str(file))
    loaded = world.scene.AddNewNodeByClass("vtkMRMLTransformNode")
    assert storage.ReadData(loaded)
    general = vtk.vtkGeneralTransform()
    loaded.GetTransformToWorld(general)
    theirs = [general.TransformPoint(point) for point in POINTS]
    assert np.abs(np.array(theirs) - to_world(prepared.transforms[name], POINTS)).max() <= 1e-3


def test_a_raw_volume_put_under_its_transform_lies_on_the_t1c(world, prepared, t1c):
    raw = world.volume(image(), np.linalg.inv(MATRICES["t1n_to_t1c"]) @ AFFINE, "raw T1n")
    raw.SetAndObserveTransformNodeID(prepared.transforms["t1n_to_t1c"].GetID())
    bounds = [np.zeros(6), np.zeros(6)]
    for node, found in zip((raw, t1c), bounds, strict=True):
        node.GetRASBounds(found)
    assert np.abs(bounds[0] - bounds[1]).max() <= 1e-3


def test_transforms_lie_in_the_results_folder_and_say_what_they_do(world, prepared):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene)
    assert set(prepared.transforms) == set(MATRICES)
    for node in prepared.transforms.values():
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == prepared.folder.item
        assert "Research use only" in node.GetDescription()
    node = prepared.transforms["t1n_to_t1c"]
    assert "over t1n" in node.GetDescription() and "onto t1c" in node.GetDescription() and node.GetName().endswith("t1n to t1c")
    assert len(prepared.preparation) == 2


def test_transforms_come_back_with_a_saved_scene(world, prepared, tmp_path, specification):
    from scene import new_scene

    assert world.scene.WriteToMRB(str(tmp_path / "raw.mrb"))
    again = new_scene(tmp_path / "cache")
    assert again.scene.ReadFromMRB(str(tmp_path / "raw.mrb"))
    (found,) = Result.all_in(again.scene)
    for name, node in found.transforms.items():
        assert np.abs(to_world(node, POINTS) - to_world(prepared.transforms[name], POINTS)).max() <= 1e-3
    assert set(found.transforms) == set(MATRICES)


def test_a_result_is_whole_without_a_transform_that_was_deleted(world, prepared, specification):
    world.scene.RemoveNode(prepared.transforms["t1n_to_t1c"])
    assert prepared.exists and set(prepared.transforms) == {"t1c_to_SRI24"}
    assert len(Result.all_in(world.scene)) == 1


def test_prepared_images_bring_no_transforms(result):
    assert result.transforms == {} and result.preparation == ()


@pytest.mark.parametrize("matrix", ["nonsense", [[1, 2], [3, 4]], np.zeros((4, 4)).tolist()])
def test_a_damaged_transform_is_one_sentence_and_leaves_the_scene_as_it_was(world, tmp_path, specification, t1c, matrix):
    folder = write_small_result(tmp_path / "x", specification)
    file = folder / "provenance.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**record, "preparation": {"matrices_ras_mm": {"t1n_to_t1c": matrix}}}), encoding="utf-8")
    before = world.scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="damaged transform"):
        ResultImport(world.scene, specification).load(folder, t1c)
    assert world.scene.GetNumberOfNodes() == before
