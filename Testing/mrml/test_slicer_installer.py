"""Installing by Slicer's own functions: what pip is given, and one sentence for each way to fail. Nothing is installed here."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs the package slicer-core")

import slicer.util
from LDMSegModule.install.Installation import InstallationError
from LDMSegModule.install.SlicerInstaller import SlicerInstaller


@pytest.fixture
def pip(monkeypatch):
    """`slicer.util.pip_install`, writing down what it is given and what the constraints say."""
    calls = []

    def pip_install(arguments, **_):
        constraints = Path(arguments[arguments.index("--constraint") + 1]).read_text()
        calls.append((arguments[2:], constraints.split()))

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    return calls


def the_pytorch_extension(monkeypatch, install):
    module = types.ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = lambda: types.SimpleNamespace(installTorch=install)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)


def test_slicers_own_packages_are_held_where_they_are(pip):
    SlicerInstaller().install(["monai>=1.6.1", "numpy>=1.26"])
    arguments, constraints = pip[0]
    assert arguments == ["monai>=1.6.1", "numpy>=1.26"]
    assert any(line.startswith("scipy==") for line in constraints)
    assert not any(line.startswith("numpy==") for line in constraints), "what is to be installed anew may change"


def test_a_failing_pip_is_one_sentence(monkeypatch):
    def pip_install(arguments, **_):
        raise subprocess.CalledProcessError(1, arguments)

    monkeypatch.setattr(slicer.util, "pip_install", pip_install)
    with pytest.raises(InstallationError, match=r"monai>=1.6.1 could not be installed \(pip ended with 1\).*From a folder"):
        SlicerInstaller().install(["--no-index", "monai>=1.6.1"])


def test_torch_is_asked_of_the_pytorch_extension_alone(monkeypatch, pip):
    asked = []
    the_pytorch_extension(monkeypatch, lambda **options: asked.append(options) or "torch")
    SlicerInstaller().install_torch(">=2.8")
    assert asked == [{"askConfirmation": False, "torchVersionRequirement": ">=2.8"}] and pip == []


def test_without_the_pytorch_extension_the_user_is_told_where_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(InstallationError, match="Extensions Manager"):
        SlicerInstaller().install_torch(">=2.8")


@pytest.mark.parametrize("failure", [None, ValueError("no wheel for this driver")])
def test_a_torch_that_was_not_installed_is_told(monkeypatch, failure):
    def install(**_):
        if failure:
            raise failure

    the_pytorch_extension(monkeypatch, install)
    with pytest.raises(InstallationError, match="no wheel for this driver" if failure else "was not installed"):
        SlicerInstaller().install_torch(">=2.8")
