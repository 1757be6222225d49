"""A result folder is complete or not there, and its maps lie on the reference's grid byte for byte."""

import csv
import gzip
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from LDMSegLib import GENERATOR
from LDMSegLib.errors import BundleError, InputError, OutputError
from LDMSegLib.io.atomic_folder import STALE_SECONDS, check_output, result_folder
from LDMSegLib.postprocessing.regions import label_map, region_masks
from LDMSegLib.postprocessing.uncertainty import find_uncertain_regions
from LDMSegLib.postprocessing.volumes import measure
from LDMSegLib.results.segmentation import Segmentation
from LDMSegLib.results.write import write_segmentation
from LDMSegLib.specification import Label, Region

REPOSITORY = Path(__file__).parents[2]
SHAPE = (9, 8, 7)
AFFINE = np.array([[-0.9, 0.05, 0.3, 80.123456789], [0.02, 0.88, -0.7, -90.7], [0.1, 0.3, 5.4, 3.3], [0, 0, 0, 1]])
LABELS = (Label("CORE", 1, "core", (200, 0, 0), {"old": 4}), Label("REST", 2, "rest", (0, 200, 0)))
REGIONS = (Region("CORE", "Core", ("CORE",), (200, 0, 0)), Region("ALL", "All", ("CORE", "REST"), (0, 200, 0)))
GEOMETRY_BYTES = {"pixdim 0-3": (76, 92), "qform_code to srow_z": (252, 328)}
FILES = {
    *("labels.nii.gz", "probability_CORE.nii.gz", "probability_ALL.nii.gz", "variance_CORE.nii.gz", "variance_ALL.nii.gz"),
    *("volumes.csv", "uncertain_regions.csv", "report.png", "provenance.json"),
}


def segmentation(affine=AFFINE, regions=REGIONS, finished=3):
    probabilities = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    probabilities[0] = probabilities.min(axis=0)
    made = label_map(probabilities, LABELS, regions, 0.5)
    return Segmentation(
        probabilities=probabilities,
        variance=probabilities * (1 - probabilities),
        label_map=made,
        affine=affine,
        labels=LABELS,
        regions=regions,
        threshold=0.5,
        members_finished=finished,
        members_requested=3,
        volumes=measure(region_masks(made, LABELS, regions), probabilities, regions, affine, np.ones((3, 2))),
        uncertain_regions=find_uncertain_regions(probabilities, regions, affine, smallest_ml=0.0),
        warnings=("mind this",),
        provenance={"generator": GENERATOR, "seed": 4},
    )


def reference_file(path, affine=AFFINE, kind=nib.Nifti1Image, qform=1, sform=2, big_endian=False):
    header = kind.header_class(endianness=">" if big_endian else "<")
    image = kind(np.ones(SHAPE, np.int16), affine, header)
    image.set_qform(nib.affines.from_matvec(np.diag([-0.9, 0.9, 5.5]), (1, 2, 3)), code=qform)
    image.set_sform(affine if sform else None, code=sform)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def raw_header(path):
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rb") as stream:
        return stream.read(544)


def geometry(header):
    return {name: header[start:end] for name, (start, end) in GEOMETRY_BYTES.items()}


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(("qform", "sform"), [(1, 2), (0, 4), (3, 0), (1, 1)])
def test_the_geometry_is_the_references_byte_for_byte(tmp_path, qform, sform, big_endian):
    reference = reference_file(tmp_path / "ref.nii.gz", qform=qform, sform=sform, big_endian=big_endian)
    image = nib.load(reference)
    write_segmentation(tmp_path / "out", segmentation(image.affine), image.header)
    for path in (tmp_path / "out").glob("*.nii.gz"):
        assert geometry(raw_header(path)) == geometry(raw_header(reference)), path.name
        assert nib.load(path).affine.tobytes() == image.affine.tobytes()
        assert nib.load(path).header.get_xyzt_units()[0] == "mm"


def test_a_nifti_2_reference_gives_nifti_2_on_the_same_grid(tmp_path):
    reference = reference_file(tmp_path / "ref.nii", kind=nib.Nifti2Image)
    image = nib.load(reference)
    write_segmentation(tmp_path / "out", segmentation(), image.header)
    written = raw_header(tmp_path / "out" / "labels.nii.gz")
    assert struct.unpack("<i", written[:4])[0] == 540
    assert written[104:136] == raw_header(reference)[104:136], "pixdim 0-3 of NIfTI-2"
    assert written[344:496] == raw_header(reference)[344:496], "qform_code to srow_z of NIfTI-2"
    assert nib.load(tmp_path / "out" / "labels.nii.gz").affine.tobytes() == image.affine.tobytes()


