"""What provenance.json says."""

import hashlib
import json
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from LDMSegLib.io.input_record import describe_input
from LDMSegLib.results.provenance import build_provenance, describe_geometry, plain, software_versions


def record(**changes):
    values = {
        "bundle": {"name": "b", "version": "1", "sha256": {"unet.safetensors": "00"}},
        "inputs": [],
        "geometry": describe_geometry((2, 3, 4), np.diag([1.0, 2.0, 3.0, 1.0])),
        "seed": np.int64(7),
        "mode": "fast",
        "sampler": "dpm",
        "steps": 8,
        "members_requested": 10,
        "members_finished": 10,
        "threshold": np.float32(0.5),
        "device": {"kind": "cpu"},
        "threads": 2,
        "timings": {"sample": 1.23456},
    }
    return build_provenance(**(values | changes))


def test_it_survives_json_unchanged():
    made = record(warnings=("one",), extra_note={"a": (1, 2)})
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert made["sampling"]["seed"] == 7 and made["extra_note"] == {"a": [1, 2]}


def test_it_says_research_use_only():
    assert "Research use only" in record()["intended_use"] and "not a medical device" in record()["intended_use"]


def test_an_unfinished_ensemble_is_partial():
    assert record(members_finished=9)["partial"] is True
    assert record()["partial"] is False


def test_an_input_is_known_by_the_hash_of_its_bytes(tmp_path):
    path = tmp_path / "t1.nii.gz"
    path.write_bytes(b"voxels")
    described = describe_input("t1c", path)
    assert described["sha256"] == hashlib.sha256(b"voxels").hexdigest()
    assert (described["sequence"], described["file"], described["bytes"]) == ("t1c", "t1.nii.gz", 6)


def test_the_geometry_tells_spacing_and_affine():
    affine = np.array([[0, -2.0, 0, 1], [1.5, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]])
    described = describe_geometry(np.array([5, 6, 7]), affine)
    assert described == {"shape": [5, 6, 7], "spacing_mm": [1.5, 2.0, 4.0], "affine_ras_mm": affine.tolist()}


def test_the_time_is_written_in_utc():
    noon_elsewhere = datetime(2026, 5, 1, 12, 0, tzinfo=timezone(timedelta(hours=5)))
    assert record(finished_at=noon_elsewhere)["finished_at"] == "2026-05-01T07:00:00+00:00"


def test_versions_name_what_is_installed_and_skip_what_is_not():
    versions = software_versions(("numpy", "surely-not-a-package"))
    assert versions["numpy"] == np.__version__
    assert "surely-not-a-package" not in versions and {"LDMSeg", "python"} <= set(versions)


def test_a_number_json_has_no_word_for_becomes_null_and_an_object_is_refused():
    assert plain({"a": [float("nan"), np.float32("inf"), 1.5]}) == {"a": [None, None, 1.5]}
    with pytest.raises(TypeError, match="object cannot go into provenance.json"):
        plain({"a": object()})
