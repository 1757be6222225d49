"""Nothing lies in the Slicer module that only tests use."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2] / "LDMSeg"

CALLED_BY_SLICER = {"LDMSeg", "LDMSegWidget", "LDMSegTest", "cleanup", "enter", "exit", "runTest"}
FOR_SCRIPTS = {"results"}
"""Methods of the module's logic that Documentation/engineer/api.md offers to the Python console."""


def test_every_function_and_class_is_used_in_the_module_itself():
    defined, used = {}, Counter()
    for path in sorted(MODULE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                defined[node.name] = f"{path.relative_to(MODULE)}:{node.lineno} {node.name}"
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
            elif isinstance(node, ast.Name):
                used[node.id] += 1
    unused = [where for name, where in defined.items() if not used[name] and not name.startswith("__")]
    expected = CALLED_BY_SLICER | FOR_SCRIPTS
    assert [where for where in unused if where.split()[-1] not in expected] == []
