"""`ldmseg segment` on real files: what it writes, where it lies, what it says, and that it is the same again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here, run_process
from PIL import Image
from tiny_bundle import SHAPE, save_small_case, save_tiny_bundle, small_affine, small_images, tiny_specification

from LDMSegLib.specification import Label, Region, Sequence

MAPS = [f"{kind}_{region}.nii.gz" for kind in ("probability", "variance") for region in ("ET", "TC", "WT")]
OTHERS = ["labels.nii.gz", "report.png", "volumes.csv", "uncertain_regions.csv", "provenance.json"]


@pytest.fixture(scope="module")
def result(tmp_path_factory, small_case, tiny_bundle) -> tuple[Path, list[dict]]:
    """One run in a process of its own, with events: the result's folder and what was told."""
    out = tmp_path_factory.mktemp("results") / "out"
    ran = run_process("segment", small_case, "-o", out, "--bundle", tiny_bundle, "--json-events", "--device", "cpu")
    assert ran.code == 0 and ran.err == "", ran.err
    return out, [json.loads(line) for line in ran.out.splitlines()]


def test_a_result_folder_holds_all_that_is_promised_and_nothing_else_is_beside_it(result):
    out, _ = result
    assert sorted(file.name for file in out.iterdir()) == sorted([*MAPS, *OTHERS])
    assert [entry.name for entry in out.parent.iterdir()] == ["out"]


def test_events_tell_every_stage_the_progress_and_at_the_end_all_paths_and_volumes(result):
    out, events = result
    stages = [event["stage"] for event in events if event["event"] == "stage"]
    assert stages == ["read", "load", "prepare", "condition", "sample", "restore", "write"]
    steps = [(e["member"], e["members"], e["step"], e["steps"]) for e in events if e["event"] == "progress"]
    assert steps[-1] == (4, 4, 3, 3) and all("seconds_left" in e for e in events if e["event"] == "progress")
    last = events[-1]
    assert last["event"] == "result" and last["case"] == "small_case" and last["partial"] is False
    assert sorted(Path(path).name for path in last["files"].values()) == sorted([*MAPS, *OTHERS])
    assert all(Path(path).is_file() for path in last["files"].values())
    labels = np.asarray(nib.load(out / "labels.nii.gz").dataobj)
    volumes = {volume["region"]: volume["ensemble"] for volume in last["volumes_ml"]}
    assert volumes["WT"] == pytest.approx(np.count_nonzero(labels) * 0.064)
    assert volumes["ET"] == pytest.approx(np.count_nonzero(labels == 3) * 0.064) and volumes["ET"] > 0


def test_the_provenance_says_how_the_result_came_about(result, small_case, tiny_bundle):
    record = json.loads((result[0] / "provenance.json").read_text())
    weights = json.loads((tiny_bundle / "configs" / "metadata.json").read_text())["ldmseg"]["weights"]["sha256"]
    assert record["bundle"]["weights_sha256"] == weights and "Research use only" in record["intended_use"]
    assert record["sampling"] | {"seed": 0, "mode": "solver", "steps": 3, "members_requested": 4} == record["sampling"]
    assert {item["sequence"]: item["file"] for item in record["inputs"]} == {
        name: f"small_case_{name}.nii.gz" for name in ("t1n", "t1c", "t2w", "t2f")
    }
    assert {"read", "load", "prepare", "condition", "sample"} <= set(record["timings_s"]) and not record["synthetic_input"]


