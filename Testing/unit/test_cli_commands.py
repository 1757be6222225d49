"""The small commands, help, and what all commands have in common."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commandline import command, environment, run_here, run_process
from tiny_bundle import tiny_configurations, tiny_specification

import LDMSegLib
from LDMSegLib.cli import entry_point
from LDMSegLib.models import bundle as bundles
from LDMSegLib.specification import to_dict


@pytest.fixture(autouse=True)
def only_our_bundles(monkeypatch, tmp_path):
    """No bundle is within reach that a test does not put there."""
    monkeypatch.setattr(bundles, "EMBEDDED", tmp_path / "embedded")
    for variable in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "user"))
    monkeypatch.delenv("LDMSEG_BUNDLES", raising=False)


@pytest.mark.parametrize("arguments", [["--help"], ["models", "list"], ["segment", "--help"], ["evaluate", "--help"]])
def test_torch_is_not_imported_to_say_what_there_is(arguments, tmp_path):
    ran = run_process(*arguments, PYTHONPROFILEIMPORTTIME="1", XDG_DATA_HOME=str(tmp_path))
    imported = {line.split("|")[-1].strip() for line in ran.err.splitlines() if line.startswith("import time:")}
    assert ran.code == 0 and "LDMSegLib.cli.entry_point" in imported and not imported & {"torch", "monai", "matplotlib"}


def test_help_names_every_command_and_every_command_has_help(capsys):
    ran = run_here(capsys, "--help")
    assert ran.code == 0 and all(name in ran.out for name in entry_point.COMMANDS)
    for name in entry_point.COMMANDS:
        ran = run_here(capsys, name, "--help")
        assert ran.code == 0 and f"usage: ldmseg {name}" in ran.out and "--json-events" in ran.out
    assert run_here(capsys, "--version").out.strip() == LDMSegLib.__version__


def test_an_unknown_command_is_answered_with_the_one_that_was_meant(capsys):
    ran = run_here(capsys, "segmnt")
    assert ran.code == 2 and "did you mean 'segment'?" in ran.error


def test_bundles_are_listed_with_what_is_wrong_with_damaged_ones(tiny_bundle, tmp_path, monkeypatch, capsys):
    damaged = Path(shutil.copytree(tiny_bundle, tmp_path / "many" / "damaged"))
    (damaged / "configs" / "inference.json").unlink()
    shutil.copytree(tiny_bundle, tmp_path / "many" / "good")
    monkeypatch.setenv("LDMSEG_BUNDLES", str(tmp_path / "many"))
    ran = run_here(capsys, "models", "list")
    assert ran.code == 0 and "good" in ran.out and "t1n, t1c, t2w, t2f" in ran.out and "has no configs/inference.json" in ran.out
    told = json.loads(run_here(capsys, "models", "list", "--json-events").out)
    assert {item["name"]: item["problem"] is None for item in told["bundles"]} == {"damaged": False, "good": True}
    assert told["bundles"][1]["modes"]["solver"]["members"] == 4


def test_without_any_bundle_a_person_is_told_where_to_put_one(tmp_path, capsys):
    assert str(tmp_path / "user") in run_here(capsys, "models", "list").out
    ran = run_here(capsys, "segment", tmp_path, "-o", tmp_path / "out")
    assert ran.code == 2 and "no bundle is embedded" in ran.error
    assert run_here(capsys, "segment", "--help").code == 0


def test_verifying_tells_good_bundles_from_damaged_ones(tiny_bundle, tmp_path, capsys):
    damaged = Path(shutil.copytree(tiny_bundle, tmp_path / "damaged"))
    (damaged / "models" / "model.safetensors").write_bytes(b"\x80pickle-like")
    ran = run_here(capsys, "models", "verify", tiny_bundle)
    assert ran.code == 0 and "good" in ran.out and ran.err == ""
    ran = run_here(capsys, "models", "verify", damaged, tiny_bundle)
    assert ran.code == 2 and "is a pickle under another name" in ran.error and f"{tiny_bundle}: good" in ran.out


def test_a_bundles_path_is_printed_alone(tiny_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LDMSEG_BUNDLES", str(tiny_bundle))
    assert run_here(capsys, "models", "path", "tiny").out == f"{tiny_bundle}\n"
    ran = run_here(capsys, "models", "path", "other")
    assert ran.code == 2 and "installed: tiny" in ran.error


def test_an_export_is_a_bundle_that_monai_parses(tiny_bundle, tmp_path, capsys):
    from monai.bundle import ConfigParser

    ran = run_here(capsys, "models", "export-monai", tiny_bundle, "-o", tmp_path / "exported")
    assert ran.code == 0 and ran.out.rstrip().endswith(str(tmp_path / "exported"))
    parser = ConfigParser()
    parser.read_config(tmp_path / "exported" / "configs" / "inference.json")
    parser["bundle_root"] = str(tmp_path / "exported")
    parser.get_parsed_content("load_weights")
    ran = run_here(capsys, "models", "export-monai", tiny_bundle, "-o", tmp_path / "exported")
    assert ran.code == 2 and "already exists" in ran.error


def test_old_checkpoints_become_a_bundle_that_verifies(tmp_path, capsys):
    nets = pytest.importorskip("generative.networks.nets", reason="needs monai-generative, whose checkpoints are converted")
    specification = replace(tiny_specification(), modes={"synthesis": tiny_specification().modes["synthesis"]}, default_mode="synthesis")
    arguments = {}
    for name, kind in (("autoencoder", nets.AutoencoderKL), ("unet", nets.DiffusionModelUNet)):
        given = {k: v for k, v in tiny_configurations(specification)[name].items() if k not in ("_target_", "include_fc")}
        given["num_channels"] = given.pop("channels")
        arguments[name] = given
        torch.save(kind(**given).state_dict(), tmp_path / f"{name}.pt")
    described = {key: value for key, value in to_dict(specification).items() if key != "weights"}
    (tmp_path / "c.json").write_text(json.dumps({"specification": described, "networks": arguments}))
    options = ["--autoencoder", tmp_path / "autoencoder.pt", "--unet", tmp_path / "unet.pt", "--configuration", tmp_path / "c.json"]
    ran = run_here(capsys, "models", "convert", *options, "-o", tmp_path / "bundle")
    assert ran.code == 0, ran.err
    assert run_here(capsys, "models", "verify", tmp_path / "bundle").code == 0
    (tmp_path / "c.json").write_text("{}")
    ran = run_here(capsys, "models", "convert", *options, "-o", tmp_path / "other")
    assert ran.code == 2 and "c.json" in ran.error and not (tmp_path / "other").exists()


def test_info_names_versions_device_memory_and_what_it_is_not(tiny_bundle, monkeypatch, capsys):
    monkeypatch.setenv("LDMSEG_BUNDLES", str(tiny_bundle))
    ran = run_here(capsys, "info")
    version = importlib.metadata.version("torch")  # torch itself may say more, such as +cu130
    for said in (
        LDMSegLib.__version__,
        version,
        "CPU",
        "unknown" if sys.platform == "win32" else "GiB",
        "tiny: usable",
        "not a medical device",
    ):
        assert said in ran.out or torch.cuda.is_available()
    told = json.loads(run_here(capsys, "info", "--json-events").out)
    assert (
        torch.__version__.startswith(version)
        and told["software"]["torch"] == version
        and told["device"]["precision"] in ("float32", "bfloat16")
    )


def test_a_demo_patient_is_made_and_called_synthetic(tmp_path, monkeypatch, capsys):
    def quick(folder, seed):
        return {"t1c": Path(folder) / f"synthetic_patient_{seed}.nii.gz"}

    monkeypatch.setattr("LDMSegLib.cli.demo_patient.write_synthetic_patient", quick)
    ran = run_here(capsys, "demo-patient", "-o", tmp_path, "--seed", 5)
    assert ran.code == 0 and "synthetic patient, nobody's images" in ran.out and "synthetic_patient_5.nii.gz" in ran.out


def test_an_unknown_problem_is_one_sentence_and_a_traceback_only_for_whoever_debugs(tiny_bundle, monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("LDMSegLib.cli.models.find_bundle", broken)
    ran = run_here(capsys, "models", "path")
    assert ran.code == entry_point.BUG and "ZeroDivisionError: division by zero" in ran.error and "please report it" in ran.error
    log = Path(re.search(r"the details are in '(.*?)'", ran.error).group(1))
    assert "Traceback (most recent call last)" in log.read_text() and "in broken" in log.read_text()
    log.unlink()
    monkeypatch.setenv(entry_point.DEBUG, "1")
    ran = run_here(capsys, "models", "path")
    assert ran.code == entry_point.BUG and "Traceback" in ran.err


def test_memory_that_does_not_suffice_is_no_bug(monkeypatch, capsys):
    def too_much(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("LDMSegLib.cli.models.find_bundle", too_much)
    ran = run_here(capsys, "models", "path")
    assert ran.code == 2 and "memory does not suffice" in ran.error


def test_a_reader_that_goes_away_is_no_error(tiny_bundle):
    environ = environment(LDMSEG_BUNDLES=str(tiny_bundle), PYTHONUNBUFFERED="1")
    for extra in ([], ["--json-events"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                command("models", "list", *extra), stdout=writing, stderr=subprocess.PIPE, text=True, env=environ, timeout=300
            )
        finally:
            os.close(writing)
        assert done.returncode == entry_point.NOBODY_READS and done.stderr == ""


def test_with_events_the_standard_output_is_theirs_alone(tmp_path):
    """Whatever prints, in Python or below it, ends on the standard error."""
    program = (
        "import os, sys\n"
        "from LDMSegLib.cli import entry_point\n"
        "import LDMSegLib.cli.models as m\n"
        "def noisy(*_):\n"
        "    print('from Python')\n"
        "    os.write(1, b'from below Python\\n')\n"
        "    return ()\n"
        "m.list_bundles = noisy\n"
        "sys.exit(entry_point.main(['models', 'list', '--json-events']))\n"
    )
    python = command()[0]
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, env=environment(), timeout=300)
    assert done.returncode == 0 and [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["result"]
    assert "from Python" in done.stderr and "from below Python" in done.stderr
