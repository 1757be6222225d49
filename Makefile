# Two commands: `make demo` shows what it does, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
USE    := $(VENV)/.use
WORK   := $(VENV)/.work
DOCS   := $(VENV)/.docs

.PHONY: demo test lint bench docs clean

demo: $(USE)
	$(BIN)/ldmseg demo-patient -o demo/patient
	$(BIN)/ldmseg segment demo/patient -o demo/result --synthetic --overwrite
	@echo "Open demo/result/report.png; the maps beside it load in 3D Slicer. The patient is synthetic. Research use only."

test: $(WORK)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

bench: $(WORK)
	$(BIN)/python -m Testing.benchmarks

# The site, into build/site; a warning is an error.
docs: $(DOCS)
	$(BIN)/python -m mkdocs build --strict

lint: $(WORK)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(USE): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) ".[demo]"
	@touch $@

$(WORK): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) ".[demo,train,test]"
	@touch $@

$(DOCS): pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
