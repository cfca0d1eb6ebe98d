# What people do with this tree, each by one verb. `make` lists them. Needed: python3 (3.11 or newer), make, git.

PORT ?= 8000
URL ?= http://127.0.0.1:$(PORT)
ARGS ?=
WORKERS ?= auto
PYTHON ?= python3
COMPOSE ?= docker compose
CI_TESTS ?=

VENV := .venv
BIN := $(VENV)/bin
# Wheels only: building from source would fetch build tools that no lock has a hash for.
PIP_FLAGS ?= --only-binary=:all:
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
SUITE_FLAGS := -n $(WORKERS) --maxprocesses=8 --dist=worksteal

# Every command starts the faster for bytecode that is kept.
unexport PYTHONDONTWRITEBYTECODE

# The stamps say which lock the environment was last brought in line with.
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

TYPED := $(wildcard src tests benchmarks scripts)
TYPED_DBPARITY := $(wildcard dbparity/src dbparity/tests)
SHELL_SCRIPTS := $(wildcard .ci/run scripts/*.sh docker/*.sh)
EXAMPLES := $(wildcard dbparity/examples/*/)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help up test check lint wheels containers fmt smoke migrate bench docs lock clean

help: ## list the verbs
	@echo 'make VERB, where VERB is one of'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo 'PORT=8000 and URL=http://... choose the server, ARGS="..." is handed to the command behind the verb.'

up: $(RUNTIME) ## serve the API on PORT and play the journey against it
	@$(BIN)/python scripts/under.py env/.env.dev $(BIN)/dashtam up --port $(PORT) $(ARGS)

test: $(DEV) ## run all tests with branch coverage, or those that ARGS names (ARGS="tests/smoke -v")
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python scripts/suite.py run $(SUITE_FLAGS)
else
	@$(BIN)/python -m pytest $(ARGS)
endif

check: lint ## everything of lint, and the coverage gate; changes nothing
	$(BIN)/python scripts/suite.py gate $(SUITE_FLAGS)

lint: $(DEV) ## lint, types, import rules, environments, locks, generated docs, workflows; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/mypy $(TYPED_DBPARITY)
	@for each in $(EXAMPLES); do (cd $$each && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml .) || exit 1; done
	$(BIN)/lint-imports
	$(BIN)/dbparity env
	$(BIN)/python scripts/lock.py --check
	$(BIN)/python scripts/reference.py --check
	$(BIN)/actionlint -shellcheck $(BIN)/shellcheck $(wildcard .github/workflows/*.yml)
	$(BIN)/shellcheck $(SHELL_SCRIPTS)

fmt: $(DEV) ## format the code and mend what the linter can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

smoke: $(RUNTIME) ## play the journey against the server at URL
	@$(BIN)/dashtam smoke $(URL) $(ARGS)

migrate: $(RUNTIME) ## bring the database of DATABASE_URL up to date
	@$(BIN)/dashtam migrate up $(ARGS)

bench: $(DEV) ## run the benchmarks
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(DEV) ## write docs/reference from the code
	@$(BIN)/python scripts/reference.py $(ARGS)

lock: $(DEV) ## resolve the requirements again (ARGS=--upgrade for newer versions)
	@$(BIN)/python scripts/lock.py $(ARGS)

wheels: $(DEV) ## build the wheels of both packages into dist/, and test what they install (ARGS names tests)
	@$(BIN)/python scripts/wheels.py both $(or $(ARGS),tests/smoke)

containers: $(DEV) ## build the images and prove the four compose files with COMPOSE; CI_TESTS is what ci then runs
	$(COMPOSE) -f compose/docker-compose.prod.yml build app
	$(COMPOSE) -f compose/docker-compose.test.yml build app
	@COMPOSE='$(COMPOSE)' CI_TESTS='$(CI_TESTS)' $(BIN)/python -m pytest tests/containers $(or $(ARGS),-v)

clean: ## remove the environment and all caches; the data in var/ stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist dbparity/dist reports
	@rm -f .coverage .coverage.* .coverage-stamp
	@find src tests dbparity scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Dashtam needs Python 3.11 or newer. Name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@echo 'Making $(VENV) ...'
	@$(PYTHON) -m venv --clear $(VENV) || \
	  { rm -rf $(VENV); echo 'This Python cannot make environments. On Debian: apt-get install python3-venv' >&2; exit 1; }

$(RUNTIME): requirements/runtime.txt pyproject.toml dbparity/pyproject.toml | $(BIN)/python
	@echo 'Installing what the service needs (requirements/runtime.txt) ...'
	@$(PIP) install $(PIP_FLAGS) --require-hashes --requirement requirements/runtime.txt
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable ./dbparity --editable .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@echo 'Installing what tests and checks need (requirements/dev.txt) ...'
	@$(PIP) install --no-compile $(PIP_FLAGS) --require-hashes --requirement requirements/dev.txt
	@touch $@
