"""The notebook of the documentation runs from its first cell to its last, with the embedded bundle and few members."""

from __future__ import annotations

import json

from commandline import ROOT, environment

NOTEBOOK = ROOT / "Documentation" / "tutorials" / "api.ipynb"


def test_the_notebook_runs_and_its_claims_hold(monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum("MEMBERS = 4" in part for part in code) == 1
    names: dict[str, object] = {}
    for number, part in enumerate(code):
        exec(compile(part.replace("MEMBERS = 4", "MEMBERS = 1"), f"cell {number}", "exec"), names)
    assert (names["from_images"].label_map == names["result"].label_map).all()
    assert (names["from_arrays"].label_map == names["result"].label_map).all()
    said = capfd.readouterr().out
    assert "WT: Dice 0." in said and "no image was given for" not in said and "provenance.json" in said


def test_a_notebook_is_kept_without_outputs():
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
