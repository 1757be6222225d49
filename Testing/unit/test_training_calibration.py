"""Fitting a calibration: known answers, and a command that leaves a calibrated bundle behind."""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from tiny_bundle import SHAPE, save_small_case, save_tiny_bundle, small_affine

from LDMSegLib.evaluation.calibration import expected_calibration_error
from LDMSegLib.models.bundle import read_bundle, verify
from LDMSegLib.postprocessing.calibration import calibrate
from LDMSegLib.specification import Region
from Training import calibration as script
from Training.calibration import draw, fit, table


def miscalibrated(slope, offset, count=60_000, seed=0):
    """Truth drawn from honest probabilities, told by a mean whose log-odds are (honest - offset) / slope."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0.0, 2.5, (3, count))
    truth = rng.random(honest.shape) < 1 / (1 + np.exp(-honest))
    told = (honest - np.reshape(offset, (3, 1))) / np.reshape(slope, (3, 1))
    return (1 / (1 + np.exp(-told))).astype(np.float32), truth


def test_slope_and_offset_are_found_where_they_are_known():
    slope, offset = (0.5, 1.0, 2.0), (0.3, 0.0, -0.7)
    found = fit([miscalibrated(slope, offset, seed=s) for s in range(3)])
    np.testing.assert_allclose(found.slope, slope, rtol=0.03)
    np.testing.assert_allclose(found.offset, offset, atol=0.03)


def test_the_fit_lowers_the_calibration_error_on_cases_that_it_has_not_seen():
    found = fit([miscalibrated((0.4, 0.4, 0.4), (0.5, 0.5, 0.5), seed=s) for s in range(2)])
    p, truth = miscalibrated((0.4, 0.4, 0.4), (0.5, 0.5, 0.5), seed=9)
    assert expected_calibration_error(p[0], truth[0]) > 0.1
    assert expected_calibration_error(calibrate(p, found, ())[0], truth[0]) < 0.01


def test_an_offset_that_helps_no_other_case_is_left_out():
    # what the cases share is the slope; one of them is told too little, which says nothing of the next
    samples = [miscalibrated((0.5,) * 3, (0.0, 0.3, offset), seed=s) for s, offset in enumerate((2.0, 0.0, -0.1, 0.1))]
    found = fit(samples)
    assert found.offset[2] == 0.0 and found.offset[1] == pytest.approx(0.3, abs=0.03)
    assert fit(samples[:1]).offset == (0.0, 0.0, 0.0), "one case cannot tell"


def test_a_temperature_alone_leaves_the_segmentation_as_it_is():
    p, truth = miscalibrated((0.5,) * 3, (0.4,) * 3)
    assert np.array_equal(calibrate(p, fit([(p, truth)]), ()) >= 0.5, p >= 0.5)


def test_certain_voxels_and_a_mean_that_says_nothing_do_not_carry_the_fit_away():
    certain = np.repeat(np.array([0.0, 1.0], np.float32), 50)[None].repeat(3, axis=0)
    assert fit([(certain, certain > 0.5)]).slope == (1.0, 1.0, 1.0)
    p, truth = miscalibrated((1, 1, 1), (0, 0, 0), 2000)
    against = fit([(p, ~truth)])
    assert (against.slope, against.offset) == ((1.0,) * 3, (0.0,) * 3)
    perfect = fit([(p, p > 0.5)])
    assert all(1.0 < s < 200.0 for s in perfect.slope)


def test_voxels_are_drawn_near_the_tumour_and_in_the_brain_only():
    inside = np.zeros((30, 30, 30), bool)
    inside[:, :, :20] = True
    truth = np.zeros((3, 30, 30, 30), bool)
    truth[:, 14:17, 14:17, 14:17] = True
    where = np.arange(27_000, dtype=np.float32).reshape(30, 30, 30)
    p, y = draw(np.stack([where] * 3), truth, truth, inside, (2.0, 2.0, 2.0), np.random.default_rng(0))
    voxels = np.array(np.unravel_index(p[0].astype(int), inside.shape))
    assert voxels[2].max() == 19
    assert np.linalg.norm(np.maximum(np.abs(voxels - 15) - 1, 0) * 2.0, axis=0).max() <= 10.0
    assert y.sum() == 3 * 27


def test_the_table_tells_the_error_before_after_and_left_out():
    samples = [miscalibrated((0.5,) * 3, (0.5,) * 3, 3000, seed=s) for s in range(3)]
    apart = tuple(Region(name, name, (name,), (0, 0, 0)) for name in "abc")  # the samples' channels are not nested
    text = table(samples, fit(samples), apart).replace("left out", "left")
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
    assert list(lines) == ["ECE", "before", "after", "left", "slope", "offset"]
    assert float(lines["left"][0]) < float(lines["before"][0])


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    for name in ("one", "two", "kept"):
        save_small_case(folder / name)
        labels = np.zeros(SHAPE, np.uint8)
        middle = [n // 2 for n in SHAPE]
        for value, reach in ((2, 5), (3, 3)):
            labels[tuple(slice(m - reach, m + reach) for m in middle)] = value
        nib.save(nib.Nifti1Image(labels, small_affine()), folder / name / f"{name}_seg.nii.gz")
    return folder


def test_the_command_calibrates_a_bundle_on_training_cases_alone(tmp_path, data, monkeypatch, capsys):
    source = Path(__file__).resolve().parents[2] / "Training" / "configs"
    (tmp_path / "glioma.json").write_text((source / "glioma.json").read_text())
    settings = json.loads((source / "small.json").read_text())
    settings["split"] = {"validation": ["kept"], "excluded": []}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    bundle = save_tiny_bundle(tmp_path / "tiny")
    command = ["calibration", "--config", str(tmp_path / "config.json"), "--bundle", str(bundle), "--data", str(data), "--members", "2"]
    monkeypatch.setattr(sys, "argv", command)
    script.main()
    said = capsys.readouterr().out
    assert "one" in said and "two" in said and "kept" not in said
    found = read_bundle(bundle)
    assert len(found.specification.calibration.slope) == 3
    assert verify(found)
    monkeypatch.setattr(sys, "argv", [*command, "--cases", "kept"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "keeps kept out of training" in capsys.readouterr().err
