# `make` prints what there is. Every target sets up by itself; nothing is installed by hand.

.DEFAULT_GOAL := help
.PHONY: help setup lock demo test lint format test-matrix promises bench docs e2e clean

# Another interpreter: make setup PYTHON=python3.12
export PYTHON ?= python3
# The demo's database: sqlite or mariadb.
DB ?= sqlite
# More arguments for pytest: make test ARGS="-k pool -x"
ARGS ?=

python := .venv/bin/python
pytest := $(python) -m pytest

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*##  *\(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

setup:  ## install the servers that the tests start, and .venv from requirements.lock
	@.ci/setup

demo: setup  ## run web, worker and sidecar until Ctrl-C; DB=mariadb kills its connections too
	@$(python) -m tests.demo --db $(DB) $(ARGS)

test: lint  ## lint, then every test that needs no cluster; ARGS="-k pool" chooses
	@echo "test: pytest on real servers, started by the tests themselves"
	@$(pytest) --ignore=tests/e2e $(ARGS)

lint: setup  ## ruff, mypy, and a docstring on every test
	@echo "lint: ruff check"
	@$(python) -m ruff check --quiet .
	@echo "lint: ruff format"
	@$(python) -m ruff format --quiet --check . || { echo "lint: fix it by: make format"; exit 1; }
	@echo "lint: mypy"
	@$(python) -m mypy --no-error-summary
	@echo "lint: interrogate"
	@$(python) -m interrogate --config pyproject.toml tests || { echo "lint: a test has no docstring; .venv/bin/python -m interrogate -c pyproject.toml -vv tests"; exit 1; }

format: setup  ## format the code and fix what can be fixed
	@# What it cannot fix does not keep the rest from being formatted; make lint names it.
	@$(python) -m ruff check --fix --quiet . || true
	@$(python) -m ruff format .

test-matrix: setup  ## the probes on SQLAlchemy 1.4, 2.0 and 2.1, Flask 2.2 and 3; checkov on the chart
	@$(python) -m nox

promises: setup  ## the big proofs at full size, with their numbers (many minutes)
	@ULLAGE_PROMISES=full $(pytest) tests/promises -s --timeout=0 $(ARGS)

bench: setup  ## measure the budgets of docs/performance.md
	@$(python) -m tests.bench $(ARGS)

docs: setup  ## produce the documents that come from the code
	@echo "docs: docs/metrics.md"
	@$(python) -m ullage.metrics > .metrics.md.new && mv .metrics.md.new docs/metrics.md
	@echo "docs: docs/settings.md"
	@$(python) -m ullage.settings > .settings.md.new && mv .settings.md.new docs/settings.md
	@echo "docs: docs/rules.yaml and docs/runbooks/README.md"
	@$(python) -m tests.monitoring.rules
	@echo "docs: chart/monitoring/dashboards"
	@$(python) -m chart.monitoring.builders
	@echo "docs: chart/README.md"
	@$(python) -m tests.chart.docs

e2e: setup  ## the chart on a cluster: KUBECONFIG and ULLAGE_E2E_IMAGE, or the test cluster
	@.ci/e2e $(ARGS)

lock: setup  ## choose newer versions for requirements.lock and requirements-image.lock
	@echo "lock: resolving pyproject.toml"
	@.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --all-extras --group dev \
	  --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  pyproject.toml --output-file requirements.lock
	@.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.13 --extra app --extra exporter --extra observer \
	  --constraint requirements.lock --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  pyproject.toml --output-file requirements-image.lock
	@echo "lock: done; make test tells whether everything works with it"

clean:  ## remove everything that make made
	rm -rf .venv .nox .mypy_cache .pytest_cache .ruff_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
