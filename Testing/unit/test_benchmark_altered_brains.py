"""What is put into brains for the benchmarks is where it is said to be, looks as it is said to, and leaves the rest alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from LDMSegLib.cases.assemble import assemble, look_at
from LDMSegLib.cases.synthetic import CORE, RIM, synthetic_patient
from LDMSegLib.models.bundle import find_bundle
from Testing.benchmarks.altered_brains import APART, resected, with_small_lesions


@pytest.fixture(scope="module")
def patients():
    """Two synthetic patients: (case, label map) each."""
    spec = find_bundle(None).specification
    found = []
    for seed in (1, 2):
        patient = synthetic_patient(seed)
        found.append((assemble(look_at(patient.volumes), spec, f"synthetic{seed}"), patient.labels))
    return found


@pytest.fixture(scope="module")
def scattered(patients):
    (host, own), (donor, labels) = patients
    return with_small_lesions(host, donor, labels > 0, (0.7, 0.5, 0.35), 3, own > 0)


def test_a_resected_core_looks_like_the_patients_own_fluid_and_nothing_else_changes(patients):
    case, labels = patients[0]
    core = np.isin(labels, (CORE, RIM))
    after = resected(case, core, labels > 0, seed=0)
    inside = ndimage.binary_erosion(core, iterations=3)
    away = ndimage.distance_transform_edt(~core) > 7
    for name, volume in after.volumes.items():
        before = case.volumes[name].array
        assert np.array_equal(volume.array[away], before[away]), name
        assert np.array_equal(volume.array != 0, before != 0), name
    wet = {name: np.median(after.volumes[name].array[inside]) for name in ("t2w", "t2f")}
    whole = {name: np.median(case.volumes[name].array[case.foreground()]) for name in wet}
    assert wet["t2w"] > whole["t2w"] and wet["t2f"] < whole["t2f"]


def test_small_lesions_lie_in_the_brain_apart_from_each_other_and_from_the_tumour_that_is_there(patients, scattered):
    (host, own), (_, labels) = patients
    _, lesions = scattered
    assert set(np.unique(lesions)) == {0, 1, 2, 3}
    assert host.foreground()[lesions > 0].all() and not (own > 0)[lesions > 0].any()
    sizes = [np.count_nonzero(lesions == number) / np.count_nonzero(labels) for number in (1, 2, 3)]
    for size, zoom in zip(sizes, (0.7, 0.5, 0.35), strict=True):
        assert 0.5 * zoom**3 < size < 1.3 * zoom**3
    middles = [np.array(ndimage.center_of_mass(lesions == number)) for number in (1, 2, 3)]
    assert min(np.linalg.norm(a - b) for a, b in ((middles[0], middles[1]), (middles[1], middles[2]), (middles[2], middles[0]))) > APART / 2


def test_small_lesions_look_like_what_they_are_made_of_and_leave_the_rest_alone(patients, scattered):
    (host, _), (donor, labels) = patients
    case, lesions = scattered
    away = ndimage.distance_transform_edt(lesions == 0) > 8
    for name, volume in case.volumes.items():
        before = host.volumes[name].array
        assert np.array_equal(volume.array[away], before[away]), name
        assert np.array_equal(volume.array != 0, before != 0), name

    def brightness(of, where):
        brain = of.volumes["t2f"].array[of.foreground()]
        return (of.volumes["t2f"].array[where].mean() - brain.mean()) / brain.std()

    assert brightness(case, lesions == 1) == pytest.approx(brightness(donor, labels > 0), abs=0.4)


def test_a_brain_without_room_is_told(patients):
    (host, _), (donor, labels) = patients
    with pytest.raises(SystemExit, match="no room"):
        with_small_lesions(host, donor, labels > 0, (0.5,) * 40, 0)
