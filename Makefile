# `make run` and `make test` are all a fresh machine needs: Python 3.11 or newer, make and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint check fuzz bench bench-explore ablation attention errors plots clean

run: $(VENV)/.runtime
	$(BIN)/ascend-sim run amla_decode

test: check lint

# Two processes, and what they start, fill two cores; more threads of OpenBLAS would be in each other's way.
check: $(VENV)/.dev $(VENV)/.browser
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

# Thousands of damaged files and random programs, other ones each time; about twenty minutes on two cores.
fuzz: $(VENV)/.dev
	ASCEND_SIM_FUZZ=long $(BIN)/python -m pytest -n 2 -o faulthandler_timeout=0 tests/test_fuzz_configs.py tests/test_random_programs.py tests/test_random_check.py tests/test_engine_timing.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.runtime
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/recording.py
	$(BIN)/python benchmarks/trace.py

# The exploration of AMLA's tilings, and searches in its space, against single runs; half an hour on two cores.
bench-explore: $(VENV)/.dev
	$(BIN)/python benchmarks/exploration.py

ablation: $(VENV)/.runtime
	$(BIN)/python plots/amla_ablation.py --out plots/amla_ablation.png

# The tables and figures of docs/algorithms.md; about six minutes.
attention: $(VENV)/.runtime
	$(BIN)/python plots/preload_condition.py --out plots/preload_condition.png
	$(BIN)/python plots/attention_times.py --out plots/attention_times.png

# The table that every result quotes as its expected error; it must follow each change of the model or of its figures.
errors: $(VENV)/.runtime
	$(BIN)/python -m ascend_sim.validation.expected

# All figures of plots/, from scratch; the flagship is simulated some twenty times.
plots: $(VENV)/.runtime ablation attention
	$(BIN)/python plots/amla_preload.py --out plots/amla_preload.png
	$(BIN)/python plots/amla_inside.py --out plots
	$(BIN)/python plots/amla_utilization.py --out plots/amla_utilization.png
	$(BIN)/python plots/roofline.py --out plots/roofline.png
	$(BIN)/python plots/mul_by_add.py --out plots/mul_by_add.png

$(VENV)/.python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; write make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.runtime: pyproject.toml | $(VENV)/.python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/.runtime

# Some tests open a page in Chromium: $CHROMIUM, one on the PATH, or else Debian's, if this user may install it.
APT_GET := $(if $(filter 0,$(shell id -u)),,sudo -n )env DEBIAN_FRONTEND=noninteractive apt-get -qq

$(VENV)/.browser: | $(VENV)/.dev
	$(BIN)/python tests/browser.py 2>/dev/null || [ -n "$$CHROMIUM" ] || ! command -v apt-get >/dev/null || \
	    { $(APT_GET) update; $(APT_GET) install -y --no-install-recommends chromium; } >/dev/null || true
	$(BIN)/python tests/browser.py
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
