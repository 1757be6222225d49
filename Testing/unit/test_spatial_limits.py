"""One number for each limit, and geometry that needs numpy alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from LDMSegLib.spatial import limits

ROOT = Path(__file__).resolve().parents[2]
LIMITS = {name for name in vars(limits) if name.isupper()}
# What only a limit of images would be called.
_KINDS = ("_EXTENT_MM", "_SPACING_MM", "_GRID_MM", "_COVERAGE", "_OVERLAP_DICE", "_FOREGROUND_DICE", "_BRAIN_ML", "_VOXELS")
_OTHERS = {"_MOST_VOXELS", "_PARALLEL_VOXELS", "LEAST_VOXELS"}  # of memory, of arithmetic, of a sample: not of an image


def numbers_named_as_limits(text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign):
            names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            if any(isinstance(part, ast.Constant) and isinstance(part.value, (int, float)) for part in ast.walk(node.value)):
                found += [n for n in names if n.isupper() and n not in _OTHERS and (n.lstrip("_") in LIMITS or n.endswith(_KINDS))]
    return found


@pytest.mark.parametrize("folder", ["LDMSegLib", "LDMSeg"])
def test_no_limit_of_images_stands_twice(folder):
    files = [path for path in (ROOT / folder).rglob("*.py") if path.name != "limits.py"]
    assert {str(path): found for path in files if (found := numbers_named_as_limits(path.read_text("utf-8")))} == {}


def test_a_second_number_is_seen():
    assert numbers_named_as_limits("SMALLEST_EXTENT_MM = 40.0\nLEAST_COVERAGE, OTHER = 0.9, 2\n_x = 3\n") == [
        "SMALLEST_EXTENT_MM",
        "LEAST_COVERAGE",
    ]


def test_volumes_and_grids_need_numpy_alone():
    modules = [f"LDMSegLib.spatial.{name}" for name in ("affine", "boxes", "foreground", "grids", "limits", "nearest", "volume")]
    modules += ["LDMSegLib.preprocessing.quality", "LDMSegLib.io.atomic_file", "LDMSegLib.io.atomic_folder", "LDMSegLib.models.bundle"]
    code = f"""
import sys, importlib
sys.modules.update(dict.fromkeys(("nibabel", "scipy", "torch", "monai", "SimpleITK", "pydicom", "safetensors")))
for name in {modules!r}:
    importlib.import_module(name)
import numpy as np
from LDMSegLib.spatial.volume import Volume
volume = Volume(np.zeros((4, 5, 6), np.float32), np.diag([-1.0, -2, 3, 1]))
assert (volume.shape, volume.spacing, volume.orientation) == ((4, 5, 6), (1, 2, 3), "LPS")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
