# `make demo` and `make test` do everything on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-data lint format type-check install clean

install: $(STAMP)

# torch is pinned and installed first: left open, it brings gigabytes of GPU libraries.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --progress-bar on --upgrade pip
	$(BIN)/pip install --quiet --progress-bar on -c constraints.txt torch
	$(BIN)/pip install --quiet --progress-bar on -c constraints.txt -e ".[dev]"
	touch $@

demo: install  ## six families on digits and moons, the leaderboard and a report
	$(BIN)/flowbench sweep run sweeps/demo.yaml
	$(BIN)/flowbench compare demo
	$(BIN)/flowbench report demo

test: install  ## the tests; needs no data and no internet but the package registry
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

test-data: install  ## what needs whole data sets, from FLOWBENCH_DATA or by verified download
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m data

lint: install type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type-check: install
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
