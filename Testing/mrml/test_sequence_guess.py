"""Which volume is which sequence, from what the scene says; and nothing where it says nothing clear."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from LDMSegModule.scene.SequenceGuess import SequenceGuess

NAMES = [
    ("BraTS-GLI-00012-000-t1n", "BraTS-GLI-00012-000-t1c", "BraTS-GLI-00012-000-t2w", "BraTS-GLI-00012-000-t2f"),
    ("T1", "T1_Gd", "T2", "FLAIR"),
    ("3: AX T1 SE", "9: AX T1 POST GD", "4: AX T2 TSE", "5: AX T2 FLAIR"),
    ("MPRAGE", "MPRAGE/KM", "T2 tse", "TIRM dark fluid"),
]


def volumes(world, names):
    return [world.volume(np.ones((3, 3, 3), np.float32), np.eye(4), name) for name in names]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_common_names_are_told_in_any_order(world, specification, names, order):
    nodes = volumes(world, names)
    guess = SequenceGuess(specification.sequences).guess([nodes[k] for k in order])
    assert guess == dict(zip(("t1n", "t1c", "t2w", "t2f"), nodes, strict=True))


@pytest.mark.parametrize(
    "names",
    [
        ("T1 ohne KM", "T1 tra KM", "T2 tra", "T2 TIRM dark fluid"),
        ("T1 W/O GAD", "T1 W GAD", "T2 TSE", "FLAIR post"),
        ("POST-001_T1", "POST-001_T1ce", "POST-001_T2", "POST-001_FLAIR"),
        ("T1_to_SRI_brain", "T1CE_to_SRI_brain", "T2_to_SRI_brain", "FL_to_SRI_brain"),
    ],
)
def test_negations_sessions_and_other_contrasts_are_read_as_on_the_command_line(world, specification, names):
    nodes = volumes(world, [*names, "T2_star", "T2_perfusion"])
    guess = SequenceGuess(specification.sequences)
    assert guess.guess(nodes) == dict(zip(("t1n", "t1c", "t2w", "t2f"), nodes, strict=False))
    told = {one.node: one for one in guess.guessed}
    assert all(told[node].sequence == "" and "names" in told[node].reason for node in nodes[4:])
    assert all(told[node].reason for node in nodes)


def test_a_native_t1_beside_a_plain_one_is_left_to_the_user_with_the_reason(world, specification):
    native, plain = volumes(world, ["T1 ohne KM", "T1 tra"])
    guess = SequenceGuess(specification.sequences)
    assert guess.guess([native, plain]) == {"t1n": native}
    assert "nothing says" in next(one.reason for one in guess.guessed if one.node is plain)


def test_over_midnight_the_clock_tells_which_t1_came_after_the_one_with_agent(world, specification):
    nodes = volumes(world, ["T1 GD", "T1 a", "T1 b"])
    times = (("20240228", "235900"), ("20240228", "234000"), ("20240229", "000700"))
    tags = {
        (node.GetName(), tag): value
        for node, time in zip(nodes, times, strict=True)
        for tag, value in zip((SequenceGuess.DATE, SequenceGuess.TIME), time, strict=True)
    }
    guess = SequenceGuess(specification.sequences, Tags(tags))
    guess.guess(nodes)
    assert [(one.node.GetName(), "before" in one.reason) for one in guess.guessed if one.sequence == "t1n"] == [("T1 a", True)]


def test_masks_label_maps_and_colour_pictures_are_no_sequences(world, specification):
    mask, seg = volumes(world, ["T1 mask", "case_t1c_seg"])
    labels = world.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "T2")
    colour = world.scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "FLAIR")
    assert SequenceGuess(specification.sequences).guess([mask, seg, labels, colour, None]) == {}


def test_two_candidates_leave_the_choice_to_the_user(world, specification):
    first, second, flair = volumes(world, ["T2", "T2 again", "FLAIR"])
    assert SequenceGuess(specification.sequences).guess([first, second, flair]) == {"t2f": flair}


def test_a_name_that_says_nothing_is_helped_by_the_file_and_the_subject_hierarchy(world, specification):
    by_file, by_folder = volumes(world, ["Volume", "Volume_1"])
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    world.scene.AddNode(storage)
    storage.SetFileName("/data/patient/sub-01_FLAIR.nii.gz")
    by_file.SetAndObserveStorageNodeID(storage.GetID())
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene)
    hierarchy.CreateItem(hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "T1 post contrast"), by_folder)
    guess = SequenceGuess(specification.sequences)
    assert guess.guess([by_file]) == {"t2f": by_file} and guess.guess([by_folder]) == {"t1c": by_folder}


class Tags:
    """DICOM tags of nodes by name."""

    def __init__(self, tags):
        self.tags = tags

    def tag(self, node, tag):
        return self.tags.get((node.GetName(), tag), "")


def test_dicom_says_what_a_name_does_not(world, specification):
    plain, enhanced, described = volumes(world, ["5: T1 SAG", "9: T1 SAG", "12: unknown"])
    tags = Tags(
        {("9: T1 SAG", SequenceGuess.CONTRAST_AGENT): "Gadovist", ("12: unknown", SequenceGuess.DESCRIPTION): "t2_tirm_tra_dark-fluid"}
    )
    guess = SequenceGuess(specification.sequences, tags).guess([plain, enhanced, described])
    assert guess == {"t1n": plain, "t1c": enhanced, "t2f": described}


def test_of_two_patients_the_more_complete_one_is_taken_and_never_a_mixture(world, specification):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene)
    patients = []
    for names in (("T1", "T1c", "T2"), ("T1", "T1c", "T2", "FLAIR"), ("T1", "T2")):
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), f"patient {len(patients)}")
        patients.append(volumes(world, names))
        for node in patients[-1]:
            hierarchy.CreateItem(folder, node)
    guess = SequenceGuess(specification.sequences).guess([node for nodes in patients for node in nodes])
    assert list(guess.values()) == patients[1]
