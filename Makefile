# klinetop: `make demo` shows it, `make test` tests it, `make help` lists the rest.
# Needs only make and Python 3.11, 3.12 or 3.13 (PYTHON=/path/to/python chooses one).

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL_KLINETOP = $(PIP) install --quiet --no-deps --no-build-isolation --editable .

.DEFAULT_GOAL := help
.PHONY: help demo run test test-faults test-clients check docs lock clean

help:
	@echo 'make demo   open the terminal on a generated market (no network needed afterwards)'
	@echo 'make run    open the terminal on live Binance markets'
	@echo 'make test   run all tests but the faults'
	@echo 'make test-faults  the forty fault cases and a short faulty day, some minutes'
	@echo 'make test-clients  ccxt and an npm client against klinetop simulate (needs Node 20)'
	@echo 'make check  formatting, lint, types and the rules who may import whom'
	@echo 'make docs   write the table of settings in docs/configuration.md anew'
	@echo 'make lock   resolve the dependencies anew (needs network)'
	@echo 'make clean  remove the virtual environment and all caches'

demo: $(VENV)/.run-ready
	$(BIN)/klinetop --demo --data-dir data/demo

run: $(VENV)/.run-ready
	$(BIN)/klinetop

test: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -n auto

test-faults: $(VENV)/.dev-ready
	$(BIN)/python -m pytest -n auto -m faults tests

test-clients: $(VENV)/.dev-ready build/clients/.ready
	$(BIN)/python -m pytest -m clients tests/clients

build/clients/.ready: requirements/clients.lock tests/clients/package-lock.json
	$(BIN)/python -m venv --clear build/clients
	build/clients/bin/python -m pip --disable-pip-version-check install --quiet \
		--require-hashes -r requirements/clients.lock
	cp tests/clients/package.json tests/clients/package-lock.json build/clients/
	cd build/clients && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

check: $(VENV)/.dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.run-ready
	$(BIN)/python -m engine.settings_doc docs/configuration.md

# An environment that works is kept; else the first interpreter that is new enough makes one.
NEW_ENOUGH := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
$(VENV)/.made:
	@if $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null; then touch $@; exit 0; fi; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		if "$$python" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)."; \
			"$$python" -m venv --clear $(VENV) && touch $@; \
			exit $$?; \
		fi; \
	done; \
	echo 'klinetop needs Python 3.11, 3.12 or 3.13; install one, or name it: make PYTHON=/path/to/python3.12 demo' >&2; \
	exit 2

# The locks hold a version and hashes for everything, setuptools for the build included.
$(VENV)/.run-locked: $(VENV)/.made requirements/run.lock
	@echo 'Installing the dependencies; TensorFlow makes this several hundred MB.'
	$(PIP) install --quiet --require-hashes -r requirements/run.lock
	@touch $@

$(VENV)/.dev-locked: $(VENV)/.made requirements/dev.lock
	@echo 'Installing the dependencies and the tools for tests.'
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	@touch $@ $(VENV)/.run-locked

$(VENV)/.run-ready: $(VENV)/.run-locked pyproject.toml
	$(INSTALL_KLINETOP)
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.dev-locked pyproject.toml
	$(INSTALL_KLINETOP)
	@touch $@ $(VENV)/.run-ready

# uv writes locks that hold for every platform and Python; it gets an environment of its own.
COMPILE := build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url --upgrade pyproject.toml
lock:
	python3 -m venv --clear build/lock
	build/lock/bin/python -m pip --disable-pip-version-check install --quiet uv
	$(COMPILE) --output-file requirements/run.lock
	$(COMPILE) --group dev --constraint requirements/run.lock --output-file requirements/dev.lock
	$(subst pyproject.toml,requirements/clients.in,$(COMPILE)) --output-file requirements/clients.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache
	find engine tui tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
