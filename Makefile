# `make demo` and `make test` do everything on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --progress-bar on

.PHONY: demo test test-data test-papers test-compile test-integration integration-packages test-browser test-gpu wheels bench peers classifiers lint format type-check install clean

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

test-papers: install  ## the largest presets after the papers, at their published sizes
	OMP_NUM_THREADS=2 $(BIN)/pytest tests/families/test_papers.py -m papers

test-compile: install  ## trainings by torch.compile; needs a C++ compiler: about 5 minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m compile

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

test-browser: install  ## the dashboard and the report in a real Chromium
	@test -x /usr/bin/chromium -a -x /usr/bin/java || $(MAKE) --no-print-directory \
	  integration-packages SERVICES="chromium default-jre-headless"
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser

# The machine's own torch serves, wherever it is; what it lacks is added beside it.
GPU := .venv-gpu
test-gpu:  ## on a machine with an NVIDIA GPU; where there is no registry, WHEELS=FOLDER
	@nvidia-smi -L > /dev/null 2>&1 || \
	  { echo "make test-gpu: no NVIDIA GPU is here (nvidia-smi -L lists none)"; exit 2; }
	test -d $(GPU) || $(PYTHON) -m venv --system-site-packages $(GPU)
	$(PYTHON) -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parents[1])' \
	  > $$(echo $(GPU)/lib/python3.*/site-packages)/machine.pth
	$(GPU)/bin/pip install -q $(if $(WHEELS),--no-index --find-links $(WHEELS)) "setuptools>=77"
	$(GPU)/bin/pip install -q $(if $(WHEELS),--no-index --find-links $(WHEELS)) \
	  --no-build-isolation -e . pytest pytest-timeout
	$(GPU)/bin/python -m pytest tests/gpu -m gpu -rs
	$(GPU)/bin/python -m benchmarks.overhead

# For another Python: FOR="--python-version 3.12 --platform manylinux_2_28_x86_64 --platform ...".
wheels: install  ## what `make test-gpu` adds to a machine's torch, into WHEELS; without what it HAS
	$(BIN)/python tests/gpu/needed.py $(HAS) > $(VENV)/needed.txt
	$(BIN)/pip download -q --no-deps --only-binary=:all: $(FOR) -d $(WHEELS) -r $(VENV)/needed.txt

bench: install  ## figures of sweeps, records and the dashboard, and speed beside peers: 50 min
	$(BIN)/python -m benchmarks.sweep_engine
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.record_size
	$(BIN)/python -m benchmarks.dashboard
	$(BIN)/python -W ignore -m benchmarks.speed

peers: install  ## other libraries' own flows under `flowbench check`, into reports/peers.md: 20 min
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.peer_checks

classifiers: install  ## trains what samples are scored by, committed: about ten minutes of one core
	OMP_NUM_THREADS=1 $(BIN)/python -m flowbench.evaluation.train_classifiers

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
