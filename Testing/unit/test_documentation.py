"""The documents: links lead somewhere, commands exist, lists are those of the code, nothing is said in words of our own making."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTATION = ROOT / "Documentation"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCUMENTATION.rglob("*.md"), ROOT / "Training" / "README.md", *(ROOT / ".github").glob("*.md")])
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
RECORD = re.compile(r"^# (\d{4})\. \S.*\n\n- Status: (accepted|rejected.*|superseded by .*)\n", re.MULTILINE)
PARTS = ["Context", "Decision", "Measured", "Consequences"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A document without its code."""
    return re.sub(r"`[^`\n]+`", "``", FENCE.sub("", text))


@cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a document's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return frozenset(re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip()) for heading in plain)


def faults_of_links(path: Path) -> list[str]:
    faults = []
    for target in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or not there.is_relative_to(ROOT):
            faults.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(there):
            faults.append(f"{target}: there is no such heading")
    return faults


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(name):
    assert faults_of_links(ROOT / name) == []


@pytest.mark.parametrize(
    ("link", "fault"), [("b.md", "no such file"), ("a.md#elsewhere", "no such heading"), ("#elsewhere", "no such heading")]
)
def test_a_link_into_nothing_is_found(tmp_path, monkeypatch, link, fault):
    monkeypatch.setattr("test_documentation.ROOT", tmp_path)
    (tmp_path / "a.md").write_text(f"# Here\n\n[x]({link}) [y](#here)\n", encoding="utf-8")
    (found,) = faults_of_links(tmp_path / "a.md")
    assert fault in found


def test_every_picture_of_the_documentation_is_shown_somewhere():
    shown = {Path(target).name for path in DOCUMENTS for target in LINK.findall(path.read_text(encoding="utf-8"))}
    assert {path.name for path in DOCUMENTATION.rglob("*.png")} - shown == set()


# ------------------------------------------------------------------------------------------------------------ commands


class Command(NamedTuple):
    """One command of a document."""

    document: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


def commands() -> list[Command]:
    """The commands of all blocks of code without a language (```text is no command), and those that stand in a line of text."""
    found = []
    for name in NAMES:
        text = read(name)
        lines = [line.strip() for _, language, block in FENCE.findall(text) if language in ("", "sh") for line in block.splitlines()]
        lines += [
            code for code in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)) if re.match(r"(python3? -m [TL]|ldmseg \S|make \w)", code)
        ]
        # "ldmseg models list|verify" names several at once
        whole = [line for line in lines if line and "…" not in line and "|" not in line]
        found += [Command(name, tuple(shlex.split(line, comments=True))) for line in whole]
    return [command for command in dict.fromkeys(found) if command.words]


def without_place(words: tuple[str, ...]) -> list[str]:
    """`.venv/bin/python` is `python`."""
    return [words[0].rsplit("/", 1)[-1].replace("python3", "python"), *words[1:]]


LINES = [command for command in commands() if not command.document.startswith("CHANGELOG")]
OURS = [line for line in LINES if without_place(line.words)[0] == "ldmseg"]
MODULES = [line for line in LINES if "-m" in line.words and line.words[line.words.index("-m") + 1].startswith(("Training", "Testing"))]
TARGETS = [line for line in LINES if line.words[0] == "make"]
INSTALLATIONS = [line for line in LINES if "install" in line.words or "download" in line.words]


def test_the_documents_hold_commands_of_every_kind():
    assert min(len(OURS) // 3, len(MODULES) // 3, len(TARGETS), len(INSTALLATIONS)) >= 3


@pytest.mark.parametrize("line", OURS, ids=str)
def test_every_ldmseg_command_is_understood_by_its_parser(line, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)  # where the log of an unexpected end goes
    words = ["ldmseg-small" if word.startswith("bundles/") else word for word in line.words[1:]]  # one that is there
    if not any(word.startswith("-") for word in words):
        words.append("--help")  # a command named in a sentence: it has to exist

    class Understood(BaseException):
        pass

    parsed = []
    parse = argparse.ArgumentParser.parse_args

    def and_no_further(self, *arguments, **options):
        parsed.append(parse(self, *arguments, **options))
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", and_no_further)
    module, _, function = PROJECT["project"]["scripts"]["ldmseg"].partition(":")
    code = getattr(importlib.import_module(module), function)(words)
    output = capsys.readouterr()
    assert parsed or (words[-1] == "--help" and code == 0), output.out + output.err


@pytest.mark.parametrize("line", MODULES, ids=str)
def test_every_script_that_is_named_exists_and_knows_the_options_given(line):
    module, *arguments = line.words[line.words.index("-m") + 1 :]
    found = importlib.util.find_spec(module)
    assert found is not None, f"there is no module {module}"
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / module.split(".")[0]).rglob("*.py"))
    for option in (word for word in arguments if word.startswith("-")):
        assert f'"{option}"' in sources, f"no script has the option {option}"
    for file in (word for word in arguments if word.startswith("Training/configs/")):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("line", TARGETS, ids=str)