def test_a_header_img_pair_as_reference_gives_single_files(tmp_path):
    reference_file(tmp_path / "ref.img", kind=nib.Nifti1Pair)
    write_segmentation(tmp_path / "out", segmentation(), nib.load(tmp_path / "ref.img").header)
    assert raw_header(tmp_path / "out" / "labels.nii.gz")[344:348] == b"n+1\0"
    assert np.allclose(nib.load(tmp_path / "out" / "labels.nii.gz").affine, AFFINE, atol=1e-5)


def test_without_a_reference_the_affine_is_kept_to_float_precision(tmp_path):
    write_segmentation(tmp_path / "out", segmentation())
    assert np.allclose(nib.load(tmp_path / "out" / "labels.nii.gz").affine, AFFINE, atol=1e-5)


def test_the_maps_read_back_exactly_in_their_own_types(tmp_path):
    made = segmentation()
    files = write_segmentation(tmp_path / "out", made)
    for r, region in enumerate(REGIONS):
        for name, array in (("probability", made.probabilities), ("variance", made.variance)):
            image = nib.load(files[f"{name}_{region.name}"])
            assert image.get_data_dtype() == np.float32
            assert np.array_equal(np.asarray(image.dataobj), array[r])
    image = nib.load(files["labels"])
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj), made.label_map)


def test_a_header_says_what_its_map_is_and_that_values_are_not_scaled(tmp_path):
    files = write_segmentation(tmp_path / "out", segmentation())
    header = raw_header(files["probability_ALL"])
    assert struct.unpack("<ff", header[112:120]) == (1.0, 0.0), "scl_slope and scl_inter"
    assert header[328:344].rstrip(b"\0") == b"probability"
    assert header[148:228].rstrip(b"\0") == b"LDMSeg: ALL, mean of 3 members; research use only"


def test_the_same_result_gives_the_same_bytes(tmp_path, monkeypatch):
    first = write_segmentation(tmp_path / "a", segmentation())
    monkeypatch.setattr(time, "time", lambda: 2e9)
    second = write_segmentation(tmp_path / "b", segmentation())
    for name in first:
        assert first[name].read_bytes() == second[name].read_bytes(), name


def test_everything_promised_is_there_and_the_provenance_hashes_it(tmp_path):
    files = write_segmentation(tmp_path / "deep" / "out", segmentation(finished=2), report=b"png")
    folder = tmp_path / "deep" / "out"
    assert {path.name for path in folder.iterdir()} == FILES == {path.name for path in files.values()}
    record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert record["seed"] == 4 and record["partial"] is True and record["warnings"] == ["mind this"]
    assert record["labels"] == {"CORE": 1, "REST": 2}
    assert set(record["files"]) == FILES - {"provenance.json"}
    for name, digest in record["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    with open(folder / "volumes.csv", encoding="utf-8") as stream:
        assert [row["region"] for row in csv.DictReader(stream)] == ["CORE", "ALL"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"], "nothing temporary is left"


def test_a_report_can_be_rendered_while_the_maps_are_written(tmp_path):
    files = write_segmentation(tmp_path / "out", segmentation(), report=lambda: b"rendered")
    assert files["report"].read_bytes() == b"rendered"


def test_another_convention_is_written_and_recorded(tmp_path):
    made = segmentation()
    files = write_segmentation(tmp_path / "out", made, convention="old")
    written = np.asarray(nib.load(files["labels"]).dataobj)
    assert np.array_equal(written == 4, made.label_map == 1) and not (written == 1).any()
    assert json.loads(files["provenance"].read_text())["labels"] == {"CORE": 4, "REST": 2}


def test_an_unknown_convention_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="'martian'"):
        write_segmentation(tmp_path / "out", segmentation(), convention="martian")
    assert list(tmp_path.iterdir()) == []


def test_a_region_name_cannot_lead_a_file_out_of_the_folder(tmp_path):
    regions = (Region("../CORE", "Core", ("CORE",), (0, 0, 0)), REGIONS[1])
    with pytest.raises(BundleError, match="'../CORE'"):
        write_segmentation(tmp_path / "out", segmentation(regions=regions))
    assert list(tmp_path.iterdir()) == []


def test_a_reference_on_another_grid_is_a_mistake_of_the_program(tmp_path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), AFFINE)
    with pytest.raises(ValueError, match="not on the reference's grid"):
        write_segmentation(tmp_path / "out", segmentation(), image.header)
    with pytest.raises(ValueError, match="affine"):
        write_segmentation(tmp_path / "out", segmentation(np.eye(4)), nib.Nifti1Image(np.zeros(SHAPE, np.uint8), AFFINE).header)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_result_is_replaced_only_when_asked(tmp_path):
    write_segmentation(tmp_path / "out", segmentation(), report=b"first")
    with pytest.raises(OutputError, match="already holds a result; add --overwrite"):
        check_output(tmp_path / "out")
    with pytest.raises(OutputError, match="already holds a result"):
        write_segmentation(tmp_path / "out", segmentation(), report=b"second")
    assert (tmp_path / "out" / "report.png").read_bytes() == b"first"
    write_segmentation(tmp_path / "out", segmentation(), overwrite=True)
    assert not (tmp_path / "out" / "report.png").exists(), "the old result is gone as a whole"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_may_be_used(tmp_path):
    (tmp_path / "out").mkdir()
    check_output(tmp_path / "out")
    write_segmentation(tmp_path / "out", segmentation())
    assert (tmp_path / "out" / "labels.nii.gz").exists()


