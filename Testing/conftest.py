"""What all tests share: the repository's modules on the path, a tiny bundle with random weights, and a small case."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE.parent, HERE / "unit", HERE.parent / "LDMSeg"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory) -> Path:
    """A bundle's folder: four sequences, three nested regions, networks of a few thousand random weights. Not to be changed."""
    from tiny_bundle import save_tiny_bundle

    return save_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def small_case(tmp_path_factory) -> Path:
    """The folder of a small made-up case (see `tiny_bundle.save_small_case`). Not to be changed."""
    from tiny_bundle import save_small_case

    return save_small_case(tmp_path_factory.mktemp("cases") / "small_case")
