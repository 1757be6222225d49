"""What is wrong with the chosen volumes is said before anything starts, each in one sentence that names the sequence."""

from __future__ import annotations

import re
import sys

import nibabel as nib
import numpy as np
import pytest
import slicer
from LDMSegModule.checks.Preflight import Preflight

from LDMSegLib.errors import InputError
from LDMSegLib.io.nifti_in import read_volume

SHAPE = (60, 72, 50)
AFFINE = np.array([[-3.0, 0, 0, 90], [0, -3.0, 0, 110], [0, 0, 3.0, -70], [0, 0, 0, 1.0]])


def brain(seed: int = 0, shift: int = 0) -> np.ndarray:
    """About 1.4 litres of noise on 0."""
    index = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    inside = np.roll((index**2).sum(axis=0) < 0.42, shift, axis=0)
    return np.where(inside, np.random.default_rng(seed).normal(500, 60, SHAPE), 0).astype(np.float32)


@pytest.fixture
def case(world):
    return {name: world.volume(brain(k), AFFINE, name) for k, name in enumerate(("t1n", "t1c", "t2w", "t2f"))}


def said(specification, nodes, severity=None) -> str:
    findings = Preflight(specification).check(nodes)
    for finding in findings:
        assert (finding.text.endswith(".") and "\n" not in finding.text and finding.text[0].isupper()) or finding.text[0] in "'t"
    return " | ".join(f.text for f in findings if severity is None or f.severity == severity)


def test_a_good_case_has_nothing_to_say(specification, case):
    assert Preflight(specification).check(case) == []


def test_rounding_in_the_fourth_digit_is_no_other_grid(world, specification, case):
    off = AFFINE.copy()
    off[:3, :3] += 2e-4
    off[:3, 3] += 4e-4
    case["t2f"] = world.volume(brain(3), off, "t2f")
    assert Preflight(specification).check(case) == []


def test_the_same_grid_stored_along_other_axes_is_no_other_grid(world, specification, case):
    flipped = AFFINE @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    case["t2w"] = world.volume(brain(2)[::-1].transpose(0, 2, 1), flipped, "t2w")
    assert Preflight(specification).check(case) == []


def test_missing_sequences_and_none_at_all(specification, case):
    assert "T1 post-contrast" in said(specification, {**case, "t1c": None}, "problem")
    assert "No volume is chosen yet" in said(specification, {}, "problem")


def test_a_sequence_the_model_can_do_without_is_only_a_warning(specification, case):
    from dataclasses import replace

    lenient = replace(specification, sequences=tuple(replace(s, required=s.name != "t2f") for s in specification.sequences))
    assert said(lenient, {**case, "t2f": None}, "problem") == "" and "less sure" in said(lenient, {**case, "t2f": None}, "warning")


def test_the_same_volume_twice_is_a_problem_by_node_and_by_content(world, specification, case):
    assert "both as t1n and as t1c" in said(specification, {**case, "t1n": case["t1c"]}, "problem")
    assert "hold the same image" in said(specification, {**case, "t1n": world.volume(brain(1), AFFINE, "copy")}, "problem")


def test_deleted_empty_tiny_constant_and_foreign_nodes_are_problems(world, specification, case):
    scene = world.scene
    deleted = world.volume(brain(9), AFFINE, "gone")
    scene.RemoveNode(deleted)
    nothing = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    tiny = world.volume(brain()[:4, :4, :4], AFFINE, "tiny")
    constant = world.volume(np.full(SHAPE, 7, np.int16), AFFINE, "constant")
    small = world.volume(brain(), np.diag([0.01, 0.01, 0.01, 1]), "small")
    holes = world.volume(np.where(brain() > 0, np.nan, 0).astype(np.float32), AFFINE, "holes")
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    words = {
        deleted: "was deleted",
        nothing: "no voxels",
        tiny: "4×4×4 voxels",
        constant: "is empty",
        small: "measures",
        holes: "not numbers",
        labels: "label map",
        model: "not a grey-value volume",
    }
    for node, word in words.items():
        assert word in said(specification, {**case, "t2w": node}, "problem"), word


@pytest.mark.parametrize("shape", [(7, 40, 40), (8, 40, 40), (40, 40, 40)])
@pytest.mark.parametrize("spacing", [0.09, 0.11, 0.7, 0.76, 0.9, 4.0, 19.9, 20.1])
def test_the_panel_refuses_the_sizes_that_the_command_refuses(world, specification, case, shape, spacing, tmp_path):
    affine = np.diag([spacing, spacing, spacing, 1.0])
    array = np.random.default_rng(0).integers(1, 200, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "t2w.nii")
    try:
        read_volume(tmp_path / "t2w.nii")
        refused = False
    except InputError:
        refused = True
    problems = [f for f in Preflight(specification).check({"t2w": world.volume(array, affine, "t2w")}) if f.severity == "problem"]
    assert bool([f for f in problems if "'t2w' (t2w)" in f.text]) == refused


def test_other_grids_are_resampled_and_said_so(world, specification, case):
    coarse = AFFINE @ np.diag([1, 1, 2, 1.0])
    case["t2f"] = world.volume(brain(3)[:, :, ::2], coarse, "t2f")
    text = said(specification, case, "warning")
    assert "t2f has another voxel grid than t1c" in text and "3×3×6 mm instead of 3×3×3" in text and "resampled" in text


