# `make demo` and `make test` do everything on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --progress-bar on

.PHONY: demo test test-data test-integration integration-packages lint format type-check install clean

install: $(VENV)/.developing

# torch is pinned and installed first: left open, it brings gigabytes of GPU libraries.
$(VENV)/.running: pyproject.toml constraints.txt
	@echo "installing FlowBench into $(VENV): a minute or two"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e .
	touch $@

$(VENV)/.developing: $(VENV)/.running
	$(PIP) -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/.running  ## six families on digits and moons, the leaderboard and a report
	$(BIN)/flowbench sweep run sweeps/demo.yaml
	$(BIN)/flowbench compare demo
	$(BIN)/flowbench report demo

test: install  ## the tests; needs no data and no internet but the package registry
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

test-data: install  ## what needs whole data sets, from FLOWBENCH_DATA or by verified download
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m data

test-integration: install integration-packages  ## on real services that the tests start and stop
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/integration -m integration

SERVICES := postgresql slurm-wlm munge
integration-packages:  ## installs what is missing of Debian's database and batch system
	@missing=$$(for package in $(SERVICES); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; \
	done); \
	test -z "$$missing" && exit 0; \
	as_root=$$(test $$(id -u) = 0 || echo sudo); \
	echo "installing $$missing"; \
	$$as_root apt-get update -qq && \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
	  -o Dpkg::Use-Pty=0 $$missing > /dev/null

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
