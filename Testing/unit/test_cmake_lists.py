"""What will be in the package, without building it: the CMake lists against the tree, and what the catalogue asks for."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from cmake_lists import PACKAGES, ROOT, copy, differences

from LDMSegLib.models.bundle import list_bundles

CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
HOME = "https://github.com/SlicerLDMSeg/SlicerLDMSeg"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.folder)
def test_every_file_is_packaged_and_nothing_else_is_listed(package):
    assert differences(package) == [], "run: python Testing/unit/cmake_lists.py --update"


def test_the_embedded_bundle_is_packaged_whole():
    listed = next(package for package in PACKAGES if package.folder == "LDMSegLib").in_cmake()["LIBRARY_PYTHON_RESOURCES"]
    embedded = [bundle.bundle for bundle in list_bundles() if bundle.origin == "embedded"]
    assert embedded and "models/embedded/DEFAULT" in listed
    for bundle in embedded:
        assert bundle.weights.relative_to(ROOT / "LDMSegLib").as_posix() in listed


def test_the_command_line_works_from_the_package_alone(tmp_path):
    folder = tmp_path / "Müllers Slicer"
    copy(folder)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LDMSEG_BUNDLES")}
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from LDMSegModule.process.PythonCommand import PythonCommand, library_folder; "
        "import os, subprocess; python = PythonCommand.of(sys.executable, os.environ); assert str(library_folder()) == sys.argv[1]; "
        "sys.exit(subprocess.run(python.ldmseg('models', 'list'), env=python.environment, cwd='/').returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=kept, encoding="utf-8", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    bundles = json.loads(done.stdout)["bundles"]
    assert any(bundle["default"] and not bundle["problem"] and bundle["folder"].startswith(str(folder)) for bundle in bundles)


def test_every_folder_that_cmake_enters_has_a_list_of_its_own():
    for file in ROOT.rglob("CMakeLists.txt"):
        if any(part.startswith(".") or part == "runs" for part in file.relative_to(ROOT).parts):
            continue
        for folder in re.findall(r"add_subdirectory\((\S+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / folder / "CMakeLists.txt").is_file(), f"{file} enters {folder}"


def test_every_script_that_cmake_declares_as_a_test_is_there():
    for file in (ROOT / "LDMSeg" / "CMakeLists.txt", ROOT / "Testing" / "mrml" / "CMakeLists.txt"):
        scripts = re.findall(r"\bSCRIPT\s+(\S+?)[\s)]", file.read_text(encoding="utf-8"))
        assert scripts
        for script in scripts:
            assert (file.parent / script.replace("${MODULE_NAME}", "LDMSeg")).is_file()


@pytest.mark.parametrize("icon", ["LDMSeg.png", "LDMSeg/Resources/Icons/LDMSeg.png"])
def test_the_icons_are_png_of_128_by_128(icon):
    start = (ROOT / icon).read_bytes()[:24]
    assert start[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", start[16:24]) == (128, 128)


def test_the_catalogue_entry_is_as_its_schema_wants_it_and_as_cmake_says():
    entry = json.loads((ROOT / "Documentation" / "LDMSeg.json").read_text(encoding="utf-8"))
    # without "scm_revision", which the schema would allow: with it the index clones the whole history, which is above its limit of 100 MiB
    allowed = {"$schema", "build_dependencies", "build_subdirectory", "category", "scm_type", "scm_url", "tier"}
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed
    assert re.fullmatch(r"https://github\.com/[^/]+/Slicer\w+\.git", entry["scm_url"]), "the index wants a name that begins with Slicer"
    assert entry["build_dependencies"] == _set("EXTENSION_DEPENDS").split() == ["PyTorch"]
    assert entry["category"] == _set("EXTENSION_CATEGORY") and entry["scm_url"].removesuffix(".git") == _set("EXTENSION_HOMEPAGE") == HOME


def test_the_project_is_named_as_the_catalogue_entry_and_its_urls_point_into_the_tree():
    assert re.search(r"project\((\w+)\)", CMAKE).group(1) == "LDMSeg"
    raw = f"{HOME}/main/".replace("https://github.com", "https://raw.githubusercontent.com")
    for name in ("EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"):
        for url in _set(name).split():
            assert url.startswith(raw) and (ROOT / url.removeprefix(raw)).is_file(), url
            assert Path(url).suffix == ".png"


def test_the_description_is_whole_sentences_with_the_notice():
    assert _set("EXTENSION_DESCRIPTION").endswith("Research use only, not a medical device.")


def _set(name: str) -> str:
    return re.search(rf'set\({name} "([^"]*)"\)', CMAKE).group(1)
