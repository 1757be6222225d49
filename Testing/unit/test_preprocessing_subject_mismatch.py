"""Sequences of two real patients given as one case: refused in one sentence, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import pytest
from commandline import run_here

from LDMSegLib.io.nifti_in import read_volume
from LDMSegLib.preprocessing import registration
from LDMSegLib.preprocessing.registration import Level
from LDMSegLib.preprocessing.similarity import averaged

REAL = Path(os.environ.get("LDMSEG_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "cases"
PATIENTS = ("BraTS2021_01476", "BraTS2021_01483")
MM = 3.0

pytestmark = pytest.mark.skipif(
    not all((REAL / name).is_dir() for name in PATIENTS),
    reason=f"the real cases {' and '.join(PATIENTS)} are not in {REAL} (see LDMSEG_REAL_DATA)",
)
pytest.importorskip("SimpleITK", reason="SimpleITK is not installed: pip install SimpleITK")


def save(folder: Path, flair_of: str) -> Path:
    """The first patient's brain at 3 mm, with the FLAIR of one of the two, which was moved."""
    folder.mkdir()
    for name in ("t1n", "t1c", "t2w", "t2f"):
        patient = flair_of if name == "t2f" else PATIENTS[0]
        volume = averaged(read_volume(next((REAL / patient).glob(f"*_{name}.nii.gz"))), MM)
        affine = volume.affine.copy()
        if name == "t2f":
            affine[:3, 3] += (5.0, -4.0, 6.0)
        nib.save(nib.Nifti1Image(volume.array, affine), folder / f"case_{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    return save(tmp_path_factory.mktemp("strangers") / "mixed", PATIENTS[1])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Fewer voxels are looked at than in earnest."""
    monkeypatch.setattr(registration, "LEVELS", (Level(4.0, 6_000, 2.0, 60), Level(3.0, 10_000, 0.5, 40)))


@pytest.mark.parametrize("command", ["segment", "prepare"])
def test_sequences_of_two_patients_are_refused_and_nothing_is_written(command, mixed, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, command, mixed, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and "Traceback" not in ran.err, ran.err
    said = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and "case_t2f.nii.gz (t2f) does not fit" in said[0] and "different patients" in said[0]
    assert "give the right file" in said[0]
    assert not list(tmp_path.iterdir())


def test_the_same_patients_own_sequence_moved_as_far_is_not_refused(tiny_bundle, tmp_path, capsys):
    own = save(tmp_path / "own", PATIENTS[0])
    ran = run_here(capsys, "segment", own, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "provenance.json").is_file()
