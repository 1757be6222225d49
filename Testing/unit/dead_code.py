"""Names that nothing but tests refers to: what a clean-up removes together with its tests.

    python Testing/unit/dead_code.py

Lists functions, classes and methods of LDMSegLib and Training whose name no file of the library, the Slicer module, Training or
the benchmarks reads. Names are compared, not objects: one that is common is missed, one that is only called from outside is listed
wrongly.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JUDGED = ("LDMSegLib", "Training")
READERS = ("LDMSegLib", "Training", "LDMSeg", "Testing/benchmarks", "Documentation")


def files(*folders: str) -> Iterator[Path]:
    """Python files below folders of the repository."""
    for folder in folders:
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in path.parts)


def read_names(path: Path) -> set[str]:
    """Names that a file reads: variables, attributes, and strings that may be names (entry points, networks of a bundle)."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.update(node.value.split(".") if len(node.value) < 200 else ())
    return names


def defined(path: Path) -> Iterator[tuple[int, str]]:
    """(line, name) of the functions, classes and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("__"):
            yield node.lineno, node.name


def unread() -> dict[str, str]:
    """Name → where it is defined, of all that no reader reads."""
    read = set().union(*map(read_names, files(*READERS)))
    places = ((name, f"{path.relative_to(ROOT).as_posix()}:{line}") for path in files(*JUDGED) for line, name in defined(path))
    return {name: place for name, place in places if name not in read}


if __name__ == "__main__":
    for name, place in unread().items():
        print(f"{place}  {name}")