def test_every_make_target_is_in_the_makefile(line):
    assert re.search(rf"^{line.words[1]}:", read("Makefile"), re.MULTILINE)


def test_every_extra_that_is_named_exists_and_all_are_listed_under_deployment():
    extras = set(PROJECT["project"]["optional-dependencies"])
    named = {extra for name in NAMES for group in re.findall(r'(?:ldmseg|"\.)\[([\w,-]+)\]', read(name)) for extra in group.split(",")}
    assert named <= extras
    assert extras == set(
        re.findall(r"^\| `([\w-]+)` \| [A-Za-z]", read("Documentation/engineer/deployment.md").split("## Models")[0], re.MULTILINE)
    )


def test_every_environment_variable_of_the_code_is_in_the_table_under_deployment():
    sources = [path.read_text(encoding="utf-8") for top in ("LDMSegLib", "LDMSeg") for path in (ROOT / top).rglob("*.py")]
    variables = {name for source in sources for name in re.findall(r'"(LDMSEG_[A-Z_]+)"', source)}
    assert variables - set(table(read("Documentation/engineer/deployment.md"), "Environment variables")) == set()


@pytest.mark.parametrize("name", NAMES)
def test_python_in_the_documents_is_python_and_imports_what_is_there(name):
    for _, language, block in FENCE.findall(read(name)):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("LDMSegLib") and (ROOT / "LDMSegLib" / "api.py").is_file():
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


# --------------------------------------------------------------------------------------------------- pages and the code


