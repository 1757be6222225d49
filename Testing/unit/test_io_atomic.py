"""Files and folders that are there in whole or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from LDMSegLib.errors import OutputError
from LDMSegLib.io.atomic_file import STALE_SECONDS, atomic_file, write_file
from LDMSegLib.io.atomic_folder import new_folder

ROOT = Path(__file__).resolve().parents[2]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("old")
    with pytest.raises(OutputError, match="no space left on device.*free some space"), atomic_file(file) as unfinished:
        unfinished.write_text("half")
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyError), atomic_file(file) as unfinished:
        unfinished.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"] and file.read_text() == "old"


def test_bytes_and_text_are_written_as_they_are(tmp_path):
    assert write_file(tmp_path / "a.txt", "ä\n").read_bytes() == "ä\n".encode()
    assert write_file(tmp_path / "a.txt", b"\0\1").read_bytes() == b"\0\1"


def test_what_a_killed_run_left_is_cleaned_away_and_what_another_is_writing_is_not(tmp_path):
    old, fresh = tmp_path / ".a.pt.01234567.part", tmp_path / ".a.pt.89abcdef.part"
    for file in (old, fresh):
        file.write_text("half")
    os.utime(old, (time.time() - 2 * STALE_SECONDS,) * 2)
    write_file(tmp_path / "a.pt", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "a.pt"]


def test_an_unfinished_file_has_no_ending_that_anyone_looks_for(tmp_path):
    with atomic_file(tmp_path / "case.npz") as unfinished:
        unfinished.write_text("half")
        assert list(tmp_path.glob("*.npz")) == []


def test_a_new_folder_replaces_only_when_told_and_holds_nested_files(tmp_path):
    for text in ("first", "second"):
        with new_folder(tmp_path / "deep" / "bundle", overwrite=text == "second") as folder:
            (folder / "configs").mkdir()
            (folder / "configs" / "a.json").write_text(text)
    assert (tmp_path / "deep" / "bundle" / "configs" / "a.json").read_text() == "second"
    with pytest.raises(OutputError, match="already exists"), new_folder(tmp_path / "deep" / "bundle"):
        pytest.fail("the work was begun")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bundle"]


def test_a_folder_that_someone_else_made_meanwhile_is_kept(tmp_path):
    with pytest.raises(OutputError, match="already exists"), new_folder(tmp_path / "bundle") as folder:
        (folder / "ours").write_text("")
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "theirs").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "theirs"]


def test_files_are_put_in_place_in_one_way():
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("LDMSegLib", "LDMSeg", "Training")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "atomic_file.py"
        for line in path.read_text("utf-8").splitlines()
        if "os.replace(" in line or '.part"' in line or '.partial"' in line
    ]
    assert found == []
