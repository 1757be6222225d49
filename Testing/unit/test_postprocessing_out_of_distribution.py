"""What is said about a case that is not like those the model has learnt from, on the synthetic patient and on made-up results."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_bundle import REGIONS, SEQUENCES, save_small_case, save_tiny_bundle, tiny_specification

from LDMSegLib.cases.assemble import load_case
from LDMSegLib.cases.synthetic import synthetic_patient
from LDMSegLib.inference.segment import segment
from LDMSegLib.models.bundle import read_bundle, save_specification
from LDMSegLib.models.device import choose_device
from LDMSegLib.models.model import Model
from LDMSegLib.postprocessing.out_of_distribution import (
    contrast_measures,
    image_measures,
    implausible,
    reconstruction_measures,
    result_measures,
)
from LDMSegLib.preprocessing.normalisation import normalise
from LDMSegLib.sequences.naming import find_case
from LDMSegLib.spatial.model_grid import place, to_grid
from LDMSegLib.specification import Grid, Intensity, Plausibility, Range

NAMES = ("t1n", "t1c", "t2w", "t2f")
# Much as the glioma cases of BraTS have them, in z-scores halved.
USUAL = {
    key: Range(*ends)
    for key, ends in {
        **{f"spread/{name}": (0.3, 0.48) for name in NAMES},
        **{"skewness/t1n": (-1.9, 0.8), "skewness/t1c": (-2.0, 3.3), "skewness/t2w": (-0.6, 3.2), "skewness/t2f": (-2.5, 2.9)},
        **{"correlation/t1n/t1c": (0.1, 1.0), "correlation/t1n/t2w": (-1.0, 0.4), "correlation/t1n/t2f": (-0.5, 1.0)},
        **{"correlation/t1c/t2w": (-0.95, 0.45), "correlation/t1c/t2f": (-0.25, 0.8), "correlation/t2w/t2f": (-0.6, 0.9)},
        **{"asymmetry/t1n/t1c": (-3.5, 0.9), "contrast/ET/t1n/t1c": (-2.1, 0.15), "contrast/ET/t2w/t2f": (-1.2, 1.2)},
        **{"volume/WT": (1.0, 400.0), "parts/WT": (0.0, 3.0), "shell/WT": (0.0, 6.0), "reconstruction/WT": (0.85, 1.0)},
    }.items()
}


@pytest.fixture(scope="module")
def patient():
    """(prepared images (4, X, Y, Z) on a grid of 3 mm, true regions (3, X, Y, Z)) of the synthetic patient."""
    made = synthetic_patient(seed=5)
    inside = made.volumes["t1n"].array != 0
    placed = place(inside, made.affine, Grid((3.0, 3.0, 3.0), (48, 64, 48), 8))

    def to_model(array):
        return to_grid(array.astype(np.float32), made.affine, placed)

    prepared = np.stack([to_model(normalise(made.volumes[name].array, Intensity("zscore", -4.0, 8.0, 2.0))) for name in NAMES])
    return prepared, np.stack([to_model(np.isin(made.labels, values)) for values in ([3], [1, 3], [1, 2, 3])]) >= 0.5


def said_of(images, masks):
    measures = image_measures(images, NAMES, 0.0) | contrast_measures(images, masks, NAMES, REGIONS)
    measures |= result_measures(masks.astype(np.float32), masks, REGIONS, 27.0) | reconstruction_measures(masks, masks, REGIONS)
    return implausible(measures, USUAL, REGIONS)


def test_of_a_few_voxels_no_reconstruction_is_measured():
    masks = np.zeros((3, 8, 8, 8), bool)
    masks[0, 4, 4, 4:6], masks[1:, 2:6, 2:6, 2:6] = True, True
    lost = masks.copy()
    lost[0] = False
    assert reconstruction_measures(masks, lost, REGIONS) == {"reconstruction/TC": 1.0, "reconstruction/WT": 1.0}


def test_nothing_is_said_of_a_patient_like_others(patient):
    assert said_of(*patient) == []


@pytest.mark.parametrize(("order", "names"), [((1, 0, 2, 3), "t1n and t1c"), ((0, 1, 3, 2), "t2w and t2f"), ((2, 1, 0, 3), "t1n and t2w")])
def test_swapped_images_are_called_swapped_and_by_their_names(patient, order, names):
    images, masks = patient
    usual = USUAL | {"asymmetry/t2w/t2f": Range(-0.1, 3.0), "asymmetry/t1n/t2w": Range(-3.0, -0.3)}
    measures = image_measures(images[list(order)], NAMES, 0.0) | contrast_measures(images[list(order)], masks, NAMES, REGIONS)
    said = implausible(measures, usual, REGIONS)
    assert len(said) == 1
    assert said[0].startswith(f"{names} seem to be swapped")
    assert "(usual:" in said[0] and said[0].endswith("check which file is which")


@pytest.mark.parametrize("which", range(4))
def test_noise_in_place_of_an_image_is_said_to_be_unlike_it(patient, which):
    images, masks = patient
    noisy, rng = images.copy(), np.random.default_rng(0)
    inside = noisy[which] != 0
    # Noise of 1 mm voxels with the SD of z-scores, averaged over voxels of 3 mm.
    noisy[which][inside] = rng.normal(0.0, 0.5 / 27**0.5, np.count_nonzero(inside))
    said = said_of(noisy, masks)
    assert len(said) == 1
    assert said[0].startswith(f"{NAMES[which]} does not look like")
    assert f"the spread of {NAMES[which]} is 0.09" in said[0]


@pytest.mark.parametrize("which", [0, 2])
def test_an_inverted_image_is_said_to_be_unlike_it(patient, which):
    images, masks = patient
    inverted = images.copy()
    inverted[which] = -inverted[which]
    said = said_of(inverted, masks)
    assert len(said) == 1
    assert said[0].startswith(NAMES[which]) and "inverted" in said[0]


def test_an_empty_result_is_no_proof_that_there_is_no_tumour(patient):
    images, masks = patient
    said = said_of(images, np.zeros_like(masks))
    assert len(said) == 1
    assert said[0].startswith("Whole tumour: nothing was found") and "not take this for a proof" in said[0]


def test_a_tumour_of_unusual_size_is_measured(patient):
    images, masks = patient
    small_lesion = np.zeros_like(masks)
    small_lesion[:, 20:22, 30:33, 20:23] = masks[:, 20:22, 30:33, 20:23] | True  # 18 voxels of 27 mm³
    said = [sentence for sentence in said_of(images, small_lesion) if "measures" in sentence]
    assert said == ["Whole tumour measures 0.49 mL (usual: 1 to 400); compare the result with the images before using it"]


def test_many_lesions_are_counted_and_tiny_components_are_not(patient):
    images, masks = patient
    scattered = np.zeros_like(masks)
    inside = images.any(axis=0)
    for x in (10, 18, 26, 34):
        scattered[2, x : x + 4, 30:34, 20:24] = inside[x : x + 4, 30:34, 20:24]  # up to 64 voxels of 27 mm³
    scattered[2, 22:24, 40:42, 20:22] = True
    measures = result_measures(scattered.astype(np.float32), scattered, REGIONS, 27.0)
    assert measures["parts/WT"] == 4 and "parts/ET" not in measures
    said = [sentence for sentence in said_of(images, scattered) if "lesions" in sentence]
    assert len(said) == 1 and "Whole tumour lies in 4 parts (usual: 0 to 3)" in said[0] and "easily missed" in said[0]


def test_fluid_that_was_called_tumour_is_said_to_be_unlike_it_unless_the_images_are_to_blame(patient):
    images, masks = patient
    measures = image_measures(images, NAMES, 0.0) | contrast_measures(images, masks, NAMES, REGIONS)
    assert implausible(measures, USUAL, REGIONS) == []
    fluid = measures | {"contrast/ET/t2w/t2f": 2.5}
    said = implausible(fluid, USUAL, REGIONS)
    assert len(said) == 1 and said[0].startswith("what was called Enhancing tumour is unlike") and "fluid" in said[0]
    assert "inside Enhancing tumour t2w less t2f is 2.5 (usual: -1.2 to 1.2)" in said[0]
    said = implausible(fluid | {"spread/t2w": 0.1}, USUAL, REGIONS)
    assert len(said) == 1 and said[0].startswith("t2w does not look like")


def test_doubt_and_a_strange_form_are_said_each_in_one_sentence(patient):
    measures = {"shell/WT": 9.0, "reconstruction/WT": 0.5, "reconstruction/ET": 0.1, "volume/WT": 20.0}
    said = implausible(measures, USUAL, REGIONS)
    assert [sentence.split(":")[0] for sentence in said] == [
        "the members disagree unusually",
        "the result's form is not like the label maps that this model has learnt from",
    ]
    assert "9 mm (usual: 0 to 6)" in said[0] and "Dice 0.5 (usual: 0.85 to 1)" in said[1]


def test_what_is_just_outside_is_told_with_the_digits_that_show_it():
    said = implausible({"shell/WT": 6.04, "volume/WT": 20.0}, USUAL, REGIONS)
    assert "6.04 mm (usual: 0 to 6)" in said[0]


def test_without_ranges_nothing_is_said():
    assert implausible({"spread/t1n": 0.0, "volume/WT": 0.0}, {}, REGIONS) == []


def test_the_shell_is_as_thick_as_it_is():
    line = np.arange(-20, 21)
    distance = np.sqrt(sum(x.astype(float) ** 2 for x in np.meshgrid(line, line, line, indexing="ij")))
    p = np.where(distance < 12, 1.0, np.where(distance < 14, 0.5, 0.0)).astype(np.float32)[None]
    measures = result_measures(p, p >= 0.5, REGIONS[:1], 8.0)
    assert measures["shell/ET"] == pytest.approx(4.0, rel=0.03)  # two voxels of 2 mm
    assert measures["volume/ET"] == pytest.approx(4 / 3 * np.pi * 28**3 / 1000, rel=0.02)


def test_the_measures_of_the_images_have_their_known_values():
    rng = np.random.default_rng(0)
    a = rng.normal(0.0, 0.5, (30, 30, 30))
    mri = np.stack([a, -a, rng.exponential(0.4, a.shape)]).astype(np.float32)
    mri[:, :, :, :5] = 0.0  # background must not count
    found = image_measures(mri, ("a", "b", "c"), 0.0)
    assert found["spread/a"] == pytest.approx(0.5, rel=0.02)
    assert found["correlation/a/b"] == pytest.approx(-1.0)
    assert found["correlation/a/c"] == pytest.approx(0.0, abs=0.03)
    assert found["skewness/c"] == pytest.approx(2.0, rel=0.1)
    assert found["asymmetry/a/c"] == pytest.approx(found["skewness/a"] - found["skewness/c"])
    swapped = image_measures(mri[[2, 1, 0]], ("a", "b", "c"), 0.0)
    assert swapped["difference/a/c"] == pytest.approx(-found["difference/a/c"])


def test_what_lights_up_in_one_of_two_like_images_shows_in_their_difference():
    rng = np.random.default_rng(1)
    before = rng.normal(0.0, 0.5, (30, 30, 30))
    after = before + rng.normal(0.0, 0.1, before.shape)
    plain = image_measures(np.stack([before, after]), ("t1n", "t1c"), 0.0)
    after[10:13, 10:13, 10:13] += 3.0
    lit = image_measures(np.stack([before, after]), ("t1n", "t1c"), 0.0)
    assert abs(plain["difference/t1n/t1c"]) < 0.2 and lit["difference/t1n/t1c"] < -1.0
    twice = image_measures(np.stack([before, 100.0 * after - 7.0]), ("t1n", "t1c"), 0.0)
    assert twice["difference/t1n/t1c"] == pytest.approx(lit["difference/t1n/t1c"], rel=1e-3)  # units do not matter


def test_a_region_of_a_few_voxels_has_no_contrast():
    masks = np.zeros((3, 8, 8, 8), bool)
    masks[0, 0, 0, :3], masks[1, 0, 0, :], masks[2, 0, :2, :] = True, True, True
    mri = np.zeros((2, 8, 8, 8), np.float32)
    mri[0] = 0.75
    assert contrast_measures(mri, masks, ("a", "b"), REGIONS) == {"contrast/WT/a/b": 0.75}


def test_a_bundle_with_ranges_warns_in_the_result_and_keeps_the_measures(tmp_path):
    bundle = read_bundle(save_tiny_bundle(tmp_path / "tiny"))
    case = load_case(find_case(save_small_case(tmp_path / "case"), SEQUENCES), tiny_specification())
    device = choose_device("cpu", "float32")
    plain = segment(case, Model(bundle, bundle.specification.mode(), device))
    assert plain.warnings == case.warnings and plain.provenance["plausibility"] == {}
    strange = Plausibility({"spread/t2w": Range(5.0, 6.0), "reconstruction/WT": Range(-1.0, 2.0)})
    bundle = save_specification(bundle, replace(bundle.specification, plausibility=strange))
    result = segment(case, Model(bundle, bundle.specification.mode(), device))
    assert [warning[:18] for warning in result.warnings[len(case.warnings) :]] == ["t2w does not look "]
    measures = result.provenance["plausibility"]
    assert {"spread/t2w", "volume/WT", "shell/WT", "reconstruction/WT", "correlation/t1n/t1c"} <= measures.keys()
    assert 0.0 <= measures["reconstruction/WT"] <= 1.0
