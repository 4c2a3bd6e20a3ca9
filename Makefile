# Every target sets up what it needs; a second run does only what is left to do.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo setup test check fmt lint types layers unit e2e bench docs clean

BIN := .venv/bin
PYTEST_ARGS ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing: system packages (as root on Debian) and .venv
	@scripts/bootstrap

demo: setup ## Run the founding pipeline (examples/founding) on this machine
	@cd examples/founding && ../../$(BIN)/podlane run

.PHONY: setup-tests
setup-tests:
	@scripts/bootstrap --tests

test: setup-tests check unit ## Everything the project checks: lint, types, layers and all tests

check: fmt-check lint types layers

.PHONY: fmt-check
fmt-check: setup
	$(BIN)/ruff format --check .

fmt: setup ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

lint: setup ## Lint
	$(BIN)/ruff check .

types: setup ## Check the types
	$(BIN)/mypy

layers: setup ## Check who may import whom
	$(BIN)/lint-imports

unit: setup-tests
	$(BIN)/pytest $(PYTEST_ARGS)

e2e: setup-tests ## The end-to-end tests alone (PODLANE_E2E_KUBECONFIG points them at any cluster)
	$(BIN)/pytest tests/e2e $(PYTEST_ARGS)

bench: setup ## Measure, print the table and write docs/benchmarks.md
	$(BIN)/python -m bench

docs: setup ## Write the generated pages again (docs/reference/cli.md, helper.md, keywords.md)
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/keywords_reference.py
	$(BIN)/python scripts/helper_reference.py

clean: ## Remove what the tools leave in this folder (.venv too)
	rm -rf .venv .mypy_cache* .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* dist build
	find . -name __pycache__ -prune -exec rm -rf {} +
