"""The walls of the house: which room may import which, read from every import in every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the ground up: a room imports only from rows above its own here, and from the rooms beside it that are named in BESIDE.
LIBRARY = (
    ("errors", "remaining_time"),
    ("specification", "events", "optional"),
    ("spatial",),
    ("io",),
    ("sequences", "preprocessing"),
    ("cases", "models", "diffusion"),
    ("postprocessing", "results"),
    ("inference", "synthesis", "evaluation"),
    ("api",),
    ("cli",),
    ("__main__",),
)
MODULE = (("process",), ("install", "parameters"), ("scene",), ("result", "checks"), ("panels",))
BESIDE = {("results", "postprocessing"), ("preprocessing", "sequences")}

OUTSIDE_OF_LIBRARY = {"slicer", "qt", "ctk", "vtk", "LDMSeg", "LDMSegModule", "Training", "Testing"}
# What Slicer's own Python has; everything else is installed by the user's consent and is imported in a process of its own.
SLICERS_OWN = {"slicer", "qt", "ctk", "vtk", "numpy", "LDMSegLib", "LDMSegModule", "SampleData"}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a file imports, inside functions and for type checks too; `from a import b` is a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import, expected the whole name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def python_files(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def room(package: Path, path: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def upward(package: Path, name: str, order: tuple[tuple[str, ...], ...]) -> list[str]:
    """One sentence for each import that does not go down, and for each room that is not in the order."""
    height = {member: row for row, members in enumerate(order) for member in members}
    said = []
    for path in sorted(package.rglob("*.py")):
        here = room(package, path)
        if here == "__init__":
            said += [f"{path.relative_to(ROOT)}:{line} imports {what}" for line, what in imports(path) if what.startswith(f"{name}.")]
            continue
        if here not in height:
            said.append(f"{path.relative_to(ROOT)} is in no room that this test knows: put it into one, or the new room into the order")
            continue
        for line, what in imports(path):
            parts = what.split(".")
            if parts[0] != name or len(parts) < 2 or parts[1] not in height or parts[1] == here:
                continue
            if height[parts[1]] >= height[here] and (here, parts[1]) not in BESIDE:
                said.append(f"{path.relative_to(ROOT)}:{line}: {here} imports {what}, which does not lie below it")
    return said


def test_the_rooms_of_the_library_import_downwards_only():
    assert upward(ROOT / "LDMSegLib", "LDMSegLib", LIBRARY) == []


def test_the_rooms_of_the_slicer_module_import_downwards_only():
    assert upward(ROOT / "LDMSeg" / "LDMSegModule", "LDMSegModule", MODULE) == []


def test_the_library_knows_nothing_of_slicer_of_the_training_or_of_the_tests():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in python_files("LDMSegLib")
        for line, what in imports(path)
        if what.split(".")[0] in OUTSIDE_OF_LIBRARY
    ]
    assert found == []


def test_the_training_does_not_import_the_tests():
    assert [
        what for path in python_files("Training") for _, what in imports(path) if what.split(".")[0] in ("Testing", "LDMSegModule")
    ] == []


def test_the_slicer_module_imports_only_what_slicer_brings():
    own = SLICERS_OWN | set(sys.stdlib_module_names) | {"__future__"}
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in python_files("LDMSeg")
        for line, what in imports(path)
        if what.split(".")[0] not in own
    ]
    assert found == []


@pytest.mark.parametrize("folder", ["LDMSegLib", "LDMSeg"])
def test_no_files_import_each_other_in_a_circle(folder):
    base = ROOT / "LDMSeg" if folder == "LDMSeg" else ROOT
    names = {".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path for path in python_files(folder)}

    def file_of(what: str) -> str | None:
        return what if what in names else what.rpartition(".")[0] if what.rpartition(".")[0] in names else None

    arrows = {name: {file_of(what) for _, what in imports(path)} - {None, name} for name, path in names.items()}
    finished: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' → '.join((*way[way.index(name) :], name))}"
        if name not in finished:
            for other in sorted(arrows[name]):
                walk(other, (*way, name))
            finished.add(name)

    for name in names:
        walk(name, ())


@pytest.mark.parametrize("module", ["LDMSegLib", *(["LDMSegLib.api"] if (ROOT / "LDMSegLib" / "api.py").exists() else [])])
def test_importing_the_library_imports_no_torch(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'monai', 'nibabel', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "torch" not in done.stdout and "monai" not in done.stdout, done.stdout + done.stderr


def test_the_wall_is_seen_where_it_is_broken(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    package = tmp_path / "LDMSegLib"
    for file, text in {
        "spatial/volume.py": "def f():\n    from LDMSegLib.cases import loading\n",
        "results/save.py": "from LDMSegLib.postprocessing import regions\n",
        "attic/old.py": "",
    }.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text)
    first, second = upward(package, "LDMSegLib", LIBRARY)
    assert "attic/old.py is in no room" in first and "spatial/volume.py:2: spatial imports LDMSegLib.cases.loading" in second
