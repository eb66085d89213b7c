# `make run` and `make test` are all a fresh machine needs: Python 3.11 or newer, make and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint check fuzz bench ablation errors gallery clean

run: $(VENV)/.runtime
	$(BIN)/ascend-sim run amla_decode

test: check lint

check: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# Thousands of damaged files and random programs, other ones each time; half an hour.
fuzz: $(VENV)/.dev
	ASCEND_SIM_FUZZ=long $(BIN)/python -m pytest -n 2 tests/test_fuzz_configs.py tests/test_random_programs.py tests/test_random_check.py tests/test_engine_timing.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.runtime
	$(BIN)/python benchmarks/speed.py

ablation: $(VENV)/.runtime
	$(BIN)/python benchmarks/ablation.py

# The table that every result quotes as its expected error; it must follow each change of the model or of its figures.
errors: $(VENV)/.runtime
	$(BIN)/python -m ascend_sim.validation.expected

gallery: $(VENV)/.runtime
	$(BIN)/python plots/pipeline_timeline.py amla_decode --set problem.kv_tokens=4096 --out plots/amla_pipeline.png
	$(BIN)/python plots/amla_utilization.py --out plots/amla_utilization.png

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

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
