"""Training cases with a simulated bias field that was corrected again, as the preparation of raw scans would."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from training_tiny import HELD_OUT, prepared

from LDMSegLib.errors import InputError
from Training import bias_corrected
from Training.configuration import read_configuration
from Training.datasets import Cases

pytest.importorskip("SimpleITK")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """(configuration, run folder, configuration file, data) of a tiny training set with two copies of each case."""
    folder = tmp_path_factory.mktemp("bias_corrected")
    path, run = prepared(folder)
    with pytest.MonkeyPatch.context() as patch:
        call(patch, path, folder / "dataset", run)
    return read_configuration(path), run, path, folder / "dataset"


def call(patch, path, data, run, *words):
    patch.setattr("sys.argv", ["bias_corrected", *map(str, ("--config", path, "--data", data, "--run", run, "--copies", 2, *words))])
    bias_corrected.main()


def phase(settings, **changes):
    return type(settings.phases["conditioning"])(
        **{**vars(settings.phases["conditioning"]), "flips": False, "rotation": 0.0, "scaling": 0.0, "elastic": 0.0, "intensity": 0.0,
           "sequence_dropout": 0.0, "crop": (), "transplants": 0.0, **changes}
    )  # fmt: skip


def test_every_training_case_and_no_held_out_one_gets_its_copies(ready):
    _, run, _, _ = ready
    names = {path.stem for path in (run / "data" / "training").glob("*.npz")}
    assert {path.stem for path in (run / "data" / "bias_corrected").glob("*")} == {f"{name}_{k}" for name in names for k in range(2)}
    assert HELD_OUT not in names


def test_a_copy_shows_the_same_brain_and_tumour_in_other_greys(ready):
    _, run, _, _ = ready
    for path in (run / "data" / "training").glob("*.npz"):
        with np.load(path) as known:
            image, regions = known["image"].astype(float), known["regions"]
        for copy in range(2):
            with np.load(run / "data" / "bias_corrected" / f"{path.stem}_{copy}.npz") as archive:
                other = archive["image"].astype(float)
                assert archive["image"].dtype == np.float16 and np.array_equal(archive["regions"], regions)
            both = (image != 0) & (other != 0)
            assert both.sum() > 0.7 * (image != 0).sum() and not np.array_equal(other, image)
            assert np.corrcoef(image[both], other[both])[0, 1] > (0.4 if copy else 0.9)  # the second has a field, and N4 is coarse here


def test_the_same_call_goes_on_where_it_stopped_and_makes_the_same(ready, tmp_path, monkeypatch):
    settings, run, path, data = ready
    shutil.copytree(run, tmp_path / "run")
    there = sorted((tmp_path / "run" / "data" / "bias_corrected").glob("*.npz"))
    before = {file.name: np.load(file)["image"] for file in there}
    there[0].unlink()
    times = {file: file.stat().st_mtime_ns for file in there[2:]}
    call(monkeypatch, path, data, tmp_path / "run")
    assert all(np.array_equal(np.load(file)["image"], before[file.name]) for file in there)
    assert times == {file: file.stat().st_mtime_ns for file in there[2:]}


def test_a_phase_takes_copies_at_the_wished_rate(ready):
    settings, run, _, _ = ready
    plain = {np.load(file)["image"].astype(np.float32).tobytes() for file in (run / "data" / "training").glob("*.npz")}
    shares = []
    for chance in (0.0, 0.5, 1.0):
        items = Cases(settings, run, phase(settings, bias_corrected=chance), 0)
        shares.append(np.mean([items[i]["image"].numpy().tobytes() in plain for i in range(60)]))
    assert shares[0] == 1.0 and 0.3 < shares[1] < 0.7 and shares[2] == 0.0


def test_a_case_without_copies_is_named(ready, tmp_path):
    settings, run, _, _ = ready
    shutil.copytree(run / "data", tmp_path / "data")
    gone = sorted((tmp_path / "data" / "bias_corrected").glob("*"))[:2]
    for file in gone:
        file.unlink()
    with pytest.raises(InputError, match=f"holds no copy of {gone[0].stem.rpartition('_')[0]}, expected some of every case"):
        Cases(settings, tmp_path, phase(settings, bias_corrected=0.5), 0)
