"""The public API: every way to give images gives the command's result, what is public is listed, and the examples are true."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import ROOT, run_here
from tiny_bundle import SHAPE, save_raw_case

from LDMSegLib import api
from LDMSegLib.api import Cancellation, InputError, LDMSegError, evaluate, load_model, prepare, read_case, segment, synthesize
from LDMSegLib.events import Silent

NAMES = ("t1n", "t1c", "t2w", "t2f")


@pytest.fixture(autouse=True)
def embedded(tiny_bundle, tmp_path, monkeypatch):
    """The tiny bundle as the one that is embedded."""
    folder = tmp_path / "embedded"
    shutil.copytree(tiny_bundle, folder / "tiny")
    (folder / "DEFAULT").write_text("tiny")
    monkeypatch.setattr("LDMSegLib.models.bundle.EMBEDDED", folder)


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return load_model(tiny_bundle, members=2, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def paths(small_case) -> dict[str, Path]:
    return {name: small_case / f"small_case_{name}.nii.gz" for name in NAMES}


@pytest.fixture(scope="module")
def result(small_case, model):
    return segment(small_case, model)


@pytest.fixture
def here(small_case, paths, tmp_path, monkeypatch) -> Path:
    """A working folder with what the examples name: CASE, and a file for each sequence."""
    shutil.copytree(small_case, tmp_path / "here" / "CASE")
    for name, path in paths.items():
        shutil.copy(path, tmp_path / "here" / f"{name}.nii.gz")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


class Listener(Silent):
    def __init__(self):
        self.stages, self.warnings = [], []

    def stage(self, name, title):
        self.stages.append(name)

    def warning(self, message, **details):
        self.warnings.append(message)


# --------------------------------------------------------------------------------------------------- images


def ways(paths: dict[str, Path]) -> dict[str, dict]:
    images = {name: nib.load(path) for name, path in paths.items()}
    arrays = {name: np.asarray(image.dataobj) for name, image in images.items()}
    affine = images["t1c"].affine
    return {
        "a folder as text": {"images": str(paths["t1c"].parent)},
        "four paths": {"images": list(paths.values())},
        "named paths": {"images": {name: str(path) for name, path in paths.items()}},
        "nibabel images": {"images": images},
        "arrays with an affine": {"images": arrays, "affine": affine},
        "pairs": {"images": {name: (array, affine.tolist()) for name, array in arrays.items()}},
        "some of each": {"images": {**images, "t1n": paths["t1n"], "t2f": (arrays["t2f"].astype(np.float64), affine)}},
    }


@pytest.mark.parametrize("way", range(7))
def test_every_way_to_give_images_gives_the_same_maps(way, paths, model, result):
    name, given = list(ways(paths).items())[way]
    other = segment(given.pop("images"), model, **given)
    assert np.array_equal(other.probabilities, result.probabilities), name
    assert np.array_equal(other.variance, result.variance) and np.array_equal(other.label_map, result.label_map)
    assert np.array_equal(other.affine, result.affine)
    assert [one["sequence"] for one in other.provenance["inputs"]] == list(NAMES)
    assert all(len(one["sha256"]) == 64 for one in other.provenance["inputs"])


def test_images_in_memory_are_not_changed_and_may_change_afterwards(paths, model, result):
    images = {name: np.asarray(nib.load(path).dataobj, np.float32) for name, path in paths.items()}
    before = {name: image.copy() for name, image in images.items()}
    loaded = read_case(images, affine=nib.load(paths["t1c"]).affine)
    assert all(np.array_equal(images[name], before[name]) for name in NAMES)
    for image in images.values():
        image[:] = 0
    assert np.array_equal(segment(loaded, model).label_map, result.label_map)


def broken(paths: dict[str, Path]) -> list[tuple[object, dict, str]]:
    image = nib.load(paths["t1c"])
    array, affine = np.asarray(image.dataobj, np.float32), image.affine
    rest = {name: path for name, path in paths.items() if name != "t1c"}
    hole = array.copy()
    hole[3, 3, 3] = np.nan
    return [
        ({**rest, "t1c": array}, {}, "t1c has no affine"),
        ({**rest, "t1c": array}, {"affine": np.eye(3)}, "shape (3, 3)"),
        ({**rest, "t1c": array}, {"affine": np.diag([4.0, 4, 0, 1])}, "singular"),
        ({**rest, "t1c": array[..., None].repeat(2, 3)}, {"affine": affine}, "4-D"),
        ({**rest, "t1c": array[0]}, {"affine": affine}, "2 dimension"),
        ({**rest, "t1c": hole}, {"affine": affine}, "NaN"),
        ({**rest, "t1c": np.zeros_like(array)}, {"affine": affine}, "empty"),
        ({**rest, "t1c": array.astype(str)}, {"affine": affine}, "array of numbers"),
        ({**rest, "t1c": array + 1j}, {"affine": affine}, "array of numbers"),
        ({**rest, "t1c": None}, {"affine": affine}, "array of numbers"),
        ({**rest, "t1c": (array, affine)} | {"t9": array}, {}, "'t9' is not known"),
        ({"t2w": (array, affine)}, {}, "no image was given for"),
        ({}, {}, "no image was given"),
        ([], {}, "no images were given"),
        (array, {"affine": affine}, "given as ndarray"),
        (None, {}, "given as NoneType"),
        (paths["t1c"].parent / "absent", {}, "absent"),
        ([paths["t1c"].parent, paths["t1c"]], {}, "is a folder given among 2"),
        (paths, {"series": {"t1c": 3}}, "without a DICOM folder"),
        ([paths["t1c"], paths["t1n"]], {"series": {"t1c": 3}}, "is no folder"),
        ({**rest, "t1c": (array, affine), "t1n": (array, affine)}, {}, "hold the same image"),
    ]


@pytest.mark.parametrize("number", range(21))
def test_images_that_cannot_be_used_are_refused_in_one_sentence_before_torch_computes(number, paths):
    images, options, said = broken(paths)[number]
    with pytest.raises(InputError) as raised:
        read_case(images, **options)
    assert said in str(raised.value) and "\n" not in str(raised.value), raised.value


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"members": 0}, "members is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 5000}, "expected 1 to 1000"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"mode": "martian"}, "no mode 'martian'"),
        ({"device": "abacus"}, "the device is 'abacus'"),
        ({"prepare": "sometimes"}, "'sometimes'"),
        ({"result_on": "t9"}, "'t9'"),
        ({"prepare": "never", "brain_mask": "mask.nii.gz"}, "extracts no brain"),
        ({"dicom_seg": True}, "not from DICOM"),
        ({"dicom_seg_regions": ["XX"]}, "'XX'"),
        ({"site_rules": "absent.txt"}, "absent.txt"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_sentence(settings, said, small_case):
    with pytest.raises(LDMSegError) as raised:
        segment(small_case, **settings)
    assert said in str(raised.value) and "\n" not in str(raised.value), raised.value


def test_what_belongs_to_loading_or_reading_is_not_taken_in_vain(small_case, model):
    with pytest.raises(InputError, match="mode was given beside a loaded model"):
        segment(small_case, model, mode="long")
    with pytest.raises(InputError, match="case_id was given beside a case that was read"):
        segment(read_case(small_case), model, case_id="other")
    with pytest.raises(InputError, match="for_synthesis=True"):
        synthesize(model)


# --------------------------------------------------------------------------------------------------- results


def test_the_command_writes_what_the_api_saves(small_case, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", small_case, "-o", tmp_path / "command", "--bundle", tiny_bundle, "--members", 2, "--seed", 5)
    assert ran.code == 0, ran.err
    files = segment(small_case, tiny_bundle, members=2, seed=5).save(tmp_path / "api")
    assert {path.name for path in files.values()} == {path.name for path in (tmp_path / "command").iterdir()}
    for path in (tmp_path / "command").iterdir():
        if path.suffix in (".gz", ".csv"):
            assert path.read_bytes() == (tmp_path / "api" / path.name).read_bytes(), path.name
    ours, theirs = (json.loads((tmp_path / name / "provenance.json").read_text()) for name in ("api", "command"))
    assert list(ours) == list(theirs) and ours["timings_s"].keys() == theirs["timings_s"].keys()
    for changing in ("timings_s", "finished_at", "files"):
        ours.pop(changing), theirs.pop(changing)
    assert ours == theirs


def test_provenance_is_whole_before_anything_is_saved(result, tmp_path):
    assert list(result.provenance["timings_s"]) == ["read", "prepare", "condition", "sample", "restore"]
    saved = json.loads((result.save(tmp_path / "out")["provenance"]).read_text())
    assert {name: saved[name] for name in result.provenance} == dict(result.provenance)
    assert saved["preparing"]["result_grid"] == "t1c" and saved["sampling"]["mode"] == "solver"


def test_the_mode_that_was_loaded_is_the_one_that_is_recorded(small_case):
    made = segment(small_case, load_model(mode="long", members=1, steps=2))
    assert (made.provenance["sampling"]["mode"], made.provenance["sampling"]["steps"]) == ("long", 2)


def test_every_warning_is_a_field_of_the_result_and_told_once(small_case, model, tmp_path):
    case = shutil.copytree(small_case, tmp_path / "moved")
    image = nib.load(case / "small_case_t2f.nii.gz")
    affine = image.affine.copy()
    affine[:3, 3] += 2.0
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), case / "small_case_t2f.nii.gz")
    listener, cancellation = Listener(), Cancellation()

    def stops(fraction, member=0, step=0, steps=0, **details):
        if member >= 1 and fraction > 0.5:
            cancellation.request()

    listener.progress = stops
    made = segment(case, model, prepare="never", batch_size=1, reporter=listener, cancellation=cancellation)
    assert made.partial and len(made.warnings) >= 2
    assert any("another grid" in said for said in made.warnings) and any("partial" in said for said in made.warnings)
    assert listener.warnings == list(made.warnings) == made.provenance["warnings"]


def test_one_model_serves_another_number_of_members_and_steps(small_case, model):
    other = segment(small_case, model, members=1, steps=2)
    assert other.members_requested == 1 and other.provenance["sampling"]["steps"] == 2
    assert model.mode.members == 2 and model.mode.steps == 3


def test_maps_become_nibabel_images(result):
    labels = result.to_nifti()
    assert np.array_equal(np.asarray(labels.dataobj), result.label_map) and np.array_equal(labels.affine, result.affine)
    assert labels.get_data_dtype() == np.uint8 and labels.header.get_xyzt_units()[0] == "mm"
    everything = result.to_nifti("probability")
    assert everything.shape == (*SHAPE, 3)
    assert np.array_equal(np.asarray(result.to_nifti("probability", "TC").dataobj), np.asarray(everything.dataobj)[..., 1])
    assert np.array_equal(np.asarray(result.to_nifti("variance", "WT").dataobj), result.variance[2])
    for wrong in (("entropy",), ("variance", "XX"), ("labels", "WT")):
        with pytest.raises(InputError, match="is wanted"):
            result.to_nifti(*wrong)


def test_a_result_is_not_replaced_unless_asked_and_takes_another_convention(result, tmp_path):
    result.save(tmp_path / "out")
    with pytest.raises(LDMSegError, match="overwrite"):
        result.save(tmp_path / "out")
    files = result.save(tmp_path / "out", overwrite=True, convention="brats2017")
    assert set(np.unique(np.asarray(nib.load(files["labels"]).dataobj))) <= {0, 1, 2, 4}


# --------------------------------------------------------------------------------------------------- other jobs


def test_prepared_images_are_those_of_the_command_and_can_be_segmented(tiny_bundle, model, tmp_path, capsys):
    raw = save_raw_case(tmp_path / "raw")
    mask = raw / "brain_mask.nii.gz"
    listener = Listener()
    prepared = prepare(raw, tiny_bundle, brain_mask=mask, reporter=listener)
    assert "prepare-raw" in listener.stages and prepared.brain.shape == prepared.images["t1c"].shape
    assert not prepared.images["t2f"][~prepared.brain].any()
    assert np.array_equal(prepared.to_nifti()["t1c"].affine, prepared.affine)
    assert set(prepared.transforms) == {("t1n", "t1c"), ("t2w", "t1c"), ("t2f", "t1c"), ("t1c", "SRI24")}
    ran = run_here(capsys, "prepare", raw, "-o", tmp_path / "command", "--bundle", tiny_bundle, "--brain-mask", mask)
    assert ran.code == 0, ran.err
    files = prepared.save(tmp_path / "api")
    assert {*files, "provenance.json"} == {path.name for path in (tmp_path / "command").iterdir()}
    for path in (tmp_path / "command").glob("*.nii.gz"):
        assert path.read_bytes() == (tmp_path / "api" / path.name).read_bytes()
    made = segment(prepared, model)
    native = nib.load(next(raw.glob("*_t1c.nii.gz")))
    assert made.label_map.shape == native.shape and np.array_equal(made.affine, native.affine)
    assert made.provenance["preparation"]["steps"] and made.provenance["preparing"]["preparation"] == "always"
    assert "preparation" in made.save(tmp_path / "segmented")


def test_what_is_prepared_already_is_said(small_case):
    with pytest.raises(InputError, match="prepared already"):
        prepare(small_case, prepare="automatic")
    with pytest.raises(InputError, match="leaves nothing"):
        prepare(small_case, prepare="never")


def test_masks_are_a_sequence_and_are_saved_as_the_command_does(tiny_bundle, tmp_path, capsys):
    masks = synthesize(count=2, seed=4, any_shape=True)
    assert len(masks) == 2 and [mask.number for mask in masks] == [1, 2] and len(masks[:1]) == 1
    assert masks[0].labels.any() and masks.provenance["synthetic_input"] and masks.statistics.kept == 2
    files = masks.save(tmp_path / "api")
    options = ("-n", 2, "--seed", 4, "--any-shape", "--bundle", tiny_bundle)
    ran = run_here(capsys, "synthesize", "-o", tmp_path / "command", *options)
    assert ran.code == 0, ran.err
    assert {path.name for path in files.values()} == {path.name for path in (tmp_path / "command").iterdir()}
    assert np.array_equal(np.asarray(nib.load(files["mask_0001"]).dataobj), masks[0].labels)
    assert (tmp_path / "api" / "mask_0002.nii.gz").read_bytes() == (tmp_path / "command" / "mask_0002.nii.gz").read_bytes()
    assert (tmp_path / "api" / "volumes.csv").read_bytes() == (tmp_path / "command" / "volumes.csv").read_bytes()


def test_a_result_in_memory_is_scored_like_the_one_that_was_saved(result, tiny_bundle, tmp_path):
    truth = np.roll(result.label_map, 1, axis=0)
    reference = nib.Nifti1Image(truth, result.affine)
    nib.save(reference, tmp_path / "small_case_seg.nii.gz")
    result.save(tmp_path / "out")
    in_memory = evaluate(result, reference)
    in_file = evaluate(result, tmp_path / "small_case_seg.nii.gz")
    in_folders = evaluate(tmp_path / "out", tmp_path / "small_case_seg.nii.gz", bundle=tiny_bundle)
    assert in_memory.rows == in_file.rows == in_folders.rows and len(in_memory.rows) == 3
    assert in_memory.complete and in_folders.complete and 0 < in_memory.rows[2]["dice"] < 1
    with pytest.raises(InputError, match="another grid"):
        evaluate(result, nib.Nifti1Image(truth, result.affine + 1))
    with pytest.raises(InputError, match="expected only 0 and"):
        evaluate(result, nib.Nifti1Image(truth * 9, result.affine), labels="NCR=1,ED=2,ET=3")
    with pytest.raises(InputError, match="unknown, expected glioma"):
        evaluate(result, reference, rules="martian")


# ------------------------------------------------------------------------------------------ what is public, and what is said of it


def page() -> str:
    return (ROOT / "Documentation" / "engineer" / "api.md").read_text(encoding="utf-8")


def test_what_is_public_is_what_the_page_lists():
    section = page().split("## What is public\n")[1].split("## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(api.__all__)


def test_every_public_name_has_a_line_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in api.__all__ if f"`{name}`" not in changelog] == []


def test_the_package_says_that_it_is_typed_and_every_public_function_is(tmp_path):
    assert (ROOT / "LDMSegLib" / "py.typed").is_file() and "py.typed" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in api.__all__:
        one = getattr(api, name)
        assert one.__doc__, name
        functions = (
            [one]
            if inspect.isfunction(one)
            else [f for _, f in inspect.getmembers(one, inspect.isfunction) if f.__module__ == api.__name__]
        )
        for function in functions:
            if not function.__name__.startswith("_"):
                signature = inspect.signature(function)
                bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]
                assert not bare and signature.return_annotation is not signature.empty, (function.__qualname__, bare)


def test_every_keyword_has_its_line_in_the_docstring():
    for name in ("load_model", "read_case", "segment", "prepare", "synthesize", "evaluate"):
        function = getattr(api, name)
        told = set(re.findall(r"^ {4}(\w+): ", inspect.getdoc(function), re.MULTILINE))
        assert set(inspect.signature(function).parameters) <= told, name


def test_importing_the_api_loads_neither_torch_nor_pictures():
    code = "import sys, LDMSegLib.api; print(sorted({'torch', 'monai', 'matplotlib', 'SimpleITK', 'highdicom'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_examples_in_the_docstrings_are_true(here):
    failed, tried = doctest.testmod(api)
    assert failed == 0 and tried > 10


@pytest.mark.parametrize("document", ["README.md", "Documentation/engineer/api.md"])
def test_the_example_in_the_documents_is_true(document, here, capsys):
    text = (ROOT / document).read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "LDMSegLib.api" in block)
    exec(compile(example, document, "exec"), {})
    assert "RegionVolume" in capsys.readouterr().out and (here / "out" / "report.png").is_file()
