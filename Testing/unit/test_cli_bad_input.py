"""Whatever is wrong with what a user gives: exit code 2, one sentence that names it, nothing left behind."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commandline import run_here, run_process

SEQUENCES = ("t1n", "t1c", "t2w", "t2f")


@pytest.fixture
def case(small_case, tmp_path) -> Path:
    """A copy of the small case that may be spoilt."""
    return Path(shutil.copytree(small_case, tmp_path / "in" / "patient"))


@pytest.fixture
def out(tmp_path) -> Path:
    """Where the result would go; its parent is there and empty."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "out"


def image(case: Path, name: str) -> Path:
    return case / f"small_case_{name}.nii.gz"


def rewrite(
    path: Path, change: Callable[[np.ndarray], np.ndarray] = lambda a: a, affine: np.ndarray | None = None, dtype=np.float32
) -> None:
    loaded = nib.load(path)
    array = change(np.asarray(loaded.dataobj, dtype=np.float32).copy())
    nib.save(nib.Nifti1Image(array, loaded.affine if affine is None else affine), path)


def with_value(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[20, 20, 15] = value
        return array

    return change


def singular(path: Path) -> None:
    content = nib.load(path)
    header = content.header.copy()
    header["sform_code"], header["qform_code"] = 1, 0
    header["srow_x"], header["srow_y"], header["srow_z"] = [4, 0, 0, 0], [4, 0, 0, 0], [0, 0, 4, 0]
    nib.Nifti1Image(np.asarray(content.dataobj), None, header).to_filename(path)


def no_longer_readable(path: Path) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs /proc for a file that is there and cannot be read, also by an administrator")
    path.unlink()
    path.symlink_to("/proc/self/mem")


def turn_to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").touch()


SPOILT = {
    "truncated gzip": (lambda p: p.write_bytes(p.read_bytes()[:-3000]), "truncated or damaged gzip"),
    "empty file": (lambda p: p.write_bytes(b""), "is empty (0 bytes)"),
    "not NIfTI": (lambda p: p.write_bytes(b"DICM" * 1000), "is not a NIfTI file"),
    "unreadable": (no_longer_readable, "cannot be read"),
    "4-D": (lambda p: rewrite(p, lambda a: np.stack([a, a], axis=-1)), "is 4-D"),
    "NaN": (lambda p: rewrite(p, with_value(np.nan)), "NaN or infinite"),
    "infinite": (lambda p: rewrite(p, with_value(np.inf)), "NaN or infinite"),
    "constant": (lambda p: rewrite(p, lambda a: a * 0 + 7), "is constant"),
    "empty image": (lambda p: rewrite(p, lambda a: a * 0), "is empty (every voxel is 0)"),
    "absurd spacing": (lambda p: rewrite(p, affine=np.diag([4000.0, 4000.0, 4000.0, 1.0])), "has voxels of 4000"),
    "singular affine": (singular, "singular affine"),
    "no overlap": (lambda p: rewrite(p, affine=nib.affines.from_matvec(np.eye(3) * 4, [5000.0, 0, 0])), "does not overlap"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_image_is_named_and_nothing_is_left(what, case, out, tiny_bundle, capsys):
    spoil, said = SPOILT[what]
    spoil(image(case, "t2f"))
    ran = run_here(capsys, "segment", case, "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2
    assert said in ran.error and "small_case_t2f.nii.gz" in ran.error
    assert not any(out.parent.iterdir())


def test_a_missing_file_is_named(case, out, tiny_bundle, capsys):
    given = [part for name in SEQUENCES for part in (f"--{name}", image(case, name))]
    given[-1] = case / "not_there.nii.gz"
    ran = run_here(capsys, "segment", *given, "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "not_there.nii.gz does not exist" in ran.error
    assert not any(out.parent.iterdir())


def test_a_missing_folder_is_named(tmp_path, out, tiny_bundle, capsys):
    ran = run_here(capsys, "segment", tmp_path / "nobody", "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "nobody does not exist" in ran.error
    assert not any(out.parent.iterdir())


def test_too_few_files_are_counted_and_the_missing_sequence_is_named(case, out, tiny_bundle, capsys):
    ran = run_here(capsys, "segment", *(image(case, name) for name in SEQUENCES[:3]), "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "t2f" in ran.error and "among 3 image(s)" in ran.error
    assert not any(out.parent.iterdir())


def test_too_few_options_name_the_missing_sequence(case, out, tiny_bundle, capsys):
    ran = run_here(capsys, "segment", "--t1c", image(case, "t1c"), "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "t1n" in ran.error and "t2w" in ran.error and "t2f" in ran.error
    assert not any(out.parent.iterdir())


def test_one_file_given_twice_is_named(case, out, tiny_bundle, capsys):
    twice = image(case, "t2w")
    given = ["--t1n", image(case, "t1n"), "--t1c", image(case, "t1c"), "--t2w", twice, "--t2f", twice]
    ran = run_here(capsys, "segment", *given, "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and ran.error.count("small_case_t2w.nii.gz") == 1 and "both as t2w and as t2f" in ran.error
    assert not any(out.parent.iterdir())


def test_one_image_under_two_names_is_found_out(case, out, tiny_bundle, capsys):
    shutil.copy(image(case, "t2w"), image(case, "t2f"))
    ran = run_here(capsys, "segment", case, "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "hold the same image" in ran.error and "small_case_t2w" in ran.error and "small_case_t2f" in ran.error
    assert not any(out.parent.iterdir())


def test_two_candidates_for_one_sequence_are_both_named(case, out, tiny_bundle, capsys):
    shutil.copy(image(case, "t2f"), case / "other_FLAIR.nii.gz")
    ran = run_here(capsys, "segment", case, "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "small_case_t2f.nii.gz" in ran.error and "other_FLAIR.nii.gz" in ran.error
    assert not any(out.parent.iterdir())


def test_an_image_with_its_skull_is_segmented_with_a_warning_that_says_what_to_do(case, out, tiny_bundle, capsys):
    rng = np.random.default_rng(0)
    for name in SEQUENCES:
        rewrite(image(case, name), lambda a: a + rng.uniform(1, 9, a.shape).astype(np.float32))
    ran = run_here(capsys, "segment", case, "-o", out, "--bundle", tiny_bundle, "--members", 1, "--prepare", "never")
    assert ran.code == 0
    warnings = [line for line in ran.err.splitlines() if "skull-stripped" in line]
    assert len(warnings) == 1 and "extract the brain" in warnings[0]
    assert "skull-stripped" in " ".join(json.loads((out / "provenance.json").read_text())["warnings"])


@contextlib.contextmanager
def too_small_a_disk(folder: Path) -> Iterator[None]:
    """A file system of 40 kB at `folder` where one may be mounted; elsewhere no file may grow beyond 20 kB."""
    size = "size=40k,nr_inodes=100"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, check=False).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("job", ["segment", "synthesize"])
def test_a_full_disk_is_said_and_nothing_is_left_on_it(job, small_case, out, tiny_bundle, capsys):
    arguments = [small_case, "--members", 1] if job == "segment" else ["-n", 2]
    with too_small_a_disk(out.parent):
        ran = run_here(capsys, job, *arguments, "-o", out, "--bundle", tiny_bundle)
        left = list(out.parent.iterdir())
    assert ran.code == 2 and str(out) in ran.error and "free some space" in ran.error
    assert left == []


def test_an_output_below_a_file_is_refused_before_anything_is_read(small_case, tmp_path, tiny_bundle, capsys):
    (tmp_path / "file").touch()
    ran = run_here(capsys, "segment", small_case, "-o", tmp_path / "file" / "out", "--bundle", tiny_bundle)
    assert ran.code == 2 and "is not a folder" in ran.error and str(tmp_path / "file") in ran.error
    assert (tmp_path / "file").read_bytes() == b"" and "Reading" not in ran.out


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_a_folder_of_other_things_is_never_replaced(flags, small_case, out, tiny_bundle, capsys):
    out.mkdir()
    (out / "thesis.docx").write_text("mine")
    ran = run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, *flags)
    assert ran.code == 2 and "thesis.docx" in ran.error and "Reading" not in ran.out
    assert (out / "thesis.docx").read_text() == "mine"


def spoil_weights(bundle: Path) -> None:
    weights = bundle / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)


def make_foreign(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    del metadata["ldmseg"]
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))


BUNDLES = {
    "a flipped bit in the weights": (spoil_weights, "has SHA-256"),
    "no weights": (lambda b: (b / "models" / "model.safetensors").unlink(), "has no weights file"),
    "another program's": (make_foreign, "was made for another program"),
    "half a JSON file": (lambda b: (b / "configs" / "metadata.json").write_text('{"ldmseg": {'), "is not readable JSON"),
    "no bundle at all": (lambda b: shutil.rmtree(b / "configs"), "has no configs/metadata.json"),
}


@pytest.mark.parametrize("what", BUNDLES)
@pytest.mark.parametrize("job", ["segment", "synthesize"])
def test_a_spoilt_bundle_is_named_and_nothing_is_left(what, job, small_case, tmp_path, out, tiny_bundle, capsys):
    spoil, said = BUNDLES[what]
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "spoilt"))
    spoil(bundle)
    arguments = [small_case] if job == "segment" else []
    ran = run_here(capsys, job, *arguments, "-o", out, "--bundle", bundle)
    assert ran.code == 2 and said in ran.error and str(bundle) in ran.error
    assert not any(out.parent.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mode", "magic"], "has no mode 'magic'; it has solver, long, synthesis"),
        (["--members", "0"], "expected a whole number from 1 up"),
        (["--steps", "many"], "expected a whole number from 1 up"),
        (["--steps", "2000"], "--steps is 2000"),
        (["--seed", "-1"], "expected a whole number from 0 up"),
        (["--threshold", "1.5"], "expected a number above 0 and at most 1"),
        (["--device", "abacus"], "the device is 'abacus'"),
        (["--precision", "float8"], "the precision is 'float8'"),
        (["--batch-size", "0"], "expected a whole number from 1 up"),
        (["--t3", "x.nii.gz"], "unrecognized arguments: --t3"),
        (["--t1"], "unrecognized arguments: --t1"),
        (["--shard", "1/2"], "--shard was given without --cohort"),
        (["--cohort", "."], "images were given beside --cohort"),
        (["--t1c", "x.nii.gz"], "images were given in more than one way"),
    ],
)
def test_an_impossible_option_is_named(options, said, small_case, out, tiny_bundle, capsys):
    ran = run_here(capsys, "segment", small_case, "-o", out, "--bundle", tiny_bundle, *options)
    assert ran.code == 2 and said in ran.error
    assert not any(out.parent.iterdir())


@pytest.mark.parametrize("shard", ["3", "0/4", "5/4", "a/b", "1/0"])
def test_an_impossible_shard_is_named(shard, small_case, out, tiny_bundle, capsys):
    ran = run_here(capsys, "segment", "--cohort", small_case.parent, "--shard", shard, "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and f"--shard is '{shard}'" in ran.error
    assert not any(out.parent.iterdir())


def test_nothing_given_says_what_is_expected(out, tiny_bundle, capsys):
    ran = run_here(capsys, "segment", "-o", out, "--bundle", tiny_bundle)
    assert ran.code == 2 and "no images were given" in ran.error


def test_a_convention_the_bundle_does_not_know_is_refused_at_once(small_case, tmp_path, out, tiny_bundle, capsys):
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "plain"))
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    for label in metadata["ldmseg"]["labels"]:
        label["conventions"] = {}
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata))
    ran = run_here(capsys, "segment", small_case, "-o", out, "--bundle", bundle, "--brats-labels")
    assert ran.code == 2 and "'brats2017' is unknown to this bundle" in ran.error and "Reading" not in ran.out


def test_in_a_process_of_its_own_bad_input_ends_in_one_line_before_torch_is_imported(case, out, tiny_bundle):
    image(case, "t2f").write_bytes(b"no image")
    ran = run_process("segment", case, "-o", out, "--bundle", tiny_bundle, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.split("|")[-1].strip() for line in ran.err.splitlines() if line.startswith("import time:")}
    rest = [line for line in ran.err.splitlines() if not line.startswith("import time:")]
    assert ran.code == 2 and len(rest) == 1 and rest[0].startswith("error: ") and "small_case_t2f.nii.gz" in rest[0]
    assert "LDMSegLib.cases.assemble" in imported and "torch" not in imported


def test_as_events_an_error_is_the_last_line_with_message_and_exit_code(case, out, tiny_bundle, capsys):
    image(case, "t2f").write_bytes(b"no image")
    ran = run_here(capsys, "segment", case, "-o", out, "--bundle", tiny_bundle, "--json-events")
    last = json.loads(ran.out.splitlines()[-1])
    assert ran.code == 2 and ran.err == ""
    assert last["event"] == "error" and last["exit_code"] == 2 and "small_case_t2f.nii.gz" in last["message"]


def test_a_brain_mask_that_would_not_be_used_is_not_passed_over(case, out, capsys, tiny_bundle):
    mask = image(case, "t1c")
    ran = run_here(capsys, "segment", case, "-o", out, "--bundle", tiny_bundle, "--prepare", "never", "--brain-mask", mask)
    assert ran.code == 2 and f"--brain-mask {mask} was given with --prepare never" in ran.error and not out.exists()


def test_a_mode_that_samples_without_an_image_is_refused_for_a_case(small_case, tiny_bundle, tmp_path, capsys):
    ran = run_here(capsys, "segment", small_case, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--mode", "synthesis")
    assert ran.code == 2 and "samples without an image, expected one of" in ran.error and not (tmp_path / "out").exists()
