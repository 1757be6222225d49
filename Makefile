# Two commands: `make demo` shows what it does, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test lint bench clean

demo: $(READY)
	$(BIN)/ldmseg demo-patient -o demo/patient
	$(BIN)/ldmseg segment demo/patient -o demo/result --synthetic --overwrite
	@echo "Open demo/result/report.png; the maps beside it load in 3D Slicer. The patient is synthetic. Research use only."

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

bench: $(READY)
	$(BIN)/python -m Testing.benchmarks

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo,train,test]"
	@touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
