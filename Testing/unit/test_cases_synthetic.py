"""The synthetic patient: called synthetic, the same for the same seed, and enough like a brain with a tumour."""

from __future__ import annotations

import importlib.util

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from LDMSegLib.cases import synthetic
from LDMSegLib.cases.assemble import load_case
from LDMSegLib.cases.synthetic import CORE, OEDEMA, RIM, synthetic_patient, write_synthetic_patient
from LDMSegLib.errors import InputError, OutputError
from LDMSegLib.preprocessing.quality import image_warnings, overlap_warnings
from LDMSegLib.spatial.foreground import foreground_dice as dice
from LDMSegLib.spatial.foreground import inspect

needs_nilearn = pytest.mark.skipif(
    importlib.util.find_spec("nilearn") is None, reason="nilearn, which ships the templates, is not installed"
)


@pytest.fixture(scope="module")
def patient():
    return synthetic_patient(seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("patient") / "made"


@pytest.fixture(scope="module")
def written(folder):
    return write_synthetic_patient(folder, seed=5)


def medians(patient, name):
    """Median z-score, over the whole brain, of each label's voxels."""
    array = patient.volumes[name].array
    inside = array[array > 0]
    return {label: float((np.median(array[patient.labels == label]) - inside.mean()) / inside.std()) for label in (CORE, OEDEMA, RIM)}


@needs_nilearn
def test_the_patient_has_four_sequences_on_the_brats_grid_with_an_empty_background(patient):
    assert tuple(patient.volumes) == ("t1n", "t1c", "t2w", "t2f")
    for volume in patient.volumes.values():
        assert volume.shape == (240, 240, 155) and volume.orientation == "LPS" and volume.spacing == (1, 1, 1)
        assert volume.array.dtype == np.float32 and np.array_equal(volume.array, np.rint(volume.array))
        assert 0.8 < (volume.array == 0).mean() < 0.9
        centre = np.argwhere(volume.array > 0).mean(axis=0)
        assert np.abs(centre - [118.6, 134.9, 75.9]).max() < 5, "the brain lies where it does in BraTS cases"


@needs_nilearn
def test_no_check_objects_to_the_patient(patient):
    findings = {name: inspect(volume) for name, volume in patient.volumes.items()}
    assert image_warnings(findings, "t1c") == []
    overlaps = {name: dice(volume.array, patient.volumes["t1c"].array) for name, volume in patient.volumes.items()}
    assert overlap_warnings(overlaps, "t1c") == []


@needs_nilearn
def test_a_shifted_sequence_of_the_patient_is_noticed(patient):
    t1c = patient.volumes["t1c"].array
    assert overlap_warnings({"t2f": dice(np.roll(t1c, 5, axis=1), t1c)}, "t1c") == []
    assert overlap_warnings({"t2f": dice(np.roll(t1c, 20, axis=1), t1c)}, "t1c") != []


@needs_nilearn
def test_the_tumour_is_a_rim_around_a_core_within_oedema_inside_the_brain(patient):
    labels = patient.labels
    assert set(np.unique(labels)) == {0, CORE, OEDEMA, RIM}
    millilitres = {label: (labels == label).sum() / 1000 for label in (CORE, OEDEMA, RIM)}
    assert 2 < millilitres[CORE] < 60 and 3 < millilitres[RIM] < 60 and 20 < millilitres[OEDEMA] < 200
    assert (patient.volumes["t1c"].array[labels > 0] > 0).all()
    surround = ndimage.binary_dilation(labels == CORE) & (labels != CORE)
    assert (labels[surround] == RIM).all()
    assert ndimage.label(np.isin(labels, (CORE, RIM)))[1] == 1


@needs_nilearn
def test_oedema_follows_white_matter_and_has_an_irregular_edge(patient):
    whole = patient.labels > 0
    smooth = ndimage.gaussian_filter(whole.astype(np.float32), 4) > 0.5
    edge = lambda mask: (mask & ~ndimage.binary_erosion(mask)).sum()  # noqa: E731
    assert edge(whole) > 1.4 * edge(smooth)


@needs_nilearn
def test_the_tumour_ends_by_itself_before_the_box_it_is_drawn_in(patient):
    index = np.argwhere(patient.labels > 0)
    assert (index.max(axis=0) - index.min(axis=0) + 1 < 2 * synthetic._AROUND).all()


@needs_nilearn
def test_contrasts_are_those_a_radiologist_expects(patient):
    t1n, t1c, t2w, t2f = (medians(patient, name) for name in ("t1n", "t1c", "t2w", "t2f"))
    assert t1c[RIM] > 1.2 and t1c[RIM] > t1n[RIM] + 1, "only contrast agent makes the rim bright"
    assert t1c[CORE] < 0 and t1n[CORE] < 0, "the core is dark in T1"
    assert t2w[CORE] > 1, "and bright in T2"
    assert t2f[OEDEMA] > 1 and t2w[OEDEMA] > 0.2, "oedema is bright in T2 and FLAIR"
    t2_bright = patient.volumes["t2w"].array > np.percentile(patient.volumes["t2w"].array[patient.volumes["t2w"].array > 0], 97)
    fluid = t2_bright & (patient.labels == 0)
    t2f_array = patient.volumes["t2f"].array
    assert np.median(t2f_array[fluid]) < 0.6 * np.median(t2f_array[t2f_array > 0]), "fluid is dark in FLAIR"


@needs_nilearn
def test_the_same_seed_writes_the_same_patient_named_synthetic(patient, written):
    assert set(written) == {"t1n", "t1c", "t2w", "t2f", "seg"}
    for name, file in written.items():
        image = nib.load(file)
        assert file.name == f"synthetic_patient_{name}.nii.gz"
        assert b"SYNTHETIC" in image.header["descrip"].item()
        expected = patient.labels if name == "seg" else patient.volumes[name].array
        np.testing.assert_array_equal(np.asarray(image.dataobj), expected)
        np.testing.assert_array_equal(image.affine, patient.affine)
        assert image.header.get_xyzt_units()[0] == "mm" and image.header["sform_code"] > 0


@needs_nilearn
def test_nothing_but_the_five_files_is_left_in_the_folder(folder, written):
    assert sorted(folder.iterdir()) == sorted(written.values())


@needs_nilearn
def test_the_written_patient_loads_as_a_case_without_warning(written):
    from LDMSegLib.specification import Sequence

    class Wanted:
        sequences = tuple(Sequence(name, name) for name in ("t1n", "t1c", "t2w", "t2f"))
        reference = "t1c"

    case = load_case({name: file for name, file in written.items() if name != "seg"}, Wanted)
    assert case.warnings == () and case.id == "synthetic_patient"


def test_another_seed_draws_other_numbers():
    a, b = (synthetic._noise(np.random.default_rng(seed), (30, 20, 25), 6.0) for seed in (0, 1))
    assert a.shape == (30, 20, 25) and a.std() == pytest.approx(1, abs=1e-3) and abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.5


def test_without_nilearn_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "ldmseg\[demo\]"'):
        synthetic_patient()


def test_a_folder_that_cannot_be_written_is_refused_without_a_trace(tmp_path, monkeypatch):
    monkeypatch.setattr(
        synthetic, "synthetic_patient", lambda seed: synthetic.SyntheticPatient({}, np.zeros((4, 4, 4), np.uint8), np.eye(4))
    )
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_synthetic_patient(tmp_path / "file")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="no space left"):
        write_synthetic_patient(tmp_path / "made")
    assert list((tmp_path / "made").iterdir()) == []
