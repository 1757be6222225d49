"""The synthetic patient in Sample Data: made once by the real command line, kept, and made again when spoilt."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from commandline import environment
from LDMSegModule.process.PythonCommand import PythonCommand
from LDMSegModule.scene.PatientSample import SEQUENCES, PatientSample
from sample_data import make_module


def sample(folder, python=None, install=None) -> tuple[PatientSample, list, list]:
    loaded, complaints = [], []
    python = python or PythonCommand.of(sys.executable, environment())
    made = PatientSample(python, folder, lambda path, name: loaded.append((path, name)) or name, lambda: None, complaints.append, install)
    return made, loaded, complaints


def stand_in(tmp_path) -> PythonCommand:
    """A command that writes four small files at once where `ldmseg demo-patient` works for seconds."""
    script = tmp_path / "LDMSegLib"
    script.mkdir()
    (script / "__main__.py").write_text(
        "import json, pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[3]); folder.mkdir(parents=True, exist_ok=True)\n"
        "files = {n: str(folder / f'p_{n}.nii.gz') for n in ('t1n', 't1c', 't2w', 't2f', 'seg')}\n"
        "for n, f in files.items(): pathlib.Path(f).write_text(n)\n"
        "(folder / 'runs').open('a').write('x')\n"
        "print(json.dumps({'event': 'result', 'folder': str(folder), 'files': files}))\n"
    )
    return PythonCommand(sys.executable, {**environment(), "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"})


@pytest.fixture
def registered(tmp_path):
    """The patient as Sample Data holds it, in a cache with a name that users have."""
    modules = types.SimpleNamespace()
    patient, _, _ = sample(tmp_path / "Jörg's cache" / "LDMSeg synthetic patient")
    patient.register(make_module(modules).SampleDataLogic, tmp_path / "icon.png")
    ((category, (source,)),) = modules.sampleDataSources.items()
    assert category == "LDMSeg" and source.customDownloader == patient.download
    return source


def test_it_is_registered_with_a_name_an_address_and_a_node_for_each_file(registered):
    assert len(registered.uris) == len(registered.fileNames) == len(registered.nodeNames) == 4
    assert all(isinstance(value, str) for values in (registered.uris, registered.fileNames, registered.nodeNames) for value in values)


def test_what_is_registered_is_where_the_files_are_once_they_are_made(registered, tmp_path):
    """A script that calls `SampleData.downloadSamples` goes past the downloader: file name below the cache first, then address."""
    pytest.importorskip("nilearn", reason="the synthetic patient needs nilearn's brain template")
    patient, _, complaints = sample(tmp_path / "Jörg's cache" / "LDMSeg synthetic patient")
    patient.download()
    assert complaints == []
    for name, address in zip(registered.fileNames, registered.uris, strict=True):
        file = tmp_path / "Jörg's cache" / name
        assert file.is_file() and file.samefile(url2pathname(urlparse(address).path)), Path(address)


def test_the_real_command_makes_four_volumes_that_say_they_are_synthetic(tmp_path):
    pytest.importorskip("nilearn", reason="the synthetic patient needs nilearn's brain template")
    patient, loaded, complaints = sample(tmp_path / "Müller's cache")
    assert patient.download() == [f"synthetic_patient_{name}" for name in SEQUENCES] and complaints == []
    assert all(path.is_file() and path.stat().st_size > 100_000 for path, _ in loaded)


def test_it_is_made_once_and_made_again_when_a_file_is_spoilt(tmp_path):
    patient, loaded, _ = sample(tmp_path / "cache", stand_in(tmp_path))
    patient.download()
    patient.download()
    assert (tmp_path / "cache" / "runs").read_text() == "x" and len(loaded) == 8
    (tmp_path / "cache" / "p_t2f.nii.gz").write_text("spoilt")
    patient.download()
    assert (tmp_path / "cache" / "runs").read_text() == "xx"
    assert (tmp_path / "cache" / "p_t2f.nii.gz").read_text() == "t2f"


def test_the_package_with_the_template_is_installed_with_consent_where_it_is_missing(tmp_path):
    python = stand_in(tmp_path)
    works = tmp_path / "LDMSegLib" / "__main__.py"
    code = works.read_text()
    lacking = "the synthetic patient needs the package nilearn, which is not installed; install it"
    works.write_text(f"import json, sys; print(json.dumps({{'event': 'error', 'message': {lacking!r}, 'exit_code': 2}})); sys.exit(2)")
    patient, _, complaints = sample(tmp_path / "cache", python, lambda requirement: False)
    assert patient.download() == [] and "nilearn" in complaints[0]
    asked = []
    patient, loaded, _ = sample(
        tmp_path / "cache", python, lambda requirement: asked.append(requirement.package) or bool(works.write_text(code))
    )
    patient.download()
    assert asked == ["nilearn"] and len(loaded) == 4


def test_a_failure_is_one_sentence_and_no_volumes(tmp_path):
    (tmp_path / "file").touch()
    patient, loaded, complaints = sample(tmp_path / "file" / "cache", PythonCommand("no such python", dict(environment())))
    assert patient.download() == [] and loaded == []
    assert len(complaints) == 1 and "could not be made" in complaints[0]