def test_volumes_far_apart_are_a_problem_and_shifted_brains_a_warning(world, specification, case):
    far = AFFINE.copy()
    far[0, 3] += 900
    assert "nowhere near" in said(specification, {**case, "t2w": world.volume(brain(2), far, "t2w")}, "problem")
    assert "co-registered" in said(specification, {**case, "t2w": world.volume(brain(2, shift=7), AFFINE, "t2w")}, "warning")


def test_moving_a_volume_by_a_transform_counts(world, specification, case):
    matrix = np.eye(4)
    matrix[:3, 3] = (24, 0, 0)
    case["t2w"].SetAndObserveTransformNodeID(world.transform(matrix).GetID())
    assert "24.0 mm away" in said(specification, case, "warning") and "co-registered" in said(specification, case, "warning")


def test_a_skull_is_noticed(world, specification, case):
    head = np.random.default_rng(5).normal(200, 50, SHAPE).astype(np.float32)
    text = said(specification, {**case, "t1c": world.volume(head, AFFINE, "t1c")}, "warning")
    assert "T1c seem not to be skull-stripped" in text


def told(specification, nodes, prepare) -> list[tuple[str, str]]:
    return [(f.severity, f.text) for f in Preflight(specification, prepare).check(nodes)]


def test_what_preparing_will_put_right_is_announced_and_not_complained_of(world, specification, case):
    head = np.random.default_rng(5).normal(200, 50, SHAPE).astype(np.float32)
    ((severity, text),) = told(specification, {**case, "t1c": world.volume(head, AFFINE, "t1c")}, "automatic")
    assert severity == "warning" and "t1n, t2w, t2f will be registered to t1c and the brain will be extracted (t1c with skull)" in text
    assert "takes about 32 s more on two CPU cores" in text
    ((severity, text),) = told(specification, {**case, "t2w": world.volume(brain(2, shift=7), AFFINE, "t2w")}, "automatic")
    assert severity == "warning" and "t2w will be registered to t1c (t2w not where t1c is)" in text and "brain" not in text
    coarse = AFFINE @ np.diag([1, 1, 2, 1.0])
    ((_, text),) = told(specification, {**case, "t2f": world.volume(brain(3)[:, :, ::2], coarse, "t2f")}, "automatic")
    assert "t2f will be registered to t1c" in text


def test_brains_that_do_not_overlap_stop_a_run_only_where_nothing_is_prepared(world, specification, case):
    far = AFFINE.copy()
    far[0, 3] += 140
    nodes = {**case, "t2w": world.volume(brain(2), far, "t2w")}
    severities = {choice: [severity for severity, _ in told(specification, nodes, choice)] for choice in ("never", "automatic", "always")}
    assert "problem" in severities["never"]
    assert severities["automatic"] == severities["always"] == ["warning"]


def test_images_nowhere_near_each_other_are_prepared_only_when_that_was_asked_for(world, specification, case):
    far = AFFINE.copy()
    far[0, 3] += 900
    nodes = {**case, "t2w": world.volume(brain(2), far, "t2w")}
    assert next(severity for severity, _ in told(specification, nodes, "automatic")) == "problem"
    assert [severity for severity, _ in told(specification, nodes, "always")] == ["warning"]


def test_prepared_images_have_nothing_to_say_unless_preparing_is_asked_for(specification, case):
    assert told(specification, case, "automatic") == []
    ((_, text),) = told(specification, case, "always")
    assert "t1n, t2w, t2f will be registered to t1c" in text


def test_problems_come_first_and_name_their_sequences(specification, case, world):
    findings = Preflight(specification).check({**case, "t1c": None, "t2w": world.volume(brain(2, shift=7), AFFINE, "t2w")})
    assert [f.severity for f in findings] == ["problem", "warning"]
    assert findings[0].sequences == ("t1c",) and "t2w" in findings[1].sequences


def test_looking_at_volumes_changes_nothing(specification, case):
    before = [(node.GetMTime(), slicer.util.arrayFromVolume(node).sum()) for node in case.values()]
    Preflight(specification).check(case)
    assert [(node.GetMTime(), slicer.util.arrayFromVolume(node).sum()) for node in case.values()] == before


def test_the_scene_side_needs_neither_torch_nor_monai_nor_nibabel():
    import subprocess
    from pathlib import Path

    root = Path(__file__).parents[2]
    files = sorted((root / "LDMSeg" / "LDMSegModule").rglob("*.py"))
    # what draws the panel needs Qt, which only the application has
    scene_side = [
        ".".join(f.relative_to(root / "LDMSeg").with_suffix("").parts)
        for f in files
        if f.stem != "__init__" and not re.search(r"slicer.i18n|import qt|import ctk", f.read_text("utf-8"))
    ]
    assert {"CaseExport", "Preflight", "ResultImport", "SequenceGuess", "SyntheticImport"} <= {name.split(".")[-1] for name in scene_side}
    code = f"""
import sys
sys.path[:0] = [{str(root)!r}, {str(root / "LDMSeg")!r}]
sys.modules.update(dict.fromkeys(("torch", "monai", "nibabel", "safetensors")))
import importlib
for name in {scene_side!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
