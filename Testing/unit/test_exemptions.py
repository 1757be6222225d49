"""What is exempt from a check still needs to be: the lists in pyproject.toml only shrink."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")
ROOT = Path(__file__).parents[2]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def _untyped() -> tuple[str, ...]:
    return tuple(name for entry in TOOLS["mypy"]["overrides"] if entry.get("ignore_errors") for name in entry["module"])


def _run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def test_every_file_that_is_exempt_from_a_rule_of_ruff_breaks_it():
    pytest.importorskip("ruff", reason="ruff is not installed: pip install ruff")
    exempt = TOOLS["ruff"]["lint"]["per-file-ignores"]
    rules = ",".join(sorted({rule for rules in exempt.values() for rule in rules}))
    told = json.loads(_run("ruff", "check", ".", "--select", rules, "--output-format", "json", "--config", "lint.per-file-ignores={}"))
    broken = {(Path(one["filename"]).relative_to(ROOT).as_posix(), one["code"]) for one in told}
    needless = [
        f"{pattern}: {rule}"
        for pattern, rules in exempt.items()
        for rule in rules
        if not any(fnmatch(file, pattern) and code.startswith(rule) for file, code in broken)
    ]
    assert not needless, "take these out of [tool.ruff.lint.per-file-ignores] in pyproject.toml"


@pytest.mark.slow
@pytest.mark.skipif(not _untyped(), reason="every module passes mypy")
def test_every_module_on_the_list_of_untyped_ones_fails_mypy(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed: pip install mypy")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert text.count("ignore_errors = true") == 1
    (tmp_path / "pyproject.toml").write_text(text.replace("ignore_errors = true", "ignore_errors = false"), encoding="utf-8")
    told = _run("mypy", "--config-file", str(tmp_path / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache"), "--no-error-summary")
    failing = {line.split(":")[0].replace("\\", "/") for line in told.splitlines() if ": error: " in line}
    as_files = {name: name.replace(".", "/") for name in _untyped()}
    passing = [
        name
        for name, path in as_files.items()
        if not {f"{folder}{path}{ending}" for folder in ("", "LDMSeg/") for ending in (".py", "/__init__.py")} & failing
    ]
    assert not passing, "these are in order: take them out of the list of untyped modules in pyproject.toml"


def test_no_test_reaches_through_the_private_attributes_of_three_objects():
    def private(node: ast.expr) -> int:
        if isinstance(node, ast.Call):
            return private(node.func)
        if not isinstance(node, ast.Attribute):
            return 0
        return (node.attr.startswith("_") and not node.attr.startswith("__")) + private(node.value)

    files = sorted((ROOT / "Testing").rglob("*.py"))
    deep = [
        f"{file.name}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and private(node) > 2
    ]
    assert not deep, "let the object be asked in public, or look at what happens outside"
