"""Fixtures on the real MRML scene of slicer-core: a scene as the application has it, and a small result in it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parents[1] / "LDMSeg"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


class NeedsSlicer(pytest.Module):
    """A file of tests that cannot even be imported without Slicer's libraries: skipped, with the reason."""

    def collect(self):
        pytest.skip("slicer-core is not installed, so the scene cannot be tested: pip install slicer-core")


def pytest_pycollect_makemodule(module_path, parent):
    if find_spec("slicer") is None and "import slicer" in module_path.read_text(encoding="utf-8"):
        return NeedsSlicer.from_parent(parent, path=module_path)
    return None


@pytest.fixture
def world(tmp_path):
    """A fresh scene with its logics (see `scene.SceneWithLogics`)."""
    from scene import new_scene

    return new_scene(tmp_path)


@pytest.fixture(scope="session")
def specification():
    """The default bundle's."""
    from LDMSegLib.models.bundle import find_bundle

    return find_bundle().specification


@pytest.fixture(scope="session")
def result_folder(tmp_path_factory, specification) -> Path:
    """A small result as the program writes it (see `small_result.write_small_result`). Not to be changed."""
    from small_result import write_small_result

    return write_small_result(tmp_path_factory.mktemp("results") / "result", specification)


@pytest.fixture
def t1c(world):
    """The volume the small result belongs to."""
    from small_result import AFFINE, image

    return world.volume(image(), AFFINE, "Patient 1 T1c")


@pytest.fixture
def result(world, result_folder, specification, t1c):
    """The small result in the scene, on its T1c."""
    from LDMSegModule.result.ResultImport import ResultImport

    return ResultImport(world.scene, specification).load(result_folder, t1c)
