"""What models there are, and that only a user's own can be deleted."""

from __future__ import annotations

import os
import shutil

import pytest
from LDMSegModule.install.ModelManager import ModelError, ModelManager

from LDMSegLib.models import bundle as bundles


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A user's own folder for models."""
    folder = tmp_path / "my models"
    folder.mkdir()
    monkeypatch.setattr(bundles, "user_folder", lambda: folder)
    monkeypatch.setattr("LDMSegModule.install.ModelManager.user_folder", lambda: folder)
    monkeypatch.delenv("LDMSEG_BUNDLES", raising=False)
    return folder


def named(name: str):
    return next(model for model in ModelManager().models() if model.name == name)


def test_every_model_says_where_it_is_and_how_large(mine, tiny_bundle):
    shutil.copytree(tiny_bundle, mine / "own")
    own, embedded = named("own"), next(model for model in ModelManager().models() if model.default)
    size = sum(path.stat().st_size for path in (mine / "own").rglob("*") if path.is_file())
    assert own.megabytes == pytest.approx(size / 1e6) and own.origin == "user" and str(mine) in own.text
    assert embedded.origin == "embedded" and embedded.megabytes > 5 and "part of LDMSeg" in embedded.text
    assert embedded.modes[0] == embedded.bundle.specification.default_mode and "synthesis" not in embedded.modes


def test_a_damaged_model_is_listed_with_its_problem(mine, tiny_bundle):
    shutil.copytree(tiny_bundle, mine / "own")
    (mine / "own" / "configs" / "inference.json").write_text("{")
    assert "not readable JSON" in named("own").problem and named("own").can_be_deleted and named("own").modes == ()


def test_a_users_model_is_deleted_whole(mine, tiny_bundle):
    shutil.copytree(tiny_bundle, mine / "own")
    sentence = ModelManager().delete(named("own"))
    assert "'own' was deleted" in sentence and list(mine.iterdir()) == []


def test_the_embedded_model_stays(mine):
    embedded = next(model for model in ModelManager().models() if model.origin == "embedded")
    with pytest.raises(ModelError, match="is part of LDMSeg and stays"):
        ModelManager().delete(embedded)
    assert embedded.folder.is_dir()


def test_a_model_elsewhere_is_not_touched(mine, tiny_bundle, tmp_path, monkeypatch):
    shutil.copytree(tiny_bundle, tmp_path / "shared" / "theirs")
    monkeypatch.setenv("LDMSEG_BUNDLES", str(tmp_path / "shared"))
    with pytest.raises(ModelError, match="delete it there"):
        ModelManager().delete(named("theirs"))
    assert (tmp_path / "shared" / "theirs").is_dir()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_of_a_link_only_the_link_goes(mine, tiny_bundle, tmp_path):
    original = shutil.copytree(tiny_bundle, tmp_path / "original")
    (mine / "linked").symlink_to(original)
    assert "link" in ModelManager().delete(named("linked"))
    assert original.is_dir() and list(mine.iterdir()) == []


def test_what_has_gone_meanwhile_is_told(mine, tiny_bundle):
    shutil.copytree(tiny_bundle, mine / "own")
    model = named("own")
    shutil.rmtree(mine / "own")
    with pytest.raises(ModelError, match="could not be deleted"):
        ModelManager().delete(model)


def test_verification_is_a_command_of_the_command_line(mine, tiny_bundle, capsys):
    from commandline import run_here

    shutil.copytree(tiny_bundle, mine / "own")
    assert run_here(capsys, *ModelManager().verify_arguments(named("own"))).code == 0
