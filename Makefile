# make help lists the targets. Each brings .venv up to date first: PYTHON=python3.12 make test chooses the interpreter.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help venv demo dist bench test test-lowest coverage mutants audit lint types imports docs check clean

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
INSTALLED := .venv/.installed
LOWEST_INSTALLED := .venv-lowest/.installed
DEMO_MARKER := demo/.made-by-make-demo

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

venv: $(INSTALLED)  ## install lfbt and its tools into .venv

$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo 'lfbt needs Python 3.11 or newer with its venv module; name one: make PYTHON=python3.12' >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo 'installing lfbt and its tools into .venv (minutes, the first time)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# 51.2 Hz and few epochs fit into a few minutes of two CPU cores; a real run has 2048 samples of ten seconds.
demo: $(INSTALLED)  ## pretrain, probe, fine-tune and report on synthetic ECGs, into demo/
	@test ! -e demo || test -e $(DEMO_MARKER) \
	  || { echo "demo/ was not made by 'make demo' and is left alone; move it away first" >&2; exit 1; }
	@rm -rf demo && mkdir demo && touch $(DEMO_MARKER)
	$(BIN)/lfbt prepare synthetic demo/downloads/synthetic demo/data/synthetic --records 800 --n-samples 512
	$(BIN)/lfbt pretrain --data-dir demo/data/synthetic --run-dir demo/pretrain --preset small --normalisation record --epochs 15
	$(BIN)/lfbt probe --data-dir demo/data/synthetic --checkpoint demo/pretrain --run-dir demo/probe
	$(BIN)/lfbt probe --data-dir demo/data/synthetic --random-encoder --run-dir demo/probe-random
	$(BIN)/lfbt finetune --data-dir demo/data/synthetic --checkpoint demo/pretrain --run-dir demo/finetune --epochs 10 --learning-rate 1e-3
	$(BIN)/lfbt report demo/pretrain demo/probe demo/probe-random demo/finetune --out demo/report

# The wheel is built from the sdist, so that both have all that is needed.
dist:  ## build sdist and wheel into dist/, install the wheel into an empty .venv-dist, and run the demo from there
	rm -rf dist
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check build
	.venv-dist/bin/python -m build --outdir dist
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	$(MAKE) demo BIN=.venv-dist/bin INSTALLED=

bench: $(INSTALLED)  ## measure lfbt beside a literal form of the method, half an hour, into docs/performance.md
	$(BIN)/python -m benchmarks --out docs/performance.json --docs docs/performance.md $(ARGS)

test: $(INSTALLED)  ## run the tests, in WORKERS processes; ARGS goes to pytest
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-lowest: $(LOWEST_INSTALLED)  ## run the tests with the lowest versions that pyproject.toml allows, in .venv-lowest
	.venv-lowest/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

$(LOWEST_INSTALLED): pyproject.toml constraints-lowest.txt
	test -x .venv-lowest/bin/pip || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints-lowest.txt -e '.[test]'
	@touch $@

coverage: $(INSTALLED)  ## run the tests, and list the lines and branches that none of them takes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pytest-cov
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing:skip-covered \
	  --cov-report=json:.coverage.json $(ARGS)
	@$(BIN)/python -c 'import json; print("lines {percent_statements_covered:.1f} %, branches {percent_branches_covered:.1f} %".format(**json.load(open(".coverage.json"))["totals"]))'

mutants: $(INSTALLED)  ## change modules at random, and count the changes that their tests find, into docs/reliability.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check cosmic-ray
	$(BIN)/python -m tests.mutants --docs docs/reliability.md $(ARGS)

audit: $(INSTALLED)  ## look the versions of constraints.txt up among published vulnerabilities; needs a network
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python -m pip_audit --requirement constraints.txt --no-deps --disable-pip

lint: $(INSTALLED)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## check types
	$(BIN)/mypy

imports: $(INSTALLED)  ## check that modules import only from those below them
	$(BIN)/lint-imports --no-logo

docs: $(INSTALLED)  ## build the documentation site into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

check: lint types imports docs test  ## all of the checks, the site, and the tests

clean:  ## remove caches, builds and the demo; .venv stays
	rm -rf build dist site .venv-dist .coverage .coverage.json .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	test ! -e $(DEMO_MARKER) || rm -rf demo
