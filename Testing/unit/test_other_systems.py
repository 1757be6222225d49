"""Nothing that only Linux has is in the way from images to a result: played here, see `as_on_windows`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import environment
from tiny_bundle import save_small_case, small_affine

pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")

PLAYED = Path(__file__).with_name("as_on_windows.py")
FORBIDDEN = set('<>:"|?*\\')


@dataclass(frozen=True)
class Outcome:
    codes: list[int]
    not_imported: dict[str, str]
    modules: list[str]
    out: str
    err: str
    folder: Path


def play(commands: list[list[object]], folder: Path, **more: str) -> Outcome:
    asked, told = folder / "commands.json", folder / "outcome.json"
    asked.write_text(json.dumps([[str(part) for part in command] for command in commands]), encoding="utf-8")
    options = ("-X", "warn_default_encoding", "-W", "default::EncodingWarning")
    # A console of western Windows; what is printed there is no UTF-8 either.
    variables = environment(PYTHONIOENCODING="cp1252", **more)
    done = subprocess.run([sys.executable, *options, str(PLAYED), str(asked), str(told)], capture_output=True, env=variables, timeout=600)
    out, err = (stream.decode("cp1252") for stream in (done.stdout, done.stderr))
    assert done.returncode == 0, err
    return Outcome(**json.loads(told.read_text(encoding="utf-8")), out=out, err=err, folder=folder)


def raw_case(folder: Path) -> Path:
    """The small case with noise all around it and one image moved, so that every step of preparing is called for; and a brain mask."""
    save_small_case(folder)
    rng, affine = np.random.default_rng(0), small_affine()
    tissue = np.asarray(nib.load(folder / "raw_t1c.nii.gz").dataobj, np.float32)
    nib.save(nib.Nifti1Image((tissue > 0).astype(np.uint8), affine), folder / "mask.nii.gz")
    for k, name in enumerate(("t1n", "t1c", "t2w", "t2f")):
        array = np.where(tissue > 0, tissue + k * 40 * np.sin(tissue / 30), 0) + rng.uniform(1, 9, tissue.shape)
        moved = affine.copy()
        moved[:3, 3] += (8.0, -6.0, 4.0) if name == "t2f" else 0.0
        nib.save(nib.Nifti1Image(array.astype(np.float32), moved), folder / f"raw_{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def played(tiny_bundle, small_case, tmp_path_factory) -> Outcome:
    """The ways a user takes, one after the other: each once more where a result is to be replaced."""
    folder = tmp_path_factory.mktemp("Jörg Müller – 病院")  # folders of users have such names
    raw, out = raw_case(folder / "raw"), folder / "out"
    few = ("--bundle", tiny_bundle, "--members", 1, "--steps", 1)
    commands = [
        ["segment", small_case, "-o", out / "result", *few],
        ["segment", small_case, "-o", out / "result", *few, "--overwrite", "--json-events"],
        ["segment", raw, "-o", out / "from_raw", *few, "--brain-mask", raw / "mask.nii.gz"],
        ["synthesize", "-n", 1, "-o", out / "masks", "--bundle", tiny_bundle],
        ["models", "list"],
        ["info"],
        ["segment", folder / "nowhere", "-o", out / "never", *few],
    ]
    return play(commands, folder, LOCALAPPDATA=str(folder / "AppData"))


def test_every_module_is_imported_where_unix_modules_are_missing(played):
    assert not played.not_imported, "\n".join(played.not_imported.values())
    assert len(played.modules) > 80


def test_every_command_does_its_work_with_what_windows_has(played):
    assert played.codes == [0] * 6 + [2], played.out + played.err
    assert "Traceback" not in played.err
    assert "AppData" in played.out, "bundles are looked for where Windows keeps data"
    for name in ("result", "from_raw"):
        assert (played.folder / "out" / name / "report.png").is_file()
    assert (played.folder / "out" / "from_raw" / "preparation.png").is_file()


def test_nothing_is_left_beside_the_results_and_no_name_is_one_that_windows_refuses(played):
    assert sorted(path.name for path in (played.folder / "out").iterdir()) == ["from_raw", "masks", "result"]
    written = [path.name for path in (played.folder / "out").rglob("*")]
    assert written and not [name for name in written if FORBIDDEN & set(name) or name[-1] in ". "]


@pytest.mark.skipif(sys.platform == "darwin", reason="which files are open is found out in /proc, or is what Windows itself minds")
def test_what_only_unix_has_would_be_noticed(tmp_path):
    """The play itself: each thing it forbids is tried."""
    (tmp_path / "LDMSegLib" / "cli").mkdir(parents=True)
    (tmp_path / "LDMSegLib" / "cli" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "LDMSegLib" / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "LDMSegLib" / "cli" / "entry_point.py").write_text(TRIED, encoding="utf-8")
    told = play([[]], tmp_path, PYTHONPATH=str(tmp_path))
    modules, files = ["ModuleNotFoundError", "AttributeError", "AttributeError"], ["FileExistsError", *["PermissionError"] * 4]
    assert told.codes == [[*modules, *files, "EncodingWarning"]]


TRIED = """
import os, signal, sys
from pathlib import Path

here = Path(__file__).parent
def busy():
    with open(here / "busy", "w", encoding="utf-8"):
        (here / "busy").rename(here / "moved")
def held():
    with open(here / "busy", "w", encoding="utf-8"):
        os.rename(here, here.with_name("moved"))
def onto():
    for name in ("one", "other"):
        (here / name).write_text("", encoding="utf-8")
    os.rename(here / "one", here / "other")
def gone():
    with open(here / "busy", "w", encoding="utf-8"):
        os.remove(here / "busy")
def module():
    import resource
def main(arguments):
    raised = []
    for one in (module, lambda: os.sysconf, lambda: signal.SIGKILL, onto, busy, held, gone,
                lambda: os.open(here, os.O_RDONLY), lambda: (here / "one").read_text()):
        try:
            one()
        except (Exception, Warning) as error:
            raised.append(type(error).__name__)
    return raised if sys.platform == "win32" else sys.platform
"""
