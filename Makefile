# Everything that one types in this repository. Each target sets up what it needs on a fresh machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# processes that run tests side by side; each makes hosts of its own
JOBS ?= auto
BIN := .venv/bin
# programs of the environment (shellcheck) are found by tests as if it were activated
export PATH := $(CURDIR)/$(BIN):$(PATH)
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
SHELL_SCRIPTS := .ci/run $(wildcard src/workflow_agent/testing/lab/*.sh)

.PHONY: help demo test coverage long check format clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/runtime.stamp  ## Plan, install, verify, roll back on a throw-away Debian host (root)
	@$(BIN)/python examples/demo/demo.py $(ARGS)

test: .venv/test.stamp  ## Run all tests but the long ones; real hosts when root. ARGS="-k name" selects
	@$(BIN)/python -m workflow_agent.testing.lab setup
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

# every command that a test starts is measured too, which doubles the time of most tests
coverage: .venv/test.stamp  ## Run the tests of `make test` with coverage: is each part covered as it must be? (root)
	@$(BIN)/python -m workflow_agent.testing.lab setup
	@$(BIN)/pytest -n $(JOBS) --dist worksteal --cov --cov-report=term:skip-covered $(ARGS)
	@$(BIN)/python tests/coverage_minima.py

long: .venv/test.stamp  ## Run the long trials
	@$(BIN)/python -m workflow_agent.testing.lab setup
	@$(BIN)/pytest -m long -o faulthandler_timeout=600 $(ARGS)

check: .venv/test.stamp  ## Format, lint, types, import contracts, house rules: no test of behaviour
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/shellcheck $(SHELL_SCRIPTS)
	@$(BIN)/pytest -q tests/unit/test_house_rules.py

format: .venv/test.stamp  ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:  ## Remove what was made here; images of lab hosts stay in ~/.cache/workflow-agent
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage* htmlcov

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, $(PYTHON) is not: make PYTHON=python3.11" >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	    echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	  echo "installing python3-venv"; \
	  apt-get update -q >/dev/null || true; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >/dev/null; \
	fi
	@echo "making .venv"
	@$(PYTHON) -m venv .venv

.venv/runtime.stamp: requirements.txt setup.cfg pyproject.toml | .venv/bin/python
	@echo "installing requirements.txt"
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps -e .
	@$(BIN)/python -m compileall -q src  # as pip does for what is not editable; 0.2 s of each command
	@touch $@

.venv/test.stamp: .venv/runtime.stamp requirements-test.txt
	@echo "installing requirements-test.txt"
	@$(PIP) install -r requirements-test.txt
	@touch $@
