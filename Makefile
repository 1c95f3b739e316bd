# Every command sets up .venv first (.ci/setup: quick when nothing changed). `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
PYTEST := $(PYTHON) -m pytest

.PHONY: help demo test test-full simulate chaos check fmt bench bench-full lock clean setup setup-test

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: setup ## run the demonstration: a workflow over the flights of New York, watched live
	@.venv/bin/wfp demo

test: setup-test ## run all tests but those marked full
	@$(PYTEST) -n auto --dist loadfile -m "not full"

test-full: setup-test ## run every test, the minutes-long ones too
	@$(PYTEST) -n auto --dist loadfile

SEEDS := 2000
simulate: setup-test ## simulate executions in which everything goes wrong: make simulate SEEDS=2000
	@$(PYTHON) -m tests.simulation --seeds $(SEEDS)

EXECUTIONS := 200
SEED :=
chaos: setup-test ## kill real processes while executions run: make chaos EXECUTIONS=200 SEED=4711
	@$(PYTHON) -u -m tests.chaos --executions $(EXECUTIONS) $(if $(SEED),--seed $(SEED))

check: setup-test ## format, lint, types, layers and house rules
	@rc=0; run() { printf '%s\n' "--- $$*"; "$$@" || rc=1; }; \
	export RUFF_OUTPUT_FORMAT=concise; \
	run $(PYTHON) -m ruff format --check .; \
	run $(PYTHON) -m ruff check .; \
	run $(PYTHON) -m mypy; \
	run .venv/bin/lint-imports --no-logo; \
	run $(PYTEST) -q tests/house; \
	exit $$rc

fmt: setup-test ## format the code and mend what the linter can mend
	@$(PYTHON) -m ruff format . && $(PYTHON) -m ruff check --fix .

bench: setup-test ## measure side by side with bare Dask, in a few minutes
	@$(PYTHON) -m benchmarks

bench-full: setup-test ## the same at full size
	@$(PYTHON) -m benchmarks --full

lock: ## write .ci/constraints.txt anew from the ranges in pyproject.toml
	@.ci/setup lock

clean: ## remove what was set up, built or cached; recorded executions stay
	@rm -rf .venv .tools build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@.ci/setup run

setup-test:
	@.ci/setup test
