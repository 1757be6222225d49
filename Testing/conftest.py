"""What all tests share: the repository's modules on the path, a tiny bundle with random weights, and a small case."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE.parent, HERE / "unit", HERE.parent / "LDMSeg"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# Files of tests that start other programs, train, or segment again and again: seconds each, or many of them. (`make test-fast` leaves them
# out; a single test elsewhere is marked by itself.)
SLOW = (
    "test_api*.py",
    "test_exemptions.py",
    "test_benchmark_altered_brains.py",
    "test_cli_*.py",
    "test_diffusion_ensemble.py",
    "test_in_application.py",
    "test_inference_*.py",
    "test_io_dicom_seg_headers.py",
    "test_models_embedded_bundle.py",
    "test_models_export.py",
    "test_module_background_run.py",
    "test_module_patient_sample.py",
    "test_other_systems.py",
    "test_panel_adversities.py",
    "test_panel_brain.py",
    "test_panel_review.py",
    "test_panel_run.py",
    "test_panel_setup_and_models.py",
    "test_panel_whole_way.py",
    "test_postprocessing_out_of_distribution.py",
    "test_preprocessing_*.py",
    "test_synthesis_synthesize.py",
    "test_training_*.py",
)


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        if any(item.path.match(pattern) for pattern in SLOW):
            item.add_marker(pytest.mark.slow)


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
