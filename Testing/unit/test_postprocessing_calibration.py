"""Calibrated probabilities: known answers, nesting, and member volumes that agree with the result's."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import REGIONS, SEQUENCES, save_small_case, save_tiny_bundle, tiny_specification

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.errors import BundleError
from LDMSegLib.inference.segment import Settings, segment
from LDMSegLib.models.bundle import read_bundle, save_specification, verify
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.calibration import calibrate, uncalibrated
from LDMSegLib.postprocessing.regions import nest, threshold_masks
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.specification import Calibration


def random_probabilities(seed=0, shape=(3, 6, 7, 8)):
    rng = np.random.default_rng(seed)
    p = rng.random(shape, dtype=np.float32)
    p[rng.random(shape) < 0.2] = 0.0
    p[rng.random(shape) < 0.2] = 1.0
    return nest(p, REGIONS)


def test_slope_and_offset_act_on_the_log_odds():
    odds = np.array([0.25, 1.0, 4.0])
    p = np.tile((odds / (1 + odds)).astype(np.float32), (3, 1))
    wanted = odds**2 * 3.0  # slope 2 squares the odds, offset log 3 triples them
    found = calibrate(p, Calibration((2.0,) * 3, (float(np.log(3.0)),) * 3), REGIONS)
    np.testing.assert_allclose(found, np.tile(wanted / (1 + wanted), (3, 1)), rtol=1e-5)


def test_certain_voxels_stay_certain_and_the_order_of_voxels_stays():
    p = random_probabilities()
    found = calibrate(p, Calibration((0.5,) * 3, (-1.5,) * 3), REGIONS)
    assert ((found == 0) == (p == 0)).all()
    assert ((found == 1) == (p == 1)).all()
    order = np.argsort(p[2].ravel(), kind="stable")
    assert (np.diff(found[2].ravel()[order]) >= 0).all()


def test_no_calibration_changes_nothing_and_copies_nothing():
    p = random_probabilities()
    assert calibrate(p, Calibration(), REGIONS) is p
    assert uncalibrated(0.3, Calibration(), REGIONS) == (0.3, 0.3, 0.3)


def test_extreme_probabilities_give_no_warnings_and_no_numbers_outside_zero_and_one():
    p = np.array([[1e-38, 1e-30, np.nextafter(np.float32(1), np.float32(0))]] * 3, np.float32)
    with np.errstate(all="raise", under="ignore"):
        found = calibrate(p, Calibration((20.0,) * 3, (-30.0,) * 3), REGIONS)
    assert (found >= 0).all() and (found <= 1).all()


def test_regions_that_are_calibrated_apart_are_nested_all_the_same():
    p = random_probabilities()
    found = calibrate(p, Calibration((1.0, 1.0, 2.0), (1.5, 0.0, -1.0)), REGIONS)
    assert (found[0] <= found[1]).all() and (found[1] <= found[2]).all()
    assert (found != p).any()


def test_the_uncalibrated_threshold_cuts_the_mean_where_the_threshold_cuts_the_probability():
    calibration = Calibration((0.7, 1.3, 2.0), (0.4, -0.8, 0.2))
    p = random_probabilities()
    for threshold in (0.2, 0.5, 0.9):
        calibrated = threshold_masks(calibrate(p, calibration, REGIONS), REGIONS, threshold)
        np.testing.assert_array_equal(threshold_masks(p, REGIONS, uncalibrated(threshold, calibration, REGIONS)), calibrated)


def test_a_slope_that_is_not_positive_is_refused():
    with pytest.raises(BundleError, match="not positive"):
        tiny_specification(calibration=Calibration((1.0, 0.0, 1.0), ()))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return load_case(find_case(save_small_case(tmp_path_factory.mktemp("cases") / "small"), SEQUENCES), tiny_specification())


def test_a_bundle_with_a_calibration_gives_calibrated_probabilities_and_the_same_variance(tmp_path, case):
    bundle = read_bundle(save_tiny_bundle(tmp_path / "tiny"))
    calibration = Calibration((0.5, 0.8, 1.5), (0.2, 0.5, -0.3))
    changed = save_specification(bundle, replace(bundle.specification, calibration=calibration))
    assert changed.specification.calibration == calibration
    assert verify(changed) == verify(bundle)
    device = choose_device("cpu", "float32")
    before, after = (segment(case, Model(b, b.specification.mode(), device)) for b in (bundle, changed))
    np.testing.assert_array_equal(after.probabilities, calibrate(before.probabilities, calibration, REGIONS))
    np.testing.assert_array_equal(after.variance, before.variance)
    assert (after.label_map != before.label_map).any()
    assert after.provenance["calibration"] == {"slope": [0.5, 0.8, 1.5], "offset": [0.2, 0.5, -0.3]}


def test_members_are_counted_by_the_rule_that_the_calibrated_result_is_held_to(tmp_path, case):
    """A threshold of the probability is another threshold of the mean: maps and volumes must not tell the two apart."""
    calibration = Calibration((0.6,) * 3, (0.9,) * 3)
    plain = read_bundle(save_tiny_bundle(tmp_path / "tiny"))
    calibrated = replace(plain, specification=replace(plain.specification, calibration=calibration))
    device, mode = choose_device("cpu", "float32"), plain.specification.mode()
    ours = segment(case, Model(calibrated, mode, device), Settings(threshold=0.4))
    lower = uncalibrated(0.4, calibration, REGIONS)[0]
    assert lower < 0.2
    theirs = segment(case, Model(plain, mode, device), Settings(threshold=lower))
    np.testing.assert_array_equal(ours.label_map, theirs.label_map)
    for a, b in zip(ours.volumes, theirs.volumes, strict=True):
        assert (a.ensemble, a.mean, a.lowest, a.highest) == (b.ensemble, b.mean, b.lowest, b.highest)
    usual = segment(case, Model(plain, mode, device), Settings(threshold=0.4))
    assert ours.volumes[2].mean > usual.volumes[2].mean