def table(text: str, heading: str) -> list[str]:
    """The first cells, without their backquotes, of the table under a heading."""
    section = re.split(r"^#+ ", text.split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


def test_the_page_on_events_lists_every_event():
    source = ast.parse(read("LDMSegLib/events.py"))
    (reporter,) = (node for node in source.body if isinstance(node, ast.ClassDef) and node.name == "Reporter")
    assert table(read("Documentation/engineer/events.md"), "Events") == [
        node.name for node in reporter.body if isinstance(node, ast.FunctionDef)
    ]


def test_the_page_on_events_lists_every_stage():
    stages = set()
    for path in (ROOT / "LDMSegLib").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "stage" and len(call.args) == 2:
                stages |= {call.args[0].value} if isinstance(call.args[0], ast.Constant) else set()
    assert len(stages) > 5
    assert set(table(read("Documentation/engineer/events.md"), "Stages")) == stages


def test_the_page_on_the_command_line_takes_in_the_help_of_every_command(capsys):
    module, _, function = PROJECT["project"]["scripts"]["ldmseg"].partition(":")
    main = getattr(importlib.import_module(module), function)

    def named(*arguments: str) -> set[str]:
        assert main([*arguments, "--help"]) == 0
        return set(re.findall(r"^ {2,4}([a-z][a-z-]+)(?:  |$)", capsys.readouterr().out, re.MULTILINE))

    wanted = {"", *named(), *(f"models {action}" for action in named("models"))}
    page = {found.strip() for found in re.findall(r"<!-- help:([^>]*)-->", read("Documentation/engineer/command-line.md"))}
    assert page == wanted


def test_the_page_on_the_layout_names_folders_that_are_there():
    rooms = re.findall(r"^ {2,4}(\w+)/ ", read("Documentation/engineer/layout.md"), re.MULTILINE)
    assert {"spatial", "io", "inference", "cli"} <= set(rooms)
    if (ROOT / "LDMSegLib" / "spatial").is_dir():
        tops = ("LDMSegLib", "LDMSeg", "LDMSeg/LDMSegModule")
        assert [room for room in rooms if not any((ROOT / top / room).is_dir() for top in tops)] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_every_file_of_ours_that_is_named_is_there(name):
    tops = (
        ("Testing", "Training", "LDMSegLib", "LDMSeg", ".github") if (ROOT / "LDMSegLib" / "spatial").is_dir() else ("Testing", "Training")
    )
    named = {code for code in re.findall(r"`([\w./-]+/[\w./-]*)`", read(name)) if code.split("/")[0] in tops}
    assert [code for code in sorted(named) if not (ROOT / code).exists()] == []


# ------------------------------------------------------------------------------------------------------------- records

FORMER_TABLE = {
    1: "cannot run it",
    2: "members × steps",
    3: "6 to 28",
    4: "2305.08891",
    5: "whole field of view",
    6: "trilinear",
    7: "GroupNorm",
    8: "same trajectory",
    9: "torchrun",
    10: "any batch",
    11: "40 %",
    12: "empty masks",
    13: "0.69 instead of 0.78",
    14: "63 kB",
    15: "30 mm",
    16: "0.219 against 0.188",
    17: "0.13 to 0.31",
    18: "first of the bundle's sequences",
    19: "downloads its network",
    20: "0.86 to 1.77",
    21: "10 MB",
    22: "66 s",
    23: "18 of 20",
    24: "0.92",
    25: "0.128 to 0.027",
    26: ".82/.77/.48",
    27: "7 of 10",
    28: "Net2Net",
    29: ".602/.863/.909",
    30: ".911/.841/.585",
    31: ".863, .883, .893, .898, .899",
    32: ".589/.845/.900",
    33: ".615/.870/.918",
    34: "a quarter to a third",
    35: "∝ √t",
    36: "fell by 1 %",
    37: ".597/.862/.910",
    38: "8 to 40 %",
}
"""What each line of the table that the records came from said as nobody else did."""


def records() -> list[Path]:
    return sorted((DOCUMENTATION / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize(("number", "said"), FORMER_TABLE.items())
def test_every_decision_of_the_former_table_is_in_its_record(number, said):
    (record,) = (DOCUMENTATION / "decisions").glob(f"{number:04}-*.md")
    assert said in " ".join(record.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("path", records(), ids=lambda path: path.stem)
def test_a_record_has_its_number_a_status_and_all_parts_and_stands_in_the_index(path):
    text = path.read_text(encoding="utf-8")
    head = RECORD.match(text)
    assert head and head[1] == path.name[:4]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    title = text.split(". ", 1)[1].splitlines()[0]
    assert f"| [{head[1]}]({path.name}) | {title} | {head[2].split()[0]} |" in read("Documentation/decisions/index.md")


def test_records_are_numbered_without_a_gap():
    assert [int(path.name[:4]) for path in records()] == list(range(1, len(records()) + 1))


# ------------------------------------------------------------------------------------------------ the frame around it

OWN_WORDS = re.compile(r"\b(leaning|leans?|leant|evened|strangers?|specks?|satellites?|aftermath|views undone)\b", re.IGNORECASE)


@pytest.mark.parametrize("name", NAMES)
def test_the_documents_use_the_words_of_the_field(name):
    assert OWN_WORDS.findall(prose(read(name))) == []


def test_the_version_stands_in_one_place_and_whoever_repeats_it_agrees():
    import LDMSegLib

    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "LDMSegLib.__version__"}
    assert re.search(r"^version: (\S+)$", read("CITATION.cff"), re.MULTILINE)[1] == LDMSegLib.__version__
    released = re.findall(r"^## \[(\d\S*)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == LDMSegLib.__version__


def test_pre_commit_runs_the_ruff_that_is_pinned():
    pinned = re.search(r"^ruff==(\S+)$", read("constraints.txt"), re.MULTILINE)[1]
    assert f"rev: v{pinned} " in read(".pre-commit-config.yaml")


def test_what_builds_the_documentation_is_pinned():
    pins = read("constraints.txt")
    wanted = [re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["project"]["optional-dependencies"]["docs"]]
    assert wanted and [name for name in wanted if f"\n{name}==" not in pins] == []


@pytest.mark.parametrize(
    "name", ["mkdocs.yml", ".pre-commit-config.yaml", *(path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml"))]
)
def test_every_yaml_file_can_be_read(name):
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(read(name))
