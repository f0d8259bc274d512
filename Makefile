# Each target does its own set-up in .venv; nothing but Python 3.11+ and make is needed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The first interpreter that is new enough; override with `make PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$p >/dev/null 2>&1 \
	&& $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

# Tests start many interpreters and rewrite their assertions: without bytecode each does so anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; set it with: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25.1'

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing batchtrail into $(VENV)" >&2
	@PYTHONWARNINGS=ignore $(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing the development tools into $(VENV)" >&2
	@$(PIP) --group dev
	@touch $@

.PHONY: run
run: $(VENV)/installed ## run the example batch: on the built-in emulator, or with LIVE=1 at OpenAI
	@LIVE="$(LIVE)" $(BIN)/python examples/run_example.py

# One worker more than the two cores that everybody has: many tests wait for other processes.
.PHONY: test
test: $(VENV)/installed-dev ## run the tests; with more than two cores: JOBS=8
	@$(BIN)/python -m pytest -n $(or $(JOBS),3) --dist worksteal $(ARGS)

.PHONY: simulate
simulate: $(VENV)/installed-dev ## whole days under faults: SEEDS=10000, one of them: SEED=7, a rule less: MUTATE=name
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(FIRST),--first $(FIRST)) $(if $(JOBS),--jobs $(JOBS)) $(if $(MUTATE),--mutate $(MUTATE))

.PHONY: kills
kills: $(VENV)/installed-dev ## real processes, killed for real: RUNS=200 STORE=postgresql WHAT=workers
	@$(BIN)/python -m tests.kills $(WHAT) $(if $(RUNS),--runs $(RUNS)) $(if $(STORE),--store $(STORE)) \
		$(if $(SEED),--seed $(SEED)) $(if $(REQUESTS),--requests $(REQUESTS)) $(if $(WARM),--warm) \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(BATCHES),--batches $(BATCHES)) \
		$(if $(EVERY),--every $(EVERY)) $(if $(LEASE),--lease $(LEASE)) \
		$(if $(HIDDEN),--hidden $(HIDDEN)) $(if $(WAIT),--wait $(WAIT)) $(if $(MUTATE),--mutate $(MUTATE))

.PHONY: crashes
crashes: $(VENV)/installed-dev ## a death at every boundary, every call failing: all, ROWS=crash/postgres, one of them: CELL=name
	@$(BIN)/python -m tests.simulation.matrix $(if $(CELL),--cell "$(CELL)") $(if $(ROWS),--rows "$(ROWS)") \
		$(if $(JOBS),--jobs $(JOBS))

.PHONY: bench
bench: $(VENV)/installed-dev ## what a run costs, against a floor and a script on the SDK: REQUESTS=50000 ROUNDS=5
	@$(BIN)/python -m tests.benchmarks $(if $(REQUESTS),--requests $(REQUESTS)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(LINE_BYTES),--line-bytes $(LINE_BYTES)) \
		$(if $(ANSWER_BYTES),--answer-bytes $(ANSWER_BYTES)) $(if $(REPORT),--report $(REPORT))

.PHONY: lint
lint: $(VENV)/installed-dev ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

.PHONY: types
types: $(VENV)/installed-dev ## mypy strict and pyright
	@$(BIN)/mypy
	@$(BIN)/basedpyright

.PHONY: arch
arch: $(VENV)/installed-dev ## import-linter: the direction of the layers
	@$(BIN)/lint-imports

.PHONY: check
check: ARGS += --cov --cov-report=term:skip-covered
check: lint types arch test ## all that CI runs; the tests show their branch coverage

.PHONY: fmt
fmt: $(VENV)/installed-dev ## format the code and apply safe fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: docs
docs: $(VENV)/installed ## write the reference pages that follow from the code
	@$(BIN)/python docs/build_reference.py

.PHONY: golden
golden: $(VENV)/installed-dev ## write the golden files of new event versions; none is changed
	@$(BIN)/python -m tests.evolution

.PHONY: prices
prices: $(VENV)/installed-dev ## copy OpenAI's prices from the installed genai-prices
	@$(BIN)/python -m tests.prices

.PHONY: dist
dist: $(VENV)/installed-dev ## build the wheel and the source distribution
	@rm -rf dist build
	@$(BIN)/python -m build --quiet

.PHONY: clean
clean: ## remove the environment and everything generated
	rm -rf $(VENV) build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
