"""The bundle that ships: whole, small, and able to find a tumour."""

import os
from pathlib import Path

import pytest

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.cases.synthetic import write_synthetic_patient
from LDMSegLib.evaluation.lesionwise import dice
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.io.nifti_in import read_label_map
from LDMSegLib.models.bundle import find_bundle, verify
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model, sampling_mode
from LDMSegLib.postprocessing.regions import region_masks
from LDMSegLib.sequences.naming import find_case

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("LDMSEG_REAL_DATA", ROOT.parent / "shared" / "data"))
VALIDATION = "BraTS2021_01660"  # never trained on, see Training/configs/small.json


@pytest.fixture(scope="module")
def bundle():
    return find_bundle()


def whole_tumour_dice(bundle, folder: Path) -> float:
    spec = bundle.specification
    case = load_case(find_case(folder, spec.sequences), spec)
    model = Model(bundle, sampling_mode(spec, "solver", 6, 3), choose_device())
    result = segment(case, model, Settings(seed=1))
    labels = read_label_map(next(folder.glob("*_seg.nii.gz"))).array
    truth = region_masks(labels, spec.labels, spec.regions)
    return dice(truth[-1], result.masks()[-1])


def test_its_weights_are_whole_and_fit_its_configuration(bundle):
    assert sum(verify(bundle).values()) > 1e6


def test_it_is_small_enough_for_a_clone(bundle):
    assert sum(path.stat().st_size for path in bundle.folder.rglob("*") if path.is_file()) <= 25e6


def test_every_mode_it_offers_can_be_loaded(bundle):
    for name, mode in bundle.specification.modes.items():
        assert Model(bundle, mode, choose_device("cpu")).mode is bundle.specification.mode(name)


def test_it_says_what_it_was_trained_on_and_that_it_is_for_research(bundle):
    assert any("BraTS" in source for source in bundle.specification.training_data)
    assert "research use only" in bundle.metadata["intended_use"].lower()


def test_it_finds_the_synthetic_patient_s_tumour(bundle, tmp_path):
    write_synthetic_patient(tmp_path, seed=0)
    assert whole_tumour_dice(bundle, tmp_path) > 0.5


@pytest.mark.skipif(not (REAL / "cases" / VALIDATION).exists(), reason=f"no real case {VALIDATION} (set LDMSEG_REAL_DATA)")
def test_it_finds_a_real_patient_s_tumour_that_it_never_saw(bundle):
    assert whole_tumour_dice(bundle, REAL / "cases" / VALIDATION) > 0.75


def test_the_readme_says_of_missing_sequences_what_the_bundle_accepts():
    needed = [sequence.name for sequence in find_bundle().specification.sequences if sequence.required]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert needed == ["t1c"] and "The T1 post-contrast is needed; any of the others may be missing" in text
