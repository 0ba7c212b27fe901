# One command per wish; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# The tests wait more than they work: more processes than processors.
WORKERS ?= 3
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help run test faults lint docs docs-check check bench clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | column -t -s '|'

run: $(VENV)/.installed ## install and start the demo
	@exec $(BIN)/watchbridge demo

# A part that is named runs in one process, where a debugger works.
test: $(VENV)/.test ## install the servers of the tests and run all tests, or TESTS=…
	tests/install-servers
	$(BIN)/python -m pytest $(or $(TESTS),--numprocesses $(WORKERS) --dist worksteal -m 'not alone')
	$(if $(TESTS),,$(BIN)/python -m pytest -m alone)

faults: $(VENV)/.test ## try each fault as often as before a release: about an hour
	tests/install-servers
	WATCHBRIDGE_TESTS_FAULTS=release WATCHBRIDGE_TESTS_EPISODE_STEPS=50000 \
	  $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal tests/faults tests/test_episodes.py

lint: $(VENV)/.lint ## style, types, imports, Dockerfile, shell scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=tests $(BIN)/mypy --explicit-package-bases -p servers
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/shellcheck tests/install-servers .ci/run

docs: $(VENV)/.installed ## write the generated documents
	$(BIN)/python docs/generate.py

docs-check: $(VENV)/.installed ## fail where a generated document is not what the code says
	$(BIN)/python docs/generate.py --check

check: lint docs-check test ## everything that must pass

bench: $(VENV)/.test ## measure beside the peers
	tests/install-servers bench
	$(BIN)/python benchmarks/exposition.py
	$(BIN)/python benchmarks/server.py
	$(BIN)/python benchmarks/sql.py
	$(BIN)/python benchmarks/large_table.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/probe_engine.py
	$(BIN)/python benchmarks/probes.py
	$(BIN)/python benchmarks/services_memory.py
	$(BIN)/python benchmarks/webhook_intake.py
	$(BIN)/python benchmarks/backlog_queue.py
	$(BIN)/python benchmarks/restart_latency.py

clean: ## remove what was built, and the environment
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find exporter tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -f "$(VENV)/pyvenv.cfg" ]; then rm -rf "$(VENV)"; fi

# The stamps are older than pyproject.toml when its dependencies may have changed.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Watchbridge needs Python 3.11 or newer: say which with make PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml
	$(PIP) install --editable '.[postgresql,mysql,dns]'
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(PIP) install --editable '.[test,lint]'
	@touch $@
