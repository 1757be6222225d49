"""Raw scans through the command line: prepared, segmented, and back on the grid they came from."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here
from scipy import ndimage
from tiny_bundle import FLAIR_MOVED, SEQUENCES, save_raw_case, save_small_case, save_tiny_bundle, tiny_specification

from LDMSegLib.preprocessing import bias_field, pipeline, registration
from LDMSegLib.preprocessing.registration import Registration


@pytest.fixture(autouse=True, scope="module")
def network_cable_out():
    """Whoever tries to reach another computer fails."""

    def refused(*_):
        raise AssertionError("a connection was tried")

    with mock.patch.object(socket.socket, "connect", refused), mock.patch.object(socket, "getaddrinfo", refused):
        yield


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """See `tiny_bundle.save_raw_case`. Not to be changed."""
    return save_raw_case(tmp_path_factory.mktemp("raw") / "raw")


@pytest.fixture(scope="module")
def result(raw, tiny_bundle, tmp_path_factory) -> Path:
    from LDMSegLib.cli.entry_point import main

    out = tmp_path_factory.mktemp("out") / "result"
    options = ["--brain-mask", raw / "brain_mask.nii.gz", "--bundle", tiny_bundle, "--members", 1, "--result-on", "t2f"]
    assert main([str(part) for part in ("segment", raw, "-o", out, *options)]) == 0
    return out


def image(folder: Path, name: str) -> Path:
    return next(folder.glob(f"*_{name}.nii.gz"))


def test_the_result_lies_on_the_native_grid_of_the_sequence_asked_for(raw, result):
    labels, reference = nib.load(result / "labels.nii.gz"), nib.load(image(raw, "t2f"))
    assert labels.shape == reference.shape and np.array_equal(labels.affine, reference.affine)
    probability = np.asarray(nib.load(result / "probability_WT.nii.gz").dataobj)
    # Array by array the moved FLAIR is the reference: its brain is in the same voxels, however it was moved in the world.
    brain = ndimage.binary_dilation(np.asarray(nib.load(raw / "brain_mask.nii.gz").dataobj) > 0, iterations=2)
    assert probability[brain].max() > 0.2 and not probability[~brain].any()


def test_transforms_pictures_and_what_was_done_are_kept(result):
    for name in ("preparation.png", "transform_t2f_to_t1c.tfm", "transform_t2f_to_t1c.mat", "transform_t1c_to_SRI24.tfm"):
        assert (result / name).stat().st_size > 0
    record = json.loads((result / "provenance.json").read_text())
    assert "preparation.png" in record["files"]
    done = record["preparation"]
    assert any("skull" in reason for reason in done["reasons"]) and any("Brain, given" in step for step in done["steps"])
    assert set(done["shading"]) == {"t1n", "t1c", "t2w", "t2f"} and any(
        "after bias field correction, for half of the members" in step for step in done["steps"]
    )


def test_a_moved_sequence_is_brought_back(result):
    matrix = np.array(json.loads((result / "provenance.json").read_text())["preparation"]["matrices_ras_mm"]["t2f_to_t1c"])
    # The image's own voxels are of 4 mm.
    middle = np.append(FLAIR_MOVED, 1.0)  # the world's origin lies in the middle of the image before it is moved
    assert np.linalg.norm((matrix @ middle)[:3]) < 3.0


def test_prepare_alone_writes_what_segment_takes_without_preparing_again(raw, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "prepared"
    ran = run_here(capsys, "prepare", raw, "-o", out, "--bundle", tiny_bundle, "--brain-mask", raw / "brain_mask.nii.gz")
    assert ran.code == 0, ran.err
    images = [nib.load(image(out, name)) for name in ("t1n", "t1c", "t2w", "t2f")]
    assert all(one.shape == (240, 240, 155) and one.header.get_zooms() == (1, 1, 1) for one in images)
    brain = np.asarray(nib.load(image(out, "brainmask")).dataobj) > 0
    assert all(not np.asarray(one.dataobj)[~brain].any() for one in images)
    ran = run_here(capsys, "segment", out, "-o", tmp_path / "result", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0, ran.err
    assert "preparation" not in json.loads((tmp_path / "result" / "provenance.json").read_text())


def test_with_any_number_of_threads_the_same_raw_scans_give_the_same_bytes(raw, tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(registration, "LEVELS", registration.LEVELS[:1])  # quick
    monkeypatch.setattr(bias_field, "ITERATIONS", (3,))
    told = {}
    for threads in (1, 3):
        options = ["--bundle", tiny_bundle, "--members", 2, "--brain-mask", raw / "brain_mask.nii.gz", "--threads", threads]
        ran = run_here(capsys, "segment", raw, "-o", tmp_path / str(threads), *options)
        assert ran.code == 0, ran.err
        told[threads] = json.loads((tmp_path / str(threads) / "provenance.json").read_text())
    assert told[1]["preparation"]["matrices_ras_mm"] == told[3]["preparation"]["matrices_ras_mm"]
    same = [name for name in told[1]["files"] if not name.endswith(".png")]
    assert len(same) > 10 and all(told[1]["files"][name] == told[3]["files"][name] for name in same)


def test_a_result_wanted_on_a_sequence_that_is_not_there_is_refused_before_anything_is_registered(
    raw, any_bundle, tmp_path, capsys, monkeypatch
):
    def never(*_):
        raise AssertionError("registered before the question was settled")

    monkeypatch.setattr(pipeline, "register", never)
    folder = without(raw, tmp_path / "case", "t2f")
    mask = ["--brain-mask", raw / "brain_mask.nii.gz"]
    for command in ("segment", "prepare"):
        ran = run_here(capsys, command, folder, "-o", tmp_path / "out", "--bundle", any_bundle, "--result-on", "t2f", *mask)
        assert ran.code == 2 and "wanted on t2f, which is not there; choose one of t1n, t1c, t2w" in ran.error
        ran = run_here(capsys, command, folder, "-o", tmp_path / "out", "--bundle", any_bundle, "--result-on", "flair", *mask)
        assert ran.code == 2 and "'flair'" in ran.error and "t2f" in ran.error


def test_the_result_of_a_case_that_needs_no_preparation_lies_on_the_grid_asked_for_too(small_case, tiny_bundle, tmp_path, capsys):
    folder = Path(shutil.copytree(small_case, tmp_path / "case"))
    file = image(folder, "t2f")
    whole = nib.load(file)
    thick = np.asarray(whole.dataobj)[:, :, 1::2]
    affine = whole.affine @ np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = (whole.affine @ [0, 0, 1, 1])[:3]
    nib.save(nib.Nifti1Image(thick, affine), file)
    ran = {}
    for on in ("t2f", "t1c"):
        options = ["--bundle", tiny_bundle, "--members", 1, "--prepare", "never", "--result-on", on]
        ran[on] = run_here(capsys, "segment", folder, "-o", tmp_path / on, *options)
        assert ran[on].code == 0, ran[on].err
        labels = nib.load(tmp_path / on / "labels.nii.gz")
        assert labels.shape == nib.load(image(folder, on)).shape and np.array_equal(labels.affine, nib.load(image(folder, on)).affine)
    thin, thick = (np.asarray(nib.load(tmp_path / on / "probability_WT.nii.gz").dataobj) for on in ("t1c", "t2f"))
    both = (thin[:, :, 1::2] > 0) & (thick > 0)
    assert both.sum() > 1000 and np.abs(thin[:, :, 1::2] - thick)[both].max() < 0.05


def test_a_head_in_which_no_brain_is_found_is_refused_in_one_sentence_and_nothing_is_left(raw, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", raw, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--brain-extraction", "magic")
    assert ran.code == 2 and "'magic' is unknown" in ran.error and "deepbet" in ran.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("distinct", "code"), [(1.3, 2), (1.9, 0)])
def test_a_sequence_that_fits_nowhere_is_refused_and_one_that_hardly_fits_is_warned_of(
    distinct, code, raw, tiny_bundle, tmp_path, capsys, monkeypatch
):
    """What such images measure is tested with the registration and by Testing/benchmarks/subject_mismatch.py; here: what becomes of it."""
    found = Registration(np.eye(4), 0.15, 2, distinct)
    monkeypatch.setattr(pipeline, "register", lambda *_: found)
    options = ["--bundle", tiny_bundle, "--members", 1, "--brain-mask", raw / "brain_mask.nii.gz"]
    ran = run_here(capsys, "segment", raw, "-o", tmp_path / "out", *options)
    assert ran.code == code, ran.err
    if code:
        assert "raw_t1n.nii.gz (t1n) does not fit" in ran.err and "1.30 times" in ran.err and "different patients" in ran.err
        assert not (tmp_path / "out").exists()
    else:
        said = json.loads((tmp_path / "out" / "provenance.json").read_text())
        assert any("t1n could hardly be brought onto t1c" in w for w in said["warnings"])
        assert said["preparation"]["distinctness"]["t1n"] == 1.9


def test_the_settings_of_preparing_are_recorded(result):
    asked = json.loads((result / "provenance.json").read_text())["preparing"]
    assert (asked["preparation"], asked["brain_extraction"], asked["result_grid"]) == ("automatic", "deepbet", "t2f")
    assert len(asked["brain_mask_sha256"]) == 64


def test_a_field_of_view_that_cuts_the_brain_is_told_with_the_area_of_the_cut(raw, tiny_bundle, tmp_path, capsys):
    folder = shutil.copytree(raw, tmp_path / "case")
    for name in ("t1n", "t1c", "t2w", "t2f"):
        nifti = nib.load(image(folder, name))
        cut = nib.Nifti1Image(np.asarray(nifti.dataobj)[:, :, :20], nifti.affine)
        nib.save(cut, folder / f"cut_{name}.nii.gz")
        next(file for file in folder.glob(f"*_{name}.nii.gz") if not file.name.startswith("cut")).unlink()
    ran = run_here(capsys, "prepare", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--brain-mask", raw / "brain_mask.nii.gz")
    assert ran.code == 0, ran.err
    said = json.loads((tmp_path / "out" / "provenance.json").read_text())["warnings"]
    assert any("the field of view of t1c cuts through the brain (" in w and "use whole-brain images" in w for w in said), said


@pytest.fixture
def apart(tmp_path) -> Path:
    """Stripped brains, of which one lies on another grid: only the headers say where."""
    folder = save_small_case(tmp_path / "apart")
    file = image(folder, "t2w")
    nifti = nib.load(file)
    nib.save(nib.Nifti1Image(np.asarray(nifti.dataobj)[:, :, 1:], nifti.affine @ nib.affines.from_matvec(np.eye(3), [0, 0, 1])), file)
    return folder


def test_without_simpleitk_stripped_images_on_other_grids_are_resampled_with_a_warning(apart, tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    monkeypatch.setitem(sys.modules, "deepbet", None)
    ran = run_here(capsys, "segment", apart, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert "preparation" not in record
    assert any("t2w would be brought onto t1c if SimpleITK were installed" in w for w in record["warnings"])
    assert any("t2w lies on another grid than t1c and was resampled" in w for w in record["warnings"])


def test_without_simpleitk_what_was_asked_for_is_refused_with_what_to_install(apart, tiny_bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    ran = run_here(capsys, "segment", apart, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--prepare", "always")
    assert ran.code == 2 and "pip install SimpleITK" in ran.err.splitlines()[-1] and not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def any_bundle(tmp_path_factory) -> Path:
    """A bundle of which no sequence is required."""
    optional = tuple(replace(sequence, required=False) for sequence in SEQUENCES)
    return save_tiny_bundle(tmp_path_factory.mktemp("bundles") / "any", tiny_specification(sequences=optional))


def without(raw: Path, folder: Path, *names: str) -> Path:
    shutil.copytree(raw, folder)
    for name in names:
        image(folder, name).unlink()
    return folder


def test_raw_scans_without_t1c_are_brought_onto_t1n_and_the_result_says_so(raw, any_bundle, tmp_path, capsys):
    folder, out = without(raw, tmp_path / "case", "t1c"), tmp_path / "out"
    options = ["--bundle", any_bundle, "--members", 1, "--brain-mask", raw / "brain_mask.nii.gz"]
    ran = run_here(capsys, "segment", folder, "-o", out, *options)
    assert ran.code == 0, ran.err
    record = json.loads((out / "provenance.json").read_text())
    assert record["missing_sequences"] == ["t1c"] and [one["sequence"] for one in record["inputs"]] == ["t1n", "t2w", "t2f"]
    assert any("t1c is missing, so t1n gives the grid" in w for w in record["warnings"])
    assert any("without t1c: the result rests on t1n, t2w, t2f alone" in w for w in record["warnings"])
    labels, reference = nib.load(out / "labels.nii.gz"), nib.load(image(folder, "t1n"))
    assert labels.shape == reference.shape and np.array_equal(labels.affine, reference.affine)
    assert {file.name for file in out.glob("transform_*.tfm")} == {
        f"transform_{a}.tfm" for a in ("t2w_to_t1n", "t2f_to_t1n", "t1n_to_SRI24")
    }
    matrix = np.array(record["preparation"]["matrices_ras_mm"]["t2f_to_t1n"])
    assert np.linalg.norm((matrix @ np.append(FLAIR_MOVED, 1.0))[:3]) < 3.0


def test_without_any_t1_the_brain_is_looked_for_in_what_is_there_with_a_warning(raw, any_bundle, tmp_path, capsys, monkeypatch):
    folder, out = without(raw, tmp_path / "case", "t1n", "t1c"), tmp_path / "out"
    mask = np.asarray(nib.load(raw / "brain_mask.nii.gz").dataobj, np.float32)
    monkeypatch.setattr(pipeline, "find_brain", lambda volume, method: mask)
    monkeypatch.setattr(pipeline, "whole_brain", lambda probability, volume, name: probability > 0.5)
    ran = run_here(capsys, "prepare", folder, "-o", out, "--bundle", any_bundle)
    assert ran.code == 0, ran.err
    record = json.loads((out / "provenance.json").read_text())
    assert any("looked for in t2w, because no T1 image is there" in w and "hd-bet" in w for w in record["warnings"])
    assert list(record["preparation"]["matrices_ras_mm"]) == ["t2f_to_t2w", "t2w_to_SRI24"]


@pytest.mark.parametrize("command", ["segment", "prepare"])
def test_a_bundle_that_needs_all_four_says_which_one_is_missing(command, raw, tiny_bundle, tmp_path, capsys):
    folder = without(raw, tmp_path / "case", "t1c")
    ran = run_here(capsys, command, folder, "-o", tmp_path / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and "no file for T1 post-contrast (t1c)" in ran.error and "--t1c FILE" in ran.error
    assert not (tmp_path / "out").exists()
