"""Parameters that the real command line understands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from LDMSegModule.parameters.SegmentParameters import DEEPBET, HD_BET, SegmentParameters
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


def test_the_command_line_understands_every_argument(parameters):
    full = replace(parameters, bundle="ldmseg-small", mode="paper", members=3, steps=4, seed=5, threshold=0.25, device="cpu", batch_size=2)
    name, *arguments = replace(full, synthetic=True).arguments()
    read = segment._parser(SPECIFICATION).parse_args(arguments)
    assert name == "segment" and vars(read)["file:t1c"] == parameters.inputs["t1c"]
    assert (read.output, read.bundle, read.mode, read.members, read.steps, read.seed) == (full.output, "ldmseg-small", "paper", 3, 4, 5)
    assert (read.threshold, read.device, read.batch_size) == (0.25, "cpu", 2)
    assert read.synthetic and not read.overwrite


def test_what_is_left_to_the_bundle_is_not_said(parameters):
    said = parameters.arguments()
    assert not {"--members", "--steps", "--mode", "--bundle", "--threshold", "--prepare", "--overwrite"} & set(said)
    assert not {"--brain-mask", "--brain-extraction", "--site-rules", "--synthetic"} & set(said)


def test_preparation_is_passed_on(parameters):
    assert replace(parameters, prepare="never").arguments()[-2:] == ["--prepare", "never"]


def test_the_site_rules_are_passed_on_and_kept_for_another_try(parameters, tmp_path):
    for run in (full := replace(parameters, site_rules=tmp_path / "our words.tsv"), full.with_less_memory()):
        assert segment._parser(SPECIFICATION).parse_args(run.arguments()[1:]).site_rules == tmp_path / "our words.tsv"


def test_how_the_brain_is_found_is_passed_on_and_kept_for_another_try(parameters, tmp_path):
    mask = tmp_path / "a brain.nii"
    mask.touch()
    full = replace(parameters, brain_extraction="hd-bet", brain_mask=mask)
    for run in (full, full.with_less_memory()):
        read = segment._parser(SPECIFICATION).parse_args(run.arguments()[1:])
        assert (read.brain_extraction, read.brain_mask) == ("hd-bet", mask)


def test_the_extractions_are_those_of_the_library():
    assert {DEEPBET, HD_BET} == set(skull_strip.METHODS)


def test_less_memory_means_smaller_batches_then_one_at_a_time_then_the_cpu_then_nothing(parameters):
    tried = []
    current = parameters
    while current is not None:
        tried.append((current.batch_size, current.device))
        current = current.with_less_memory()
    assert tried == [(8, "auto"), (2, "auto"), (1, "auto"), (1, "cpu")]


def test_masks_are_asked_for_in_words_that_the_command_line_understands(tmp_path):
    request = SynthesizeParameters(tmp_path / "masks", count=3, seed=4, min_volume_ml=0.5, like=tmp_path, bundle="b")
    name, *arguments = request.arguments()
    read = synthesize._parser().parse_args(arguments)
    assert name == "synthesize" and (read.count, read.seed, read.min_volume, read.like) == (3, 4, 0.5, tmp_path)
    assert read.bundle == "b" and not read.any_shape and not read.overwrite
    assert synthesize._parser().parse_args(replace(request, any_shape=True).arguments()[1:]).any_shape
