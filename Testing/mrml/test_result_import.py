"""A result folder comes into the scene whole, where it belongs, with names, colours and codes; or not at all."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import fields

import nibabel as nib
import numpy as np
import pytest
import slicer
from LDMSegModule.result.LiveThreshold import LiveThreshold
from LDMSegModule.result.Result import Result
from LDMSegModule.result.ResultImport import ResultImport
from LDMSegModule.result.VolumesTable import VolumesTable
from LDMSegModule.scene.SegmentLabels import SegmentLabels
from LDMSegModule.scene.SequenceGuess import SequenceGuess
from LDMSegModule.scene.VolumeGeometry import VolumeGeometry
from small_result import AFFINE, SHAPE, image, probabilities, write_small_result

from LDMSegLib.errors import InputError

SEGMENTS = {"NCR": "Necrotic tumour core (NCR)", "ED": "Peritumoural oedema / infiltration (ED)", "ET": "Enhancing tumour (ET)"}


def segment_array(result) -> np.ndarray:
    """(X, Y, Z) labels of the segments as they are."""
    return SegmentLabels(result.segmentation, result.original, result.labels).read().T


def test_segments_have_the_names_colours_and_codes_of_the_bundle(result, specification):
    segmentation = result.segmentation.GetSegmentation()
    assert {i: segmentation.GetSegment(i).GetName() for i in segmentation.GetSegmentIDs()} == SEGMENTS
    for label in specification.labels:
        assert np.allclose(segmentation.GetSegment(label.name).GetColor(), np.array(label.color) / 255, atol=1e-6)
    tag = slicer.vtkSegment.GetTerminologyEntryTagName()
    codes = {i: slicer.vtkSlicerTerminologyEntry() for i in SEGMENTS}
    for name, entry in codes.items():
        text = segmentation.GetSegment(name).GetTerminology() if not tag else _tag(segmentation.GetSegment(name), tag)
        assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(text, entry) is not False
        assert entry.GetCategoryObject().GetCodeValue() == "49755003"
        assert entry.GetAnatomicRegionObject().GetCodeValue() == "12738006" if hasattr(entry, "GetAnatomicRegionObject") else True
    kinds = {name: (e.GetTypeObject().GetCodingSchemeDesignator(), e.GetTypeObject().GetCodeValue()) for name, e in codes.items()}
    assert kinds == {"NCR": ("SCT", "6574001"), "ED": ("SCT", "79654002"), "ET": ("NCIt", "C113842")}


def _tag(segment, name: str) -> str:
    import vtk

    value = vtk.reference("")
    assert segment.GetTag(name, value)
    return str(value)


def test_slicer_reads_our_terminology_file(world):
    from LDMSegModule.scene.Terminology import Terminology

    logic = slicer.vtkSlicerTerminologiesModuleLogic()
    terminology = Terminology()
    assert terminology.register(logic)
    category = slicer.vtkSlicerTerminologyCategory()
    logic.GetNthCategoryInTerminology(terminology.context, 0, category)
    types = [slicer.vtkSlicerTerminologyType() for _ in range(5)]
    for k, entry in enumerate(types):
        assert logic.GetNthTypeInTerminologyCategory(terminology.context, category, k, entry)
    assert [t.GetCodeMeaning() for t in types] == ["Necrosis", "Edema", "Enhancing Lesion", "Tumor core", "Whole tumor with edema"]


def test_voxels_and_maps_are_those_of_the_files(result, result_folder, specification):
    assert np.array_equal(segment_array(result), np.asarray(nib.load(result_folder / "labels.nii.gz").dataobj))
    for k, region in enumerate(specification.region_names):
        array = slicer.util.arrayFromVolume(result.probabilities[region])
        assert array.dtype == np.float32 and np.array_equal(array.T, probabilities(specification)[k])
        assert slicer.util.arrayFromVolume(result.variances[region]).dtype == np.float32
    assert np.abs(VolumeGeometry.of(result.probabilities["WT"]).world - AFFINE).max() <= 1e-4


def test_everything_lies_in_one_folder_and_only_there(world, result):
    hierarchy, folder = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene), result.folder
    assert folder.name == result.name
    shown = [node for node in result.nodes if not node.GetHideFromEditors()]
    assert len(shown) == 8
    assert all(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder.item for node in shown)


def test_maps_are_shown_with_their_own_window_threshold_colours_and_legend(result):
    display = result.probabilities["WT"].GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.05)
    assert display.GetColorNode().GetName() == "LDMSeg probability" and display.GetColorNode().GetNumberOfColors() == 256
    variance = result.variances["WT"].GetDisplayNode()
    highest = float(slicer.util.arrayFromVolume(result.variances["WT"]).max())
    assert 0.8 * highest < variance.GetWindowLevelMax() <= highest  # not 1, which would be all one colour, and not automatic
    assert not variance.GetAutoWindowLevel()
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(result.variances["WT"])
    assert legend.GetTitleText() == "Variance WT" and not legend.GetVisibility()


def test_one_hot_voxel_does_not_darken_the_variance_map(world, specification):
    from LDMSegModule.result.ResultDisplay import ResultDisplay

    array = np.zeros(SHAPE, np.float32)
    array[10:30, 10:30, 10:20] = np.linspace(0.01, 0.1, 20 * 20 * 10).reshape(20, 20, 10)
    array[12, 12, 12] = 5.0
    node = world.volume(array, AFFINE)
    ResultDisplay(world.scene).variance(node, "WT")
    assert node.GetDisplayNode().GetWindowLevelMax() < 0.11


def test_the_table_gives_volumes_with_their_spread(result):
    table = VolumesTable(result.table)
    voxel_ml = abs(np.linalg.det(AFFINE[:3, :3])) / 1000
    labels = segment_array(result)
    assert table.volumes_ml["WT"] == pytest.approx(np.count_nonzero(labels) * voxel_ml, abs=1e-3)
    columns = [result.table.GetTable().GetColumnName(k) for k in range(result.table.GetTable().GetNumberOfColumns())]
    assert columns[2] == "Volume (mL)" and {"Spread from (mL)", "Spread to (mL)", "Members"} <= set(columns)
    assert "not a confidence interval" in result.table.GetDescription() and "Research use only" in result.table.GetDescription()


def test_provenance_is_kept_word_for_word_but_for_what_says_whose_it_is(result, result_folder):
    record = json.loads((result_folder / "provenance.json").read_text(encoding="utf-8"))
    assert "case" in record and "case" not in result.provenance
    assert {**result.provenance, "case": record["case"]} == record
    assert result.segmentation.GetAttribute("LDMSeg.Seed") == "7"
    assert "not a medical device" in result.segmentation.GetAttribute("LDMSeg.IntendedUse")


def test_a_saved_scene_says_neither_whose_images_they_were_nor_where_they_lay(world, specification, tmp_path):
    uid = "1.2.840.113619.2.55.3.604688119.971.1390000000.467"
    where = "/archive/Schmidt_Hans/T1 post"
    inputs = [
        {"sequence": "t1c", "file": "Schmidt.nii.gz", "path": where, "sha256": "ab" * 32},
        {"sequence": "t1n", "series_instance_uid": uid, "path": "C:\\Archive\\Schmidt"},
    ]
    told = [f"the images of '{where}' (series {uid}) show a skull"]
    folder = write_small_result(tmp_path / "Schmidt_Hans", specification, case="Schmidt_Hans", inputs=inputs, notes=told)
    ResultImport(world.scene, specification).load(folder, None)
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        names = archive.namelist()
        text = b"".join(archive.read(name) for name in names if not name.endswith((".nrrd", ".png")))
    for word in ("Schmidt", uid, "rchive"):
        assert word.encode() not in text and not [name for name in names if word in name], word
    assert b"abab" in text and b"uid-sha256" in text


def test_a_second_result_leaves_an_edited_first_one_alone(world, result, result_folder, specification, t1c):
    result.segmentation.GetSegmentation().RemoveSegment("ED")
    before = {node.GetID(): node.GetName() for node in result.nodes}
    second = ResultImport(world.scene, specification).load(result_folder, t1c)
    assert {node.GetID(): node.GetName() for node in result.nodes} == before
    assert not set(before) & {node.GetID() for node in second.nodes}
    assert second.name != result.name and second.folder.item != result.folder.item
    assert result.segmentation.GetSegmentation().GetSegment("ED") is None
    assert second.segmentation.GetSegmentation().GetSegment("ED") is not None


def test_a_result_is_never_guessed_to_be_an_input(world, result, t1c, specification):
    volumes = [world.scene.GetNthNodeByClass(k, "vtkMRMLScalarVolumeNode") for k in range(8)]
    assert SequenceGuess(specification.sequences).guess(v for v in volumes if v) == {"t1c": t1c}


@pytest.mark.parametrize("sheared", [False, True])
def test_a_result_lies_on_its_transformed_input_and_follows_it(world, tmp_path, specification, sheared):
    from LDMSegModule.scene.CaseExport import CaseExport

    t1c = world.volume(image(), AFFINE, "T1c")
    matrix = np.array([[0.96, -0.28, 0, 12], [0.28, 0.96, 0, -7], [0, 0, 1, 31], [0, 0, 0, 1.0]])
    if sheared:
        matrix[0, 1] += 0.2
    transform = world.transform(matrix)
    t1c.SetAndObserveTransformNodeID(transform.GetID())
    exported = nib.load(CaseExport().write({"t1c": t1c}, tmp_path / "in")["t1c"])
    assert np.abs(exported.affine - matrix @ AFFINE).max() <= 1e-4
    folder = write_small_result(tmp_path / "out", specification, exported.affine)
    result = ResultImport(world.scene, specification).load(folder, t1c)
    for node in (result.probabilities["ET"], result.original):
        assert np.abs(VolumeGeometry.of(node).world - matrix @ AFFINE).max() <= 1e-4
    assert result.segmentation.GetParentTransformNode() is transform
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.eye(4)))
    assert np.abs(VolumeGeometry.of(result.probabilities["ET"]).world - AFFINE).max() <= 1e-4


def test_without_its_input_a_result_lies_where_its_file_says(world, result_folder, specification):
    result = ResultImport(world.scene, specification).load(result_folder)
    assert np.abs(VolumeGeometry.of(result.original).world - AFFINE).max() <= 1e-4


def test_a_result_of_an_unknown_bundle_is_still_readable(world, result_folder):
    result = ResultImport(world.scene).load(result_folder)
    assert [label.name for label in result.labels] == ["NCR", "ED", "ET"]
    assert len({label.color for label in result.labels}) == 3


@pytest.mark.parametrize("damage", ["probability_ET.nii.gz", "uncertain_regions.csv", "volumes.csv", "provenance.json", "labels.nii.gz"])
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_damaged_result_is_one_sentence_and_leaves_the_scene_as_it_was(world, tmp_path, result_folder, specification, damage, how):
    folder = tmp_path / "copy of Müller"
    shutil.copytree(result_folder, folder)
    if how == "missing":
        (folder / damage).unlink()
    else:
        (folder / damage).write_bytes((folder / damage).read_bytes()[: 40 if damage.endswith("gz") else 20])
    before = world.scene.GetNumberOfNodes()
    with pytest.raises(InputError) as caught:
        ResultImport(world.scene, specification).load(folder)
    assert damage.split(".")[0] in str(caught.value) and "\n" not in str(caught.value)
    assert world.scene.GetNumberOfNodes() == before


def test_a_failure_half_way_takes_everything_away_again(world, result_folder, specification, t1c, monkeypatch):
    def fail(*_args):
        raise MemoryError("no memory left")

    nodes = {world.scene.GetNthNode(k).GetID() for k in range(world.scene.GetNumberOfNodes())}
    monkeypatch.setattr(VolumesTable, "fill", fail)
    with pytest.raises(MemoryError):
        ResultImport(world.scene, specification).load(result_folder, t1c)
    assert {world.scene.GetNthNode(k).GetID() for k in range(world.scene.GetNumberOfNodes())} == nodes


def test_partial_and_synthetic_results_say_so_in_their_name(world, tmp_path, specification):
    sampling = {"threshold": 0.5, "members_requested": 9, "members_finished": 2}
    folder = write_small_result(tmp_path / "out", specification, synthetic_input=True, sampling=sampling)
    result = ResultImport(world.scene, specification).load(folder)
    assert "(synthetic)" in result.name and "(partial)" in result.name
    assert result.partial and result.synthetic_input


def test_a_saved_scene_comes_back_with_its_results(world, tmp_path, result, specification):
    from scene import new_scene

    LiveThreshold(result).set(0.7)
    result.uncertain_regions.set_reviewed(1)
    labels, record, volumes = segment_array(result), result.provenance, VolumesTable(result.table).volumes_ml
    bundle = tmp_path / "scene é.mrb"
    assert world.scene.WriteToMRB(str(bundle))
    again = new_scene(tmp_path / "cache")
    assert again.scene.ReadFromMRB(str(bundle))
    (found,) = Result.all_in(again.scene)
    assert found.name == result.name and found.provenance == record
    assert np.array_equal(segment_array(found), labels)
    assert found.threshold == pytest.approx(0.7)
    assert VolumesTable(found.table).volumes_ml == pytest.approx(volumes, abs=1e-3)
    assert found.uncertain_regions.is_reviewed(1) and not found.uncertain_regions.is_reviewed(0)
    assert np.abs(VolumeGeometry.of(found.original).world - AFFINE).max() <= 1e-4
    assert found.probabilities["WT"].GetDisplayNode().GetColorNode().GetName() == "LDMSeg probability"
    update = LiveThreshold(found).set(0.4)
    assert update.applied and update.volumes_ml["WT"] > volumes["WT"]


def test_a_result_that_lost_a_node_is_no_longer_offered(world, result, specification):
    world.scene.RemoveNode(result.probabilities["TC"])
    assert Result.all_in(world.scene) == []
    assert not result.exists


def test_the_scene_gives_back_what_was_imported_field_by_field(result):
    found = Result.of(result.segmentation)
    for name in (field.name for field in fields(Result)):
        assert getattr(found, name) == getattr(result, name), name


@pytest.mark.parametrize("stored", ["{", "[]", "{}", '{"labels": [{"name": "ET", "hue": 3}], "regions": [], "smallest_mm3": 0}'])
def test_a_scene_of_another_version_offers_no_result_instead_of_failing(world, result, stored):
    result.segmentation.SetAttribute("LDMSeg.Meaning", stored)
    assert Result.of(result.segmentation) is None and Result.all_in(world.scene) == []


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"ET": "three"}},
        {"labels": {"ET": None}},
        {"regions": {"WT": 3}},
        {"sampling": {"threshold": "half"}},
        {"sampling": [0.5]},
    ],
)
def test_a_record_with_a_damaged_value_is_one_sentence(world, tmp_path, result_folder, specification, change):
    folder = tmp_path / "copy"
    shutil.copytree(result_folder, folder)
    record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    (folder / "provenance.json").write_text(json.dumps({**record, **change}), encoding="utf-8")
    with pytest.raises(InputError, match=r"provenance\.json .*expected"):
        ResultImport(world.scene, specification).load(folder)


def test_segments_survive_a_seg_nrrd_file(world, tmp_path, result):
    storage = slicer.vtkMRMLSegmentationStorageNode()
    world.scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "tumour é.seg.nrrd"))
    assert storage.WriteData(result.segmentation)
    back = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "back")
    assert storage.ReadData(back)
    segmentation = back.GetSegmentation()
    assert {segmentation.GetSegment(i).GetName() for i in segmentation.GetSegmentIDs()} == set(SEGMENTS.values())
    for name in SEGMENTS:
        old, new = result.segmentation.GetSegmentation().GetSegment(name), segmentation.GetSegment(name)
        assert np.allclose(old.GetColor(), new.GetColor(), atol=1e-4)
        tag = slicer.vtkSegment.GetTerminologyEntryTagName()
        assert _tag(new, tag) == _tag(old, tag)
    assert np.array_equal(SegmentLabels(back, result.original, result.labels).read().T, segment_array(result))


def test_the_label_map_volume_survives_a_nifti_file(world, tmp_path, result):
    from LDMSegModule.result.ResultExtras import ResultExtras

    node = ResultExtras(result).label_map()
    assert node.GetDisplayNode().GetColorNode().GetColorName(3) == "ET"
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    world.scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "labels.nii.gz"))
    assert storage.WriteData(node)
    read = nib.load(tmp_path / "labels.nii.gz")
    assert np.array_equal(np.asarray(read.dataobj), segment_array(result))
    assert np.abs(read.affine - AFFINE).max() <= 1e-4


def test_regions_and_surfaces_come_on_demand(result):
    from LDMSegModule.result.ResultExtras import ResultExtras

    extra = ResultExtras(result)
    node = extra.regions()
    assert list(node.GetSegmentation().GetSegmentIDs()) == ["WT", "TC", "ET"]
    whole = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, "WT")
    assert np.count_nonzero(whole) == np.count_nonzero(segment_array(result))
    segmentation = result.segmentation.GetSegmentation()
    assert extra.toggle_surfaces() and segmentation.ContainsRepresentation("Closed surface")
    live = LiveThreshold(result)
    live.set(0.6)
    live.settle()
    assert segmentation.ContainsRepresentation("Closed surface")
    assert not extra.toggle_surfaces() and not segmentation.ContainsRepresentation("Closed surface")
