"""What CI runs in the real application passes on a module that works, and on no other: played on the host, see `played_application`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYED = Path(__file__).with_name("played_application.py")


def played(fault: str = "", **more: str) -> subprocess.CompletedProcess:
    folders = (PLAYED.parents[2], PLAYED.parents[1] / "unit", PLAYED.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, folders)), **more}
    return subprocess.run([sys.executable, str(PLAYED), fault], capture_output=True, text=True, env=environment, timeout=1800)


@pytest.mark.parametrize(
    "fault, said",
    [
        ("panel", "setting the panel up failed half-way"),
        ("late in the panel", "the panel follows no parameters"),
        ("sample data", "Sample Data offers 0 patients"),
        ("terminology", "Slicer knows"),
    ],
)
def test_a_broken_module_fails_and_the_reason_is_said(fault, said):
    done = played(fault)
    assert done.returncode == 1 and f"AssertionError: {said}" in done.stderr, done.stdout + done.stderr


def test_without_packages_what_needs_none_is_checked_unless_they_were_expected():
    done = played("packages")
    assert done.returncode == 0 and "no run: without torch" in done.stdout and "done" in done.stdout, done.stdout + done.stderr
    done = played("packages", LDMSEG_EXPECT_PACKAGES="1")
    assert done.returncode == 1 and "packages are missing" in done.stderr


def test_with_packages_the_synthetic_patient_is_run_whole_and_stopped_and_kept(tmp_path):
    for package in ("torch", "monai", "nilearn"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    done = played(LDMSEG_EXPECT_PACKAGES="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one member, whole: Done in" in done.stdout and "stopped and kept: Done in" in done.stdout
    assert "LDMSeg works in this Slicer" in done.stdout
