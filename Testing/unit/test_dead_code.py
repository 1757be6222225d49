"""What only tests use is no part of the library."""

from __future__ import annotations

import pytest
from dead_code import unread

ROOMS = ("LDMSegLib/evaluation", "LDMSegLib/synthesis", "LDMSegLib/postprocessing", "LDMSegLib/models", "LDMSegLib/diffusion", "Training")


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return unread()


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_is_kept_alive_by_tests_alone(found, room):
    assert [f"{place}: {name}" for name, place in found.items() if place.startswith(f"{room}/")] == []


def test_a_function_that_nothing_reads_is_found(tmp_path, monkeypatch):
    import dead_code

    (tmp_path / "LDMSegLib").mkdir()
    functions = "def used():\n    return 1\n\n\ndef left_over():\n    return used()\n\n\n"
    text = functions + "class Kept:\n    def called(self): ...\n    def forgotten(self): ...\n"
    (tmp_path / "LDMSegLib" / "part.py").write_text(text, encoding="utf-8")
    (tmp_path / "Training").mkdir()
    (tmp_path / "Training" / "reader.py").write_text("from LDMSegLib.part import Kept\n\nKept().called()\n", encoding="utf-8")
    monkeypatch.setattr(dead_code, "ROOT", tmp_path)
    assert set(dead_code.unread()) == {"left_over", "forgotten"}
