"""Parameters that can say what is wrong with them, and that the real command line understands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from LDMSegModule.parameters.SegmentParameters import EXTRACTIONS, SegmentParameters
from LDMSegModule.parameters.SynthesizeParameters import SynthesizeParameters

from LDMSegLib.cli import segment, synthesize
from LDMSegLib.models.bundle import find_bundle
from LDMSegLib.preprocessing import skull_strip

SPECIFICATION = find_bundle().specification


@pytest.fixture
def parameters(tmp_path) -> SegmentParameters:
    files = {}
    for name in SPECIFICATION.sequence_names:
        files[name] = tmp_path / f"a {name}.nii.gz"
        files[name].touch()
    return SegmentParameters(files, tmp_path / "out")


def test_what_can_be_run_has_no_problems(parameters):
    assert parameters.problems() == [] and parameters.problems(SPECIFICATION) == []


def test_the_command_line_understands_every_argument(parameters):
    full = replace(
        parameters, bundle="ldmseg-small", mode="paper", members=3, steps=4, seed=5, threshold=0.25, device="cpu", batch_size=2, threads=1
    )
    name, *arguments = replace(full, synthetic=True, overwrite=True).arguments()
    read = segment._parser(SPECIFICATION).parse_args(arguments)
    assert name == "segment" and vars(read)["file:t1c"] == parameters.inputs["t1c"]
    assert (read.output, read.bundle, read.mode, read.members, read.steps, read.seed) == (full.output, "ldmseg-small", "paper", 3, 4, 5)
    assert (read.threshold, read.device, read.batch_size, read.threads) == (0.25, "cpu", 2, 1)
    assert read.synthetic and read.overwrite


def test_what_is_left_to_the_bundle_is_not_said(parameters):
    said = parameters.arguments()
    assert not {"--members", "--steps", "--mode", "--bundle", "--threshold", "--prepare", "--overwrite"} & set(said)
    assert not {"--brain-mask", "--brain-extraction"} & set(said)


def test_preparation_is_passed_on(parameters):
    assert replace(parameters, prepare="never").arguments()[-2:] == ["--prepare", "never"]


def test_how_the_brain_is_found_is_passed_on_and_kept_for_another_try(parameters, tmp_path):
    mask = tmp_path / "a brain.nii"
    mask.touch()
    full = replace(parameters, brain_extraction="hd-bet", brain_mask=mask)
    assert full.problems() == []
    for run in (full, full.with_less_memory()):
        read = segment._parser(SPECIFICATION).parse_args(run.arguments()[1:])
        assert (read.brain_extraction, read.brain_mask) == ("hd-bet", mask)


def test_the_extractions_are_those_of_the_library():
    assert set(EXTRACTIONS) == set(skull_strip.METHODS)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"members": 0}, "number of members is 0"),
        ({"steps": -1}, "number of steps is -1"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"threshold": 0.0}, "threshold is 0"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"prepare": "perhaps"}, "Preparation is 'perhaps'"),
        ({"brain_extraction": "a saw"}, "Brain extraction is 'a saw', expected one of deepbet, hd-bet"),
        ({"brain_mask": Path("nowhere.nii")}, "nowhere.nii of the brain mask is not there"),
        ({"mode": "telepathy"}, "no mode 'telepathy'"),
        ({"inputs": {}}, "No volume is chosen for T1 post-contrast"),
        ({"inputs": {"t1n": Path("nowhere.nii.gz")}}, "nowhere.nii.gz of t1n is not there"),
    ],
)
def test_each_problem_is_a_sentence(parameters, change, words):
    problems = replace(parameters, **change).problems(SPECIFICATION)
    assert any(words in problem for problem in problems) and all(problem.endswith((".", ";")) for problem in problems)


def test_less_memory_means_smaller_batches_then_one_at_a_time_then_the_cpu_then_nothing(parameters):
    tried = []
    current = parameters
    while current is not None:
        tried.append((current.batch_size, current.device))
        current = current.with_less_memory()
    assert tried == [(8, "auto"), (2, "auto"), (1, "auto"), (1, "cpu")]


def test_masks_are_asked_for_in_words_that_the_command_line_understands(tmp_path):
    request = SynthesizeParameters(
        tmp_path / "masks", count=3, seed=4, min_volume_ml=0.5, like=tmp_path, bundle="b", steps=5, threshold=0.4, threads=1, overwrite=True
    )
    name, *arguments = request.arguments()
    read = synthesize._parser().parse_args(arguments)
    assert name == "synthesize" and (read.count, read.seed, read.min_volume, read.like) == (3, 4, 0.5, tmp_path)
    assert (read.bundle, read.steps, read.threshold, read.threads, read.overwrite) == ("b", 5, 0.4, 1, True)
    assert not read.any_shape
    assert synthesize._parser().parse_args(replace(request, any_shape=True).arguments()[1:]).any_shape


@pytest.mark.parametrize(
    "change, words",
    [
        ({"count": 0}, "number of masks is 0"),
        ({"seed": -3}, "seed is -3"),
        ({"min_volume_ml": float("nan")}, "smallest volume"),
        ({"threshold": 2.0}, "threshold is 2"),
        ({"like": Path("gone.nii")}, "gone.nii is not there"),
    ],
)
def test_each_problem_of_a_wish_for_masks_is_a_sentence(tmp_path, change, words):
    problems = replace(SynthesizeParameters(tmp_path), **change).problems(SPECIFICATION)
    assert len(problems) == 1 and words in problems[0]


def test_a_bundle_that_needs_an_image_cannot_draw_masks(tmp_path):
    without = replace(SPECIFICATION, synthesis_mode="solver")
    assert "cannot draw masks" in SynthesizeParameters(tmp_path).problems(without)[0]