def test_a_users_folder_is_never_replaced_even_when_asked(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="'thesis.txt'.*never replaced"):
        write_segmentation(tmp_path / "out", segmentation(), overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_a_foreign_provenance_file_does_not_make_a_folder_ours(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "provenance.json").write_text('{"generator": "another program"}')
    with pytest.raises(OutputError, match="never replaced"):
        check_output(tmp_path / "out", overwrite=True)


def test_a_file_the_user_added_to_a_result_protects_it(tmp_path):
    write_segmentation(tmp_path / "out", segmentation())
    (tmp_path / "out" / "corrected.seg.nrrd").write_text("an afternoon of work")
    with pytest.raises(OutputError, match="'corrected.seg.nrrd' besides an earlier result"):
        check_output(tmp_path / "out", overwrite=True)


def test_the_folder_one_works_in_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="working in.*give a folder inside it"):
        check_output(".")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_way_is_named(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        check_output(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused_early(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(tmp_path / "locked" / "out")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system that takes no folders")
def test_a_file_system_that_takes_no_folders_is_refused_early():
    with pytest.raises(OutputError, match="cannot be written"):
        check_output("/proc/ldmseg-out")


def test_running_out_of_space_leaves_nothing_and_says_so(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))  # no file may grow beyond this: a real failed write
    try:
        with pytest.raises(OutputError, match="cannot be written.*nothing was left there"):
            write_segmentation(tmp_path / "new" / "out", segmentation())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [], "neither the folder nor the parents made for it"


def test_a_failed_overwrite_keeps_the_old_result(tmp_path):
    write_segmentation(tmp_path / "out", segmentation(), report=b"old")

    def fail():
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="no space left on device"):
        write_segmentation(tmp_path / "out", segmentation(), report=fail, overwrite=True)
    assert (tmp_path / "out" / "report.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


KILLED = """
import sys, time
from LDMSegLib.io.atomic_folder import result_folder
with result_folder(sys.argv[1], overwrite=True) as folder:
    (folder / "labels.nii.gz").write_bytes(b"half of it")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("there_before", [False, True])
def test_kill_9_leaves_either_the_old_result_or_none(tmp_path, there_before):
    target = tmp_path / "out"
    if there_before:
        write_segmentation(target, segmentation(), report=b"old")
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert process.stdout.readline() == b"writing\n"
    process.kill()
    process.wait()
    process.stdout.close()
    if there_before:
        assert (target / "report.png").read_bytes() == b"old" and (target / "labels.nii.gz").read_bytes() != b"half of it"
    else:
        assert not target.exists()

    (stale,) = [path for path in tmp_path.iterdir() if path.name != "out"]
    write_segmentation(target, segmentation(), overwrite=True)
    assert stale.exists(), "it might still be in use"
    os.utime(stale, (time.time() - 2 * STALE_SECONDS,) * 2)
    write_segmentation(target, segmentation(), overwrite=True)
    assert not stale.exists()


def test_a_run_killed_between_the_two_renames_loses_nothing(tmp_path):
    write_segmentation(tmp_path / "out", segmentation(), report=b"old")
    (tmp_path / "out").rename(tmp_path / ".out.ldmseg-old-1234")
    with pytest.raises(OutputError, match="already holds a result"):
        check_output(tmp_path / "out")
    assert (tmp_path / "out" / "report.png").read_bytes() == b"old"


def test_something_put_there_during_the_work_is_not_replaced(tmp_path):
    with pytest.raises(OutputError, match="never replaced"), result_folder(tmp_path / "out", overwrite=True) as folder:
        (folder / "provenance.json").write_text("{}")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "photo.jpg").write_text("a holiday")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_segmentation(tmp_path / "link", segmentation())
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "labels.nii.gz").exists()


def test_a_segmentation_of_the_wrong_shape_or_type_cannot_be_made():
    good = segmentation()
    with pytest.raises(ValueError, match="variance are float64"):
        Segmentation(**{**good.__dict__, "variance": good.variance.astype(np.float64)})
    with pytest.raises(ValueError, match="4 of 3 members"):
        segmentation(finished=4)
