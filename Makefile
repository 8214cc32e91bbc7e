# Everything runs from .venv, which the first target that needs it makes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help install train test test-all lint format types docs dist clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:\t/' | expand -t 12

.venv/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/.dev: .venv/.core
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev
	touch $@

install: .venv/.core  ## make .venv and install gantools into it

train: .venv/.core  ## train a GAN on handwritten digits with consensus, spectra for TensorBoard
	$(BIN)/gantools train --optimizer consensus

test: .venv/.dev  ## the tests, without the slow ones
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: .venv/.dev  ## the slow tests
	$(BIN)/python -m pytest -n 2 -m slow

lint: .venv/.dev  ## lint and format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.dev  ## format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.dev  ## type check
	rm -rf build/types build/lib
	$(BIN)/python -m pip install --quiet --no-deps --target build/types .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/.dev  ## the documentation site, into build/docs; warnings and broken links fail
	$(BIN)/python -m sphinx -W --keep-going -E -q -b html -d build/doctrees docs build/docs
	$(BIN)/python scripts/documentation/check_site.py build/docs

dist: .venv/.dev  ## wheel and source distribution, into dist/, after they were installed and used elsewhere
	$(BIN)/python scripts/checks/check_wheel.py --out dist

clean:  ## remove the environment and caches, not the runs
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
