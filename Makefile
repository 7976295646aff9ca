# `make demo` and `make test` are all that a fresh machine needs; the first one to run installs into .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-more test-torch campaign check site notebook bench clean

demo: .venv/installed
	$(BIN)/handful demo

test: .venv/installed
	$(BIN)/pytest -n auto

# What make test leaves out: slow tests, and those that compile networks, start several processes or open a browser.
# One worker runs all tests of a file, so that their fixtures, which take up to a minute, are made once.
test-more: .venv/installed
	$(BIN)/pytest -n auto --dist loadfile -m 'compile or processes or slow or web'

# Kills, full disks, damaged and strangers' files: over an hour on two idle cores. A sample of it is in make test.
campaign: .venv/installed
	PYTHONPATH=tests $(BIN)/python -m campaign

check: .venv/installed
	$(BIN)/ruff check src tests benchmarks experiments integrations dev .ci
	$(BIN)/ruff format --check src tests benchmarks experiments integrations dev .ci
	$(BIN)/mypy

# constraints.txt pins what was tested. pip takes the build of torch that the machine's package index offers.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The suite with another torch: the oldest that pyproject.toml allows, or TORCH=2.15.0.
TORCH ?= 2.11.0
test-torch:
	$(PYTHON) -m venv build/torch-$(TORCH)
	build/torch-$(TORCH)/bin/pip install --quiet --disable-pip-version-check torch==$(TORCH) -e '.[dev]'
	build/torch-$(TORCH)/bin/pytest -n auto

# The site, in build/site. A broken link or a page without its place fails.
site: .venv/installed
	$(BIN)/python dev/site.py
	$(BIN)/zensical build --clean --strict

# The notebook, run from the first cell to the last with tiny sizes.
notebook: .venv/installed
	$(BIN)/python dev/notebook.py

# A quarter of an hour on a machine that does nothing else.
bench: .venv/installed
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf .venv build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