def test_the_report_is_a_page_with_a_picture(result):
    page = np.asarray(Image.open(result[0] / "report.png").convert("L"))
    assert page.shape[0] > 1.3 * page.shape[1] > 1000 and page.std() > 30


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(result, small_case, tiny_bundle, tmp_path, capsys):
    first = result[0]
    for out, seed in ((tmp_path / "again", 0), (tmp_path / "other", 1)):
        assert run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, "--seed", seed, "--device", "cpu").code == 0
    tables = ["volumes.csv", "uncertain_regions.csv"]
    assert all((first / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in [*MAPS, "labels.nii.gz", *tables])
    assert all((first / name).read_bytes() != (tmp_path / "other" / name).read_bytes() for name in MAPS)


def test_a_person_is_told_volumes_places_paths_and_that_it_is_for_research(small_case, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--brats-labels", "--synthetic")
    assert ran.code == 0 and ran.err == ""
    for said in ("Whole tumour", "volume mL", "of 4 of 4 members", "Where to look first", str(tmp_path / "out" / "report.png")):
        assert said in ran.out
    assert ran.out.rstrip().splitlines()[-1].startswith("Research use only")
    labels = np.unique(np.asarray(nib.load(tmp_path / "out" / "labels.nii.gz").dataobj))
    assert set(labels) == {0, 1, 2, 4}, "--brats-labels writes ET as 4"
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["synthetic_input"] is True


def oblique(orientation: str) -> np.ndarray:
    """An affine whose axes run towards these letters, turned by 12° and 7°."""
    flips = np.diag([1.0 if letter in "RAS" else -1.0 for letter in orientation])
    a, b = np.radians(12.0), np.radians(7.0)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return small_affine(directions=turn @ tilt @ flips)


@pytest.mark.parametrize(("orientation", "codes"), [("LPS", (1, 2)), ("RAS", (0, 4)), ("LAS", (3, 0))])
def test_the_maps_lie_on_the_reference_sequences_grid_byte_for_byte(orientation, codes, tiny_bundle, tmp_path, capsys):
    folder = tmp_path / "case"
    folder.mkdir()
    affine = oblique(orientation)
    for name, array in small_images().items():
        nifti = nib.Nifti1Image(array, affine)
        nifti.set_qform(affine, codes[0])
        nifti.set_sform(affine if codes[1] else None, codes[1])
        nib.save(nifti, folder / f"case_{name}.nii")
    assert run_here(capsys, "segment", folder, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1).code == 0
    reference = (folder / "case_t1c.nii").read_bytes()
    for name in ("labels", "probability_WT", "variance_ET"):
        header = nib.load(tmp_path / "out" / f"{name}.nii.gz").header.binaryblock
        assert header[76:92] == reference[76:92], "pixdim: handedness and voxel sizes"
        assert header[252:328] == reference[252:328], "qform and sform: codes, quaternion, offsets, rows"
        assert nib.load(tmp_path / "out" / f"{name}.nii.gz").shape == SHAPE


def test_a_bundle_with_other_words_gives_other_options_and_files(tmp_path, capsys):
    specification = tiny_specification(
        name="stroke",
        sequences=(Sequence("dwi", "Diffusion"), Sequence("adc", "Apparent diffusion coefficient")),
        reference="adc",
        labels=(Label("CORE", 5, "Infarct core", (255, 0, 0)), Label("RIM", 2, "Penumbra", (0, 0, 255))),
        regions=(Region("CORE", "Infarct core", ("CORE",), (255, 0, 0)), Region("ALL", "Infarct", ("CORE", "RIM"), (0, 0, 255))),
    )
    bundle = save_tiny_bundle(tmp_path / "stroke", specification)
    case = save_small_case(tmp_path / "p1", ("dwi", "adc"))
    files = ["--dwi", case / "p1_dwi.nii.gz", "--adc", case / "p1_adc.nii.gz"]
    ran = run_here(capsys, "segment", *files, "-o", tmp_path / "out", "--bundle", bundle)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out" / "probability_ALL.nii.gz").is_file() and (tmp_path / "out" / "report.png").is_file()
    assert set(np.unique(np.asarray(nib.load(tmp_path / "out" / "labels.nii.gz").dataobj))) == {0, 2, 5}
    ran = run_here(capsys, "segment", "--t1c", "x.nii.gz", "-o", tmp_path / "out2", "--bundle", bundle)
    assert ran.code == 2 and "--t1c" in ran.error
    ran = run_here(capsys, "segment", "--bundle", bundle, "--help")
    assert ran.code == 0 and "--dwi FILE" in ran.out and "--t1c" not in ran.out


def test_a_computed_image_is_called_synthetic_without_being_told(small_case, tiny_bundle, tmp_path, capsys):
    case = Path(shutil.copytree(small_case, tmp_path / "case"))
    for file in case.iterdir():
        nifti = nib.load(file)
        nifti.header["descrip"] = b"SYNTHETIC image, not a person"
        nib.save(nib.Nifti1Image(np.asarray(nifti.dataobj), nifti.affine, nifti.header), file)
    ran = run_here(capsys, "segment", case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 0 and json.loads((tmp_path / "out" / "provenance.json").read_text())["synthetic_input"] is True


def test_an_earlier_result_is_replaced_only_when_asked(result, small_case, tiny_bundle, tmp_path, capsys):
    out = Path(shutil.copytree(result[0], tmp_path / "out"))
    ran = run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, "--members", 1)
    assert ran.code == 2 and "--overwrite" in ran.error
    assert json.loads((out / "provenance.json").read_text())["sampling"]["members_requested"] == 4
    ran = run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, "--members", 1, "--overwrite")
    assert ran.code == 0
    assert json.loads((out / "provenance.json").read_text())["sampling"]["members_requested"] == 1
