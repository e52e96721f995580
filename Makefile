# Two commands on a fresh machine: `make demo` and `make test`. They need Python >= 3.11 and the package index, set up
# .venv from a hash-pinned lock the first time, and download nothing the second time.

SHELL := /bin/sh
VENV := .venv
RUN := $(VENV)/bin/python -m
FIRST_OF := for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done
PYTHON ?= $(shell $(FIRST_OF))
UV ?= uv
# Every package that is needed is in a lock with its hash: nothing is resolved and nothing is built.
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile
LOCKED := $(INSTALL) --require-hashes --only-binary :all:
ITSELF := $(INSTALL) --no-index --no-build-isolation --editable .

.PHONY: help demo test traps check lint types docs screenshots perf chaos lock clean

help:
	@echo 'make demo [SECONDS=20] [RATE=500|max] [PORT=8080] [KAFKA=embedded|apache|HOST:PORT] [ARGS=...]'
	@echo 'make test [ARGS=...]       all tests'
	@echo 'make traps [ARGS=NUMBERS]  each guard against a known fault is taken out: its tests must fail'
	@echo 'make check                 lint and types'
	@echo 'make docs                  the documentation as a site in site/; a broken link fails'
	@echo 'make screenshots           the pictures of the page in docs/screenshots/ (needs Chromium)'
	@echo 'make perf [SCENARIO=all] [ARGS=...]'
	@echo 'make chaos [SECONDS=600] [SEED=1]'
	@echo 'make lock [UPGRADE=1]      pins the packages anew (needs uv)'
	@echo 'make clean                 removes .venv and caches'

# No shell stands between make and the demo, so Ctrl-C reaches it and its last line is the last line.
demo: $(VENV)/.demo
	@$(VENV)/bin/billing demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RATE),--rate $(RATE)) $(if $(PORT),--port $(PORT)) $(if $(KAFKA),--kafka $(KAFKA)) $(ARGS)

test: $(VENV)/.test
	@$(RUN) pytest $(ARGS)

traps: $(VENV)/.test
	@$(RUN) tests.traps $(ARGS)

check: lint types

lint: $(VENV)/.test
	@$(RUN) ruff check
	@$(RUN) ruff format --check

types: $(VENV)/.test
	@$(RUN) mypy

docs: $(VENV)/.docs
	@$(RUN) zensical build --clean --strict
	@! grep -rnoE '<(script|link|img|iframe|source)[^>]+(src|href)="?(https?:)?//[^" >]+|url\((https?:)?//[^)]+' site \
		--include='*.html' --include='*.css' || { echo 'The pages must need no other host' >&2; exit 1; }
	@echo 'The pages are in site/: open site/index.html' >&2

screenshots: $(VENV)/.test
	@$(RUN) tests.browser.screenshots $(ARGS)

perf: $(VENV)/.test
	@$(RUN) perf $(or $(SCENARIO),all) $(ARGS)

# Faults of processes, groups and brokers in a mixed order, on Apache Kafka; each of them alone is among the tests.
chaos: $(VENV)/.test
	@$(RUN) tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# One lock a purpose, each with the pins of the one before: the image, the demo, the tests, the docs.
lock:
	@command -v $(UV) >/dev/null || { echo 'make lock needs uv: pip install uv, or make lock UV=/path/to/uv' >&2; exit 1; }
	$(PIN) --extra build -o requirements.lock
	$(PIN) --extra build --extra embedded -c requirements.lock -o requirements-demo.lock
	$(PIN) --extra build --extra embedded --extra test -c requirements-demo.lock -o requirements-test.lock
	$(PIN) --extra build --extra docs -c requirements-test.lock -o requirements-docs.lock

PIN = $(UV) pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) pyproject.toml

clean:
	rm -rf $(VENV) dist site .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find engine billing tests perf -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo 'keylane needs Python 3.11 or newer and found none: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'keylane needs Python 3.11 or newer; $(PYTHON) is not: make $(MAKECMDGOALS) PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo '$(PYTHON) cannot make a virtual environment (Debian: apt install python3-venv)' >&2; exit 1; }

$(VENV)/.demo: requirements-demo.lock pyproject.toml | $(VENV)/bin/python
	@echo 'Setting up $(VENV) for the demo (once)' >&2
	@$(LOCKED) -r requirements-demo.lock
	@$(ITSELF)
	@touch $@

$(VENV)/.test: requirements-test.lock pyproject.toml | $(VENV)/bin/python
	@echo 'Setting up $(VENV) for the tests (once)' >&2
	@$(LOCKED) -r requirements-test.lock
	@$(ITSELF)
	@touch $(VENV)/.demo $@

# Beside the others and never instead of them: what the docs need in common has the same pins.
$(VENV)/.docs: requirements-docs.lock pyproject.toml | $(VENV)/bin/python
	@echo 'Setting up $(VENV) for the docs (once)' >&2
	@$(LOCKED) -r requirements-docs.lock
	@touch $@
