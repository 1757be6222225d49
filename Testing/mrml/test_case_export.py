"""Volumes leave the scene as they lie on the screen, to a ten-thousandth of a millimetre, and the scene does not change."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import slicer
import vtk
from LDMSegModule.scene.CaseExport import CaseExport
from LDMSegModule.scene.NiftiFile import NiftiFile
from LDMSegModule.scene.VolumeFacts import VolumeFacts
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry
from small_result import oblique

from LDMSegLib.errors import InputError, OutputError

SHAPE = (14, 11, 9)
GRIDS = {
    "RAS": np.diag([1.0, 1.0, 1.0, 1.0]),
    "LPS": np.array([[-1, 0, 0, 90], [0, -1, 0, 110], [0, 0, 1, -70], [0, 0, 0, 1.0]]),
    "LAS": np.array([[-1, 0, 0, 90.5], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1.0]]),
    # the BraTS grid, and the same after a program wrote it with other rounding
    "BraTS": np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    "BraTS rounded": np.array([[-1.0, 1e-4, 0, -3e-4], [-1e-4, -1.0001, 0, 239.0004], [0, 0, 0.9999, 2e-4], [0, 0, 0, 1.0]]),
    # a raw exam: thick slices, tilted to the skull base
    "raw axial 0.9×0.9×5.5": oblique((-0.8984, -0.8984, 5.5), (17.3, -2.1, 1.4), (112.4, 93.7, -61.2)),
    "sagittal": np.array([[0, 0, 4.8, -60], [-0.94, 0, 0, 130], [0, -0.94, 0, 140], [0, 0, 0, 1.0]]),
    "coronal oblique": oblique((0.7, 0.7, 3.0), (-92, 4, 11), (-80, 20, 150)),
}


def voxels() -> np.ndarray:
    return np.random.default_rng(3).integers(-200, 3000, SHAPE).astype(np.int16)


@pytest.mark.parametrize("name", GRIDS)
def test_nibabel_finds_the_same_affine_and_voxels(world, tmp_path, name):
    node = world.volume(voxels(), GRIDS[name], name)
    file = nib.load(CaseExport().write({"t1c": node}, tmp_path)["t1c"])
    assert np.abs(file.affine - GRIDS[name]).max() <= 1e-4
    assert np.array_equal(np.asarray(file.dataobj), voxels())
    assert file.get_data_dtype() == np.int16


@pytest.mark.parametrize("name", GRIDS)
def test_our_reader_agrees_with_nibabel(world, tmp_path, name):
    image = nib.Nifti1Image(voxels(), GRIDS[name])
    if name.endswith("oblique") or name.startswith("raw"):
        image.set_sform(None, code=0)  # as some converters write it: the qform alone
        image.set_qform(GRIDS[name], code=1)
    nib.save(image, tmp_path / "a.nii.gz")
    ours = NiftiFile.read(tmp_path / "a.nii.gz")
    assert np.abs(ours.affine - nib.load(tmp_path / "a.nii.gz").affine).max() <= 1e-4
    assert np.array_equal(ours.array.T, voxels())


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("dtype", ["uint8", ">i2", "float32", ">f8", "uint16"])
def test_our_reader_knows_every_form_of_the_format(tmp_path, kind, dtype):
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    header = kind.header_class(endianness=np.dtype(dtype).byteorder if np.dtype(dtype).byteorder == ">" else "<")
    header.set_data_dtype(dtype)
    nib.save(kind(array, GRIDS["sagittal"], header), tmp_path / "a.nii")
    ours = NiftiFile.read(tmp_path / "a.nii")
    assert np.array_equal(ours.array.T, array) and np.abs(ours.affine - GRIDS["sagittal"]).max() < 1e-4


def test_a_header_that_says_nothing_is_read_as_nibabel_reads_it(tmp_path):
    image = nib.Nifti1Image(voxels(), None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = (1, 2, 3)
    image.header["scl_slope"], image.header["scl_inter"] = 0.5, 10
    nib.save(image, tmp_path / "a.nii")
    ours, theirs = NiftiFile.read(tmp_path / "a.nii"), nib.load(tmp_path / "a.nii")
    assert np.allclose(ours.affine, theirs.affine)
    assert np.allclose(ours.array.T, theirs.get_fdata())


@pytest.mark.parametrize("name", ["LPS", "raw axial 0.9×0.9×5.5"])
@pytest.mark.parametrize("kind", ["rigid", "sheared", "two deep"])
def test_linear_transforms_become_part_of_the_affine_and_no_voxel_changes(world, tmp_path, name, kind):
    matrix = oblique((1, 1, 1), (8, -31, 64), (14.2, -33, 5))
    node = world.volume(voxels(), GRIDS[name])
    if kind == "sheared":
        matrix[:3, :3] = matrix[:3, :3] @ np.array([[1, 0.2, 0], [0, 1.1, 0.05], [0, 0, 0.9]])
    transform = world.transform(matrix)
    expected = matrix @ GRIDS[name]
    if kind == "two deep":
        outer = oblique((1, 1, 1), (0, 12, 3), (1, 2, 3))
        transform.SetAndObserveTransformNodeID(world.transform(outer).GetID())
        expected = outer @ expected
    node.SetAndObserveTransformNodeID(transform.GetID())
    before = (node.GetMTime(), VolumeGeometry.of(node).local.copy(), world.scene.GetNumberOfNodes())
    file = nib.load(CaseExport().write({"t1c": node}, tmp_path)["t1c"])
    assert np.abs(file.affine - expected).max() <= 1e-4
    assert np.array_equal(np.asarray(file.dataobj), voxels())
    assert (node.GetMTime(), world.scene.GetNumberOfNodes()) == (before[0], before[2])
    assert np.array_equal(VolumeGeometry.of(node).local, before[1])
    assert node.GetParentTransformNode() is transform


def test_a_grid_that_does_not_start_at_index_zero_stays_where_it_is(world, tmp_path):
    node = world.volume(voxels(), GRIDS["coronal oblique"])
    image = vtk.vtkImageData()
    image.DeepCopy(node.GetImageData())
    image.SetExtent(5, 5 + SHAPE[0] - 1, -2, SHAPE[1] - 3, 3, SHAPE[2] + 2)
    node.SetAndObserveImageData(image)
    file = nib.load(CaseExport().write({"t1c": node}, tmp_path)["t1c"])
    shift = np.eye(4)
    shift[:3, 3] = (5, -2, 3)
    assert np.abs(file.affine - GRIDS["coronal oblique"] @ shift).max() <= 1e-4


def test_under_a_bending_transform_the_volume_is_resampled_where_it_is_seen(world, tmp_path):
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-19, -19, -19)
    x, y, z = np.meshgrid(*[np.arange(20) * 2.0 - 19] * 3, indexing="ij")
    blob = (1000 * np.exp(-((x - 4) ** 2 + y**2 + (z + 5) ** 2) / 40)).astype(np.float32)
    node = world.volume(blob, affine)
    points = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in [(a, b, c) for a in (-30, 30) for b in (-30, 30) for c in (-30, 30)] + [(0, 0, 0)]:
        points[0].InsertNextPoint(corner)
        bend = 3.0 if corner == (0, 0, 0) else 0.0
        points[1].InsertNextPoint(corner[0] + 6 + bend, corner[1] - 2, corner[2])
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(points[0])
    spline.SetTargetLandmarks(points[1])
    spline.SetBasisToR()
    transform = world.scene.AddNewNodeByClass("vtkMRMLTransformNode", "bend")
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert VolumeGeometry.of(node).world is None
    file = nib.load(CaseExport().write({"t1c": node}, tmp_path)["t1c"])
    seen = file.get_fdata()
    index = np.stack(np.meshgrid(*[np.arange(n) for n in seen.shape], indexing="ij"), axis=-1)
    centre = np.average((index @ file.affine[:3, :3].T + file.affine[:3, 3]).reshape(-1, 3), axis=0, weights=seen.ravel())
    expected = spline.TransformPoint(4, 0, -5)
    assert np.abs(centre - expected).max() < 0.6
    assert seen.sum() == pytest.approx(blob.sum(), rel=0.1)
    assert np.array_equal(slicer.util.arrayFromVolume(node).T, blob)


def test_an_empty_volume_and_an_impossible_folder_are_one_sentence_each(world, tmp_path):
    empty = world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(InputError, match="'nothing' holds no voxels"):
        CaseExport().write({"t1c": empty}, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        CaseExport().write({"t1c": world.volume(voxels(), GRIDS["RAS"])}, tmp_path / "file" / "inside")


def test_a_full_disk_leaves_no_half_file(world, tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    node = world.volume(voxels(), GRIDS["RAS"])
    monkeypatch.setattr("LDMSegModule.scene.NiftiFile._header", full)
    with pytest.raises(OutputError, match="no space left on device"):
        CaseExport().write({"t1c": node}, tmp_path)
    assert not list(tmp_path.glob("*.nii*"))


@pytest.mark.parametrize("name", ["RAS", "LPS", "LAS", "sagittal"])
def test_facts_say_size_spacing_orientation_and_range(world, name):
    facts = VolumeFacts.of(world.volume(voxels(), GRIDS[name]))
    assert facts.size == SHAPE and facts.orientation == "".join(nib.aff2axcodes(GRIDS[name]))
    assert facts.range == (voxels().min(), voxels().max())
    assert facts.text.startswith("14×11×9 · ") and f" · {facts.orientation} · " in facts.text and "oblique" not in facts.text


def test_facts_of_oblique_moved_and_empty_volumes_say_so(world):
    node = world.volume(voxels(), GRIDS["raw axial 0.9×0.9×5.5"])
    assert "oblique 17°" in VolumeFacts.of(node).text and "0.898×0.898×5.5 mm" in VolumeFacts.of(node).text
    node.SetAndObserveTransformNodeID(world.transform(np.eye(4)).GetID())
    assert VolumeFacts.of(node).text.endswith("transformed")
    assert VolumeFacts.of(world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")).text == "no voxels"
