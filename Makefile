# Two commands: `make demo` shows what it does, `make test` proves it. `make help` names the others.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
USE    := $(VENV)/.use
WORK   := $(VENV)/.work
DOCS   := $(VENV)/.docs

# Tests run in so many processes, each of which computes in one thread.
WORKERS ?= 2
PYTEST   = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: help demo test test-fast check lint bench docs clean

help: ## name what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' $(MAKEFILE_LIST)

demo: $(USE) ## segment the synthetic patient, into demo/result
	$(BIN)/ldmseg demo-patient -o demo/patient
	$(BIN)/ldmseg segment demo/patient -o demo/result --synthetic --overwrite
	@echo "Open demo/result/report.png; the maps beside it load in 3D Slicer. The patient is synthetic. Research use only."

# pytest comes last, so that its closing line ends what is printed.
test: check ## style, types and all tests, with coverage
	$(PYTEST) --cov

test-fast: $(WORK) ## the tests that take no seconds each, in under 90 seconds
	$(PYTEST) -m "not slow"

check: $(WORK) ## style and types alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

bench: $(WORK) ## every figure of the model card
	$(BIN)/python -m Testing.benchmarks

# The site, into build/site; a warning is an error.
docs: $(DOCS) ## the documentation as a site
	$(BIN)/python -m mkdocs build --strict

lint: $(WORK) ## mend the style where that can be done by itself
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

clean: ## remove what was made
	rm -rf $(VENV) demo build *.egg-info
