"""A scene is passed on: what it keeps of a run says neither whose images they were nor where they lay."""

from __future__ import annotations

import json

import pytest
from LDMSegModule.result.SceneRecord import for_scene, sentence_for_scene

UID = "1.2.840.113619.2.55.3.604688119.971.1390000000.467"


@pytest.mark.parametrize(
    "place",
    [
        "/home/mueller/Patients/Schmidt_Hans/t1c.nii.gz",
        "/data/x.nii",
        "C:\\Users\\Müller\\Schmidt\\t1.nii.gz",
        "D:/archive/Schmidt/IM0001",
        "\\\\pacs\\share\\Schmidt",
        "~/Schmidt/t1",
        "file:///home/mueller/Schmidt.nii",
    ],
)
@pytest.mark.parametrize("around", ["{}", "'{}' could not be read; choose another", "read {}, twice", "({})", "of {}: 3 slices."])
def test_no_path_is_left_in_a_sentence(place, around):
    said = sentence_for_scene(around.format(place))
    for word in ("Schmidt", "ller", "x.nii", "archive", "pacs", "home"):
        assert word not in said, said
    assert "…" in said and said.replace("…", "") == around.format("")


def test_a_quoted_path_with_blanks_goes_whole():
    assert sentence_for_scene("the folder '/mnt/Schmidt, Hans *1950/T1 post' holds 3 files") == "the folder '…' holds 3 files"


@pytest.mark.parametrize("name", ["Schmidt_Hans_T1.nii.gz", "Schmidt.NRRD", "IM_Schmidt.dcm"])
def test_no_name_of_an_image_file_is_left(name):
    for around in ("{}", "not used: {} (a mask)", "'{}' has no voxels; choose another", "both {}, and more."):
        assert sentence_for_scene(around.format(name)) == around.format("…")
    assert sentence_for_scene("'Schmidt, Hans T1.nii' is empty") == "'…' is empty"
    assert sentence_for_scene("Schmidt Hans T1.nii.gz") == "…"


@pytest.mark.parametrize(
    "text",
    [
        "t1n onto t1c: moved by 15.6 mm, turned by 13.5°; fits 4.1 times as well as 8 mm away, expected at least 2.1",
        "the T1/T2 contrast and 5 km/h, and/or version 1.2.3 of 2026-03-04T12:00:00+00:00",
        "1.0 / 2.0 mL, 3:4, 'a' or \"b\", Linux-6.1.0-x86_64-with-glibc2.36, torch 2.8.0+cpu",
        "Research use only — not a medical device; not for diagnosis or treatment.",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert sentence_for_scene(text) == text


def test_a_uid_becomes_a_hash_that_is_the_same_each_time():
    one, two = for_scene({"series_instance_uid": UID, "why": f"series {UID}, the longer one."}).values()
    assert UID not in one + two and one in two and one.startswith("uid-sha256:")
    assert for_scene({"uid": UID + "1"})["uid"] != one


def test_the_names_a_person_gave_are_dropped_at_any_depth_and_the_numbers_stay():
    record = {
        "case": "Schmidt_Hans",
        "inputs": [{"sequence": "t1c", "file": "Schmidt.nii.gz", "path": "/x/Schmidt.nii.gz", "sha256": "ab" * 32, "bytes": 12}],
        "sampling": {"seed": 7, "threshold": 0.5},
        "preparation": {"source": {"folder": "Schmidt"}, "matrices_ras_mm": {"t1n_to_t1c": [[1.0, 0.0], [0.0, 1.0]]}},
        "files": {"labels.nii.gz": "cd" * 32},
        "warnings": ["the image '/x/Schmidt.nii.gz' has a skull"],
    }
    kept = for_scene(record)
    assert "Schmidt" not in json.dumps(kept)
    assert kept["inputs"] == [{"sequence": "t1c", "sha256": "ab" * 32, "bytes": 12}] and kept["files"] == record["files"]
    assert kept["sampling"] == record["sampling"] and kept["preparation"]["matrices_ras_mm"] == record["preparation"]["matrices_ras_mm"]
    assert record["case"] == "Schmidt_Hans", "the record itself stays as it is"
