"""Only the steps that the images call for."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_bundle import small_affine, small_images

from LDMSegLib.cases.assemble import look_at
from LDMSegLib.errors import InputError
from LDMSegLib.preprocessing.plan import Plan, PreparationOptions, plan
from LDMSegLib.spatial.volume import Volume


def images(**affines) -> dict[str, Volume]:
    return {name: Volume(array, affines.get(name, small_affine())) for name, array in small_images().items()}


def planned(volumes: dict[str, Volume], choice: str = "automatic") -> Plan:
    return plan(volumes, look_at(volumes).findings, "t1c", PreparationOptions(choice))


def shifted(mm: float) -> np.ndarray:
    affine = small_affine().copy()
    affine[0, 3] += mm
    return affine


def test_images_that_are_prepared_already_are_left_alone():
    assert not planned(images()).anything


def test_grids_that_differ_by_rounding_are_one_grid():
    assert not planned(images(t2f=shifted(0.01))).anything


def test_a_sequence_on_another_grid_is_registered_and_only_that():
    found = planned(images(t2f=shifted(9.0)))
    assert found.register == ("t2f",) and not found.strip and found.align and "t2f" in found.reasons[0]


def test_a_brain_that_lies_elsewhere_on_the_same_grid_is_registered():
    volumes = images()
    volumes["t2w"] = Volume(np.roll(volumes["t2w"].array, 5, axis=0), volumes["t2w"].affine)
    assert planned(volumes).register == ("t2w",)


def test_a_skull_calls_for_everything():
    volumes = {
        name: Volume(volume.array + 5 * np.random.default_rng(0).random(volume.shape), volume.affine) for name, volume in images().items()
    }
    found = planned(volumes)
    assert found.strip and found.align and found.register == ("t1n", "t2w", "t2f")


def test_never_does_nothing_and_always_does_not_look_for_a_brain_that_stands_alone():
    assert not planned(images(t2f=shifted(9.0)), "never").anything
    always = planned(images(), "always")
    assert always.register == ("t1n", "t2w", "t2f") and always.align and not always.strip


def test_headers_that_put_images_in_different_places_altogether_are_refused():
    with pytest.raises(InputError, match="does not overlap"):
        planned(images(t2f=shifted(5000.0)))
