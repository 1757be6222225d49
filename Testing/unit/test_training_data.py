"""What reaches a training step: nothing that is held out, items that depend on their number alone, lesions where they belong."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage
from training_tiny import BRAIN, FOLDS, HELD_OUT, HELD_OUT_MAP, configuration, crop_of, prepared, write_case
from training_tiny import write_configuration as configuration_file

from LDMSegLib.errors import InputError
from LDMSegLib.specification import nesting
from Training import datasets, prepared_cases
from Training.augmentation import deform, drop_sequences, flip, recolour, shaded
from Training.configuration import read_configuration
from Training.datasets import Cases, LabelMaps
from Training.prepare import prepare, prepare_once, training_arrays
from Training.prepare import prepared as is_prepared
from Training.prepared_cases import Validation
from Training.small_lesions import FEWEST_VOXELS, VISIBLE, shrunk, stands_out
from Training.transplant import transplant


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """(configuration, run folder, folder of it all)."""
    folder = tmp_path_factory.mktemp("ready")
    path, run = prepared(folder)
    return read_configuration(path), run, folder


def phase(settings, name="conditioning", **changes):
    plain = {"flips": False, "rotation": 0.0, "scaling": 0.0, "elastic": 0.0, "intensity": 0.0, "sequence_dropout": 0.0, "crop": ()}
    return type(settings.phases[name])(**{**vars(settings.phases[name]), **plain, "transplants": 0.0, **changes})


def arrays(run):
    """Every array that a training item can be made of, as bytes."""
    found = []
    for path in sorted((run / "data" / "training").glob("*.npz")):
        with np.load(path) as archive:
            found += [archive["image"].tobytes(), archive["regions"].tobytes()]
    for name in ("labelmaps", "patches"):
        with np.load(run / "data" / f"{name}.npz") as archive:
            found += [item.tobytes() for key in ("image", "regions") if key in archive for item in archive[key]]
    return found


# Held out is held out


def test_nothing_of_a_held_out_patient_is_written_for_training(ready, tmp_path):
    settings, run, folder = ready
    everything = configuration(tmp_path, {"split.validation": [], "split.excluded": []})
    prepare(everything, folder / "dataset", tmp_path / "run")
    kept, all_of_them = arrays(run), arrays(tmp_path / "run")
    held_out = set(all_of_them) - set(kept)
    assert len(held_out) == 5  # the case's image and regions, its label map, its crop's image and regions
    with np.load(tmp_path / "run" / "data" / "training" / f"{HELD_OUT}.npz") as case:
        assert case["image"].tobytes() in held_out and case["regions"].tobytes() in held_out
    assert {path.stem for path in (run / "data" / "validation").glob("*")} == {HELD_OUT}
    for name, others in (("labelmaps", 4), ("patches", 3)):
        with np.load(run / "data" / f"{name}.npz") as archive:
            assert len(archive["name"]) == others and not any(str(n).startswith(HELD_OUT_MAP) for n in archive["name"])


def test_no_training_item_shows_a_held_out_tumour(ready):
    settings, run, _ = ready
    with np.load(run / "data" / "validation" / f"{HELD_OUT}.npz") as case:
        hidden = case["regions"] / np.float32(255)
    for items in (LabelMaps(settings, run, phase(settings), 0), Cases(settings, run, phase(settings), 0)):
        shown = {items[i]["regions"].numpy().tobytes() for i in range(60)}
        assert len(shown) == {LabelMaps: 7, Cases: 3}[type(items)]  # all there are
        assert hidden.astype(np.float32).tobytes() not in shown
    assert Validation(run)[0]["regions"].numpy().tobytes() == hidden.astype(np.float32).tobytes()


@pytest.mark.parametrize("dataset", [LabelMaps, Cases])
def test_a_case_held_out_after_preparation_is_refused(ready, tmp_path, dataset):
    settings, run, _ = ready
    shutil.copytree(run / "data", tmp_path / "data")
    shutil.move(tmp_path / "data" / "validation" / f"{HELD_OUT}.npz", tmp_path / "data" / "training")
    with pytest.raises(InputError, match=f"holds '{HELD_OUT}', which the configuration's split keeps out"):
        dataset(settings, tmp_path, settings.phases["conditioning"], 0)


@pytest.mark.parametrize(("held", "dataset"), [("Tiny_Training_102", LabelMaps), ("Tiny_Training_102", Cases)])
def test_a_label_map_or_crop_held_out_after_preparation_is_refused(ready, tmp_path, held, dataset):
    _, run, _ = ready
    later = configuration(tmp_path, {"split.excluded": [HELD_OUT_MAP, held]})
    with pytest.raises(InputError, match=f"holds '{held}"):
        dataset(later, run, later.phases["conditioning"], 0)


def test_a_name_that_only_begins_like_a_held_out_one_is_kept(ready):
    settings, _, _ = ready
    assert settings.keeps_out("Tiny_003") and settings.keeps_out("Tiny_003_lesion4") and settings.keeps_out("Tiny_003-000")
    assert not settings.keeps_out("Tiny_0031") and not settings.keeps_out("Tiny")


# Folds


def test_what_is_trained_without_a_fold_sees_nothing_of_its_patients(ready):
    settings, run, _ = ready
    for fold, (cases, maps, crops) in enumerate(((2, 4, 1), (1, 3, 2))):
        without = settings.without_fold(fold)
        assert {len(Cases(without, run, phase(settings), 0)), len(LabelMaps(without, run, phase(settings), 0))} == {cases, maps}
        items = Cases(without, run, phase(settings, transplants=1.0), 0)
        assert len(items._patches["centre"]) == crops
        with np.load(run / "data" / "training" / f"{FOLDS[fold][0]}.npz") as case:
            left_out = (case["regions"] / np.float32(255)).astype(np.float32).tobytes()
        assert left_out not in {LabelMaps(without, run, phase(settings), 0)[i]["regions"].numpy().tobytes() for i in range(60)}


def test_a_fold_that_is_not_there_is_refused(ready):
    with pytest.raises(InputError, match="'tiny' has 2 folds, but fold 2 was asked for"):
        ready[0].without_fold(2)


def test_a_patient_in_two_folds_is_refused(tmp_path):
    path = configuration_file(tmp_path)
    (tmp_path / "folds.json").write_text('{"folds": [["Tiny_001"], ["Tiny_001", "Tiny_002"]]}')
    with pytest.raises(InputError, match="name Tiny_001 twice, expected each patient in one fold"):
        read_configuration(path)


def test_a_linked_case_folder_is_prepared_too(ready, tmp_path):
    settings, _, folder = ready
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "linked").symlink_to(folder / "dataset" / "cases", target_is_directory=True)
    assert prepare(settings, tmp_path / "data", tmp_path / "run")["training"] == 3


# Preparation


def test_a_run_folder_serves_one_configuration(ready, tmp_path):
    settings, run, folder = ready
    assert is_prepared(settings, run)
    other = configuration(tmp_path, {"grid.spacing": [7.0, 7.0, 7.0]})
    with pytest.raises(InputError, match="prepared for another configuration .spacing differ"):
        prepare(other, folder / "dataset", run)


def test_a_stopped_preparation_is_finished_by_the_next_call(ready, tmp_path, monkeypatch):
    settings, run, folder = ready
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return training_arrays(*arguments)

    monkeypatch.setattr("Training.prepare.training_arrays", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(settings, folder / "dataset", tmp_path)
    assert not is_prepared(settings, tmp_path)
    prepare_once(settings, folder / "dataset", tmp_path, rank=0)
    assert len(calls) == 5  # two cases were kept
    assert is_prepared(settings, tmp_path) and arrays(tmp_path) == arrays(run)


def test_brats_names_and_values_of_all_years_give_the_same_regions(ready, tmp_path):
    settings, _, _ = ready
    plain = training_arrays(settings, write_case(tmp_path / "2021", "BraTS2021_00001", BRAIN))
    hyphen = training_arrays(settings, write_case(tmp_path / "2023", "BraTS-GLI-00001-000", BRAIN, seg="-seg"))
    old = write_case(tmp_path / "2017", "Brats17_TCIA_1_1", BRAIN)
    path = old / "Brats17_TCIA_1_1_seg.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj)
    assert (labels == 3).any()
    nib.save(nib.Nifti1Image(np.where(labels == 3, 4, labels).astype(np.uint8), image.affine), path)
    assert plain["regions"].max() == 255
    for other in (hyphen, training_arrays(settings, old)):
        assert np.array_equal(plain["regions"], other["regions"]) and np.array_equal(plain["image"], other["image"])


def test_a_case_that_cannot_be_used_is_named(ready, tmp_path):
    settings, _, _ = ready
    unknown = write_case(tmp_path, "unknown", BRAIN)
    nib.save(nib.Nifti1Image(np.full((40, 40, 31), 7, np.uint8), np.eye(4)), unknown / "unknown_seg.nii.gz")
    with pytest.raises(InputError, match=r"unknown_seg.nii.gz holds the values \[7\], expected \[1, 2, 3\]"):
        training_arrays(settings, unknown)
    other = write_case(tmp_path, "other", BRAIN)
    nib.save(nib.Nifti1Image(np.ones((8, 9, 10), np.float32), np.eye(4)), other / "other_t2w.nii.gz")
    with pytest.raises(InputError, match="40×40×31 and 8×9×10, expected one grid"):
        training_arrays(settings, other)
    with pytest.raises(InputError, match="no case folder and no .npz file"):
        (tmp_path / "empty").mkdir()
        prepare(settings, tmp_path / "empty", tmp_path / "run")
    write_case(tmp_path / "twice" / "a", "same", BRAIN)
    write_case(tmp_path / "twice" / "b", "same", BRAIN)
    with pytest.raises(InputError, match="a case of the same name"):
        prepare(settings, tmp_path / "twice", tmp_path / "run")


def test_validation_cases_that_are_not_there_are_told(ready, tmp_path, capsys):
    settings, _, _ = ready
    write_case(tmp_path / "data", "only", BRAIN)
    prepare(settings, tmp_path / "data", tmp_path / "run")
    assert f"{HELD_OUT} of the validation split: no such case" in capsys.readouterr().err


def test_outside_the_image_the_grid_holds_the_background_that_inference_puts_there(tmp_path):
    changes = {"intensity": {"method": "percentile", "lower": 0.0, "upper": 99.5}, "grid.shape": [40, 40, 32]}
    changes |= {f"phases.{name}": None for name in ("conditioning", "controlnet")}
    settings = configuration(tmp_path, changes)
    image = training_arrays(settings, write_case(tmp_path, "case", BRAIN))["image"]
    assert image.min() == -1 and (image[:, 0] == -1).all() and image.max() > 0.9


# Items


@pytest.mark.parametrize(
    "make",
    [lambda s, r, seed: LabelMaps(s, r, s.phases["autoencoder"], seed), lambda s, r, seed: Cases(s, r, s.phases["conditioning"], seed)],
)
def test_an_item_depends_on_seed_and_number_alone(ready, make):
    settings, run, _ = ready
    one, other, seeded = make(settings, run, 3), make(settings, run, 3), make(settings, run, 4)
    forwards = [one[i] for i in range(6)]
    np.random.seed(0), torch.manual_seed(0)
    backwards = [other[i] for i in reversed(range(6))][::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    assert not any(torch.equal(forwards[i]["regions"], forwards[i + 1]["regions"]) for i in (0, 1, 2, 4))
    assert not torch.equal(forwards[1]["regions"], seeded[1]["regions"])


def test_cases_read_from_disk_are_those_in_memory(ready, monkeypatch):
    settings, run, _ = ready
    kept = Cases(settings, run, settings.phases["controlnet"], 0)
    monkeypatch.setattr(prepared_cases, "IN_MEMORY_BYTES", 0)
    read = Cases(settings, run, settings.phases["controlnet"], 0)
    assert kept._cases._kept is not None and read._cases._kept is None
    for i in range(4):
        assert all(torch.equal(kept[i][key], read[i][key]) for key in ("image", "regions"))


def test_all_items_of_a_batch_have_one_size_and_full_volumes_come_as_often_as_asked(ready):
    settings, run, _ = ready
    wanted = phase(settings, crop=(16, 16, 16), full_every=3, batch_size=2)
    items = Cases(settings, run, wanted, 0)
    sizes = [tuple(items[i]["image"].shape[1:]) for i in range(12)]
    assert sizes[0::2] == sizes[1::2]
    assert [size == (24, 24, 16) for size in sizes[0::2]] == [True, False, False, True, False, False]
    assert set(sizes) == {(24, 24, 16), (16, 16, 16)}


def test_training_items_keep_regions_nested_and_images_finite(ready):
    settings, run, _ = ready
    items = Cases(settings, run, settings.phases["conditioning"], 0)
    for item in (items[i] for i in range(12)):
        assert_nested(item["regions"].numpy(), settings)
        assert torch.isfinite(item["image"]).all() and (item["image"] != 0).any()


def assert_nested(regions, settings, tolerance=1e-5):
    assert regions.min() >= 0 and regions.max() <= 1 + tolerance
    for inner, outer in nesting(settings.regions):
        assert (regions[inner] <= regions[outer] + tolerance).all()


# Transplants


class Still:
    """A generator that shifts nothing."""

    def integers(self, low, high, size):
        return np.zeros(size, int)

    def uniform(self, low, high):
        return low


@pytest.fixture(scope="module")
def transplanted(tmp_path_factory):
    """The same lesion twice: (configuration, case that has it, host without it, its crop as prepared, host with the crop, run folder)."""
    folder = tmp_path_factory.mktemp("transplant")
    settings = configuration(folder, {"grid.spacing": [2.0, 2.0, 2.0], "grid.shape": [80, 96, 80]})
    place, size, shape = BRAIN + np.array([32.0, -18.0, 14.0]), 0.5, (96, 96, 62)
    own = training_arrays(settings, write_case(folder, "own", place, 1, size, shape))
    host = training_arrays(settings, write_case(folder, "host", None, 1, size, shape))
    data = folder / "crops"
    data.mkdir()
    crop = crop_of(place, 1, size)
    np.savez(data / "crops.npz", name=["own_lesion1"], **{key: value[None] for key, value in crop.items()})
    write_case(data, "host", None, 1, size, shape)
    prepare(settings, data, folder / "run")
    patch = {key: value[0] for key, value in np.load(folder / "run" / "data" / "patches.npz").items()}
    patch = {**patch, "image": patch["image"].astype(np.float32), "regions": patch["regions"].astype(np.float32) / 255}
    before = host["image"].astype(np.float32), host["regions"].astype(np.float32) / 255
    after = transplant(*before, patch, np.array([2.0, 2.0, 2.0]), Still())
    return settings, own, before, patch, after, folder / "run"


def test_a_transplanted_lesion_lies_where_its_own_patient_has_it(transplanted):
    _, own, before, _, (_, regions), _ = transplanted
    truth, found = own["regions"] > 127, regions > 0.5
    assert not before[1].any()
    for a, b in zip(truth, found, strict=True):
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.75
        middles = [np.argwhere(mask).mean(axis=0) * 2.0 for mask in (a, b)]
        assert np.linalg.norm(middles[0] - middles[1]) < 2.0  # mm: a voxel


def test_a_transplanted_lesion_looks_as_in_its_own_patient(transplanted):
    _, own, before, _, (image, _), _ = transplanted
    around = ndimage.binary_dilation(own["regions"][2] > 127, iterations=2)
    for channel, host, truth in zip(image, before[0], own["image"].astype(np.float32), strict=True):
        assert np.corrcoef(channel[around], truth[around])[0, 1] > 0.8
        assert abs(np.corrcoef(host[around], truth[around])[0, 1]) < 0.5


def test_a_transplant_keeps_the_background_the_nesting_and_the_rest_of_the_host(transplanted):
    settings, _, (host, _), patch, (image, regions), _ = transplanted
    assert (image[:, (host == 0).all(axis=0)] == 0).all()
    assert_nested(regions, settings)
    changed = np.argwhere((image != host).any(axis=0))
    assert len(changed) and (np.ptp(changed, axis=0) < patch["inside"].shape).all()


def test_a_lesion_from_beyond_the_grid_changes_nothing(transplanted):
    _, _, (host, none), patch, _, _ = transplanted
    away = {**patch, "centre": np.array([300.0, 0.0, 0.0])}
    image, regions = transplant(host, none, away, np.array([2.0, 2.0, 2.0]), Still())
    assert np.array_equal(image, host) and np.array_equal(regions, none)


def test_cases_transplant_as_often_as_asked_and_on_both_sides(transplanted):
    settings, *_, run = transplanted
    items = Cases(settings, run, phase(settings, "controlnet", transplants=0.5), 0)
    regions = [items[i]["regions"].numpy() for i in range(40)]
    given = [r for r in regions if r.any()]  # the host has no tumour of its own
    assert 10 < len(given) < 30
    left = [np.argwhere(r[2] > 0.5)[:, 0].mean() < 40 for r in given]
    assert 0 < sum(left) < len(left)


def test_a_shrunk_lesion_lies_where_it_is_wanted_and_is_smaller_by_as_much_as_asked(transplanted):
    settings, _, (host, none), patch, _, _ = transplanted
    place, limit, spacing = np.array([50, 52, 40]), np.array(host.shape[1:]), np.array([2.0, 2.0, 2.0])
    image, regions = transplant(host, none, shrunk(patch, 0.6, place, limit, spacing), spacing, Still())
    assert_nested(regions, settings)
    assert (image[:, (host == 0).all(axis=0)] == 0).all()
    whole = regions[2] > 0.5
    assert whole.sum() == pytest.approx(0.6**3 * (patch["regions"][2] > 0.5).sum(), rel=0.35)
    # The crop's middle, which is where the lesion's own middle is but for a little, is at the place.
    assert np.linalg.norm(np.argwhere(whole).mean(axis=0) - place) < 3


def test_a_lesion_stands_out_by_its_brightness_in_any_sequence_and_by_its_size():
    lesion = np.zeros((24, 24, 24), bool)
    lesion[10:14, 10:14, 10:14] = True
    image = np.random.default_rng(0).normal(0.5, 0.01, (3, 24, 24, 24)).astype(np.float32)
    assert not stands_out(image, lesion)
    for sign in (1, -1):
        seen = image.copy()
        seen[1] += sign * 1.2 * VISIBLE * lesion
        assert stands_out(seen, lesion)
        seen[1] -= sign * 0.5 * VISIBLE * lesion
        assert not stands_out(seen, lesion)
    small_lesion = np.zeros_like(lesion)
    small_lesion.flat[: FEWEST_VOXELS - 1] = True
    assert not stands_out(image + 5.0 * small_lesion, small_lesion)


def test_small_lesions_are_set_into_as_many_images_as_asked(transplanted):
    settings, *_, run = transplanted
    items = Cases(settings, run, phase(settings, "conditioning", small_lesions_in_images=0.5), 0)
    regions = [items[i]["regions"].numpy() for i in range(40)]
    given = [r for r in regions if (r[2] > 0.5).any()]  # the host has no tumour of its own
    assert 10 < len(given) < 30
    full = (np.load(run / "data" / "patches.npz")["regions"][0, 2] > 127).sum()
    counts = []
    for r in given:
        parts, count = ndimage.label(r[2] > 0.5)
        counts.append(count)
        assert np.bincount(parts.ravel())[1:].min() < 0.8 * full
    assert max(counts) > 1


def test_a_crop_is_as_often_around_a_small_lesion_as_around_a_large_one():
    regions = np.zeros((1, 40, 40, 40), np.float32)
    regions[0, 5:25, 5:25, 5:25] = regions[0, 32:35, 32:35, 32:35] = 1.0
    chosen = [datasets._one_of(regions, np.random.default_rng(seed)).sum() for seed in range(60)]
    assert set(chosen) == {20.0**3, 3.0**3} and 20 < chosen.count(3.0**3) < 40
    assert datasets._one_of(regions * 0, np.random.default_rng(0)).sum() == 0


# Augmentation


@pytest.fixture(scope="module")
def head_and_tumour(ready):
    settings, run, _ = ready
    item = Cases(settings, run, phase(settings), 0)[0]
    return settings, item["image"].numpy(), item["regions"].numpy()


@pytest.mark.parametrize("seed", range(5))
def test_deforming_keeps_regions_nested_and_within_0_and_1(head_and_tumour, seed):
    settings, image, regions = head_and_tumour
    changed = phase(settings, rotation=20.0, scaling=0.15, elastic=1.5, crop=(16, 16, 16))
    rng = np.random.default_rng(seed)
    out = deform(np.concatenate([image, regions]), changed, rng, (16, 16, 16), np.array([12.0, 10.0, 8.0]))
    assert out.shape == (7, 16, 16, 16)
    assert_nested(out[4:], settings)


def test_deforming_moves_image_and_regions_alike(head_and_tumour):
    settings, image, regions = head_and_tumour
    changed = phase(settings, rotation=20.0, scaling=0.1, elastic=1.0)
    twice = deform(np.concatenate([regions, regions]), changed, np.random.default_rng(1), regions.shape[1:])
    assert np.array_equal(twice[:3], twice[3:]) and not np.array_equal(twice[:3], regions)


def test_a_centred_crop_brings_its_voxel_to_the_middle(head_and_tumour):
    settings, _, _ = head_and_tumour
    volume = np.zeros((1, 24, 24, 16), np.float32)
    volume[0, 17, 6, 9] = 1.0
    out = deform(volume, phase(settings), np.random.default_rng(0), (7, 7, 7), np.array([17, 6, 9]))
    assert out[0, 3, 3, 3] == pytest.approx(1.0, abs=1e-4) and out.sum() == pytest.approx(1.0, abs=1e-3)


def test_what_is_not_deformed_is_handed_on_as_it_is_also_when_mirrored(head_and_tumour):
    settings, image, _ = head_and_tumour
    mirrored = next(m for m in (flip(image, (0,), np.random.default_rng(seed)) for seed in range(9)) if not np.array_equal(m, image))
    out = deform(mirrored, phase(settings), np.random.default_rng(0), image.shape[1:])
    assert np.array_equal(out, image[:, ::-1]) and torch.tensor(out).shape == image.shape


@pytest.mark.parametrize("seed", range(5))
def test_recolouring_never_touches_the_background(head_and_tumour, seed):
    _, image, _ = head_and_tumour
    out = recolour(image, 0.3, np.random.default_rng(seed))
    assert (out[image == 0] == 0).all() and (out[image != 0] != image[image != 0]).mean() > 0.99


@pytest.mark.parametrize("seed", range(3))
def test_shading_multiplies_the_signal_by_a_smooth_field_of_mean_one(head_and_tumour, seed):
    _, image, _ = head_and_tumour
    foreground = image[0] != 0
    dark, mean, bright = (shaded(np.full_like(image[0], value), foreground, 0.2, np.random.default_rng(seed)) for value in (-1, 0, 1))
    field = bright - mean
    assert np.allclose(field, mean - dark, atol=1e-5) and (field > 0).all()
    assert field[foreground].mean() == pytest.approx(1.0, abs=1e-4) and field[foreground].std() > 0.02
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in range(3)) < np.ptp(field) / 3
    assert np.abs(mean).max() > np.ptp(field) / 3  # the brain's mean is shaded too, as no field does that multiplies z-scores


def test_some_sequences_are_dropped_but_never_all(head_and_tumour):
    _, image, _ = head_and_tumour
    rng = np.random.default_rng(0)
    left = [int((drop_sequences(image, chance, rng) != 0).any(axis=(1, 2, 3)).sum()) for chance in (0.5, 1.0) for _ in range(40)]
    assert min(left) == 1 and max(left[:40]) == 4 and set(left[40:]) == {1}
