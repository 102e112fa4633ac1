# Every target sets up what it needs, once: stamp files in .venv say what is done, a changed lock or
# pyproject.toml does it again. Works with GNU make 3.81 and newer.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

# Cached bytecode is what makes a start quick, and the tests start hundreds of servers.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help install serve test compat lint docs bench lock wheel FORCE

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | while IFS='	' read -r target text; do printf '  make %-9s %s\n' "$$target" "$$text"; done

install: $(RUNTIME) ## Create .venv with Runnel and what it needs to run

serve: $(RUNTIME) ## Start a server; flags: make serve ARGS="--port 5055 --backend-store-uri sqlite:///my.db"
	@exec $(BIN)/runnel server $(ARGS)

test: $(DEV) ## Run the tests; some of them: make test ARGS="tests/unit -k params"
	@.ci/packages test
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

compat: $(DEV) ## Try mlflow clients of several versions; some of them: make compat ARGS="2.9.2 3.1.4"
	$(BIN)/python -m tests.compat.client_versions $(ARGS)

lint: $(DEV) ## Check style (ruff), format (ruff format) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(RUNTIME) ## Write the tables of README.md anew, from the flags and the endpoints
	$(BIN)/python docs/generate_tables.py

bench: $(RUNTIME) ## Run the benchmarks; flags: make bench ARGS="--help"
	@.ci/packages bench
	@exec $(BIN)/python benchmarks/run.py $(ARGS)

wheel: $(DEV) ## Build the wheel into dist/
	$(BIN)/hatchling build -t wheel -d dist

# The development lock first, as it holds everything; the runtime lock then takes the same versions.
lock: $(VENV)/.clone ## Bring the locks in line with pyproject.toml; newer versions: make lock ARGS=--upgrade
	@$(fetch-uv)
	@$(UV) $(COMPILE) $(ARGS) --group dev -o requirements-dev.lock
	@$(UV) $(COMPILE) $(ARGS) --constraint requirements-dev.lock -o requirements.lock

# --- set-up ---------------------------------------------------------------------------------------------

UV = "$$(command -v uv || echo $(BIN)/uv)"
INSTALL = pip install --quiet --python $(BIN)/python
COMPILE = pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --annotation-style line --custom-compile-command "make lock"

# Where no uv is on PATH, pip brings the version of the development lock, checked by its hash.
define fetch-uv
command -v uv > /dev/null || test -x $(BIN)/uv || { \
	echo "Installing uv into $(VENV)"; \
	awk '/^[a-z]/ { wanted = /^uv==/ } wanted' requirements-dev.lock > $(VENV)/uv.txt; \
	{ $(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip > /dev/null; } && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt; }
endef

# An environment knows its own path: one that was moved or copied with its clone would run the old clone's
# code, and one whose Python has gone runs nothing. Both are made anew.
stale := $(shell test -x $(BIN)/python && \
	test "$$(cat $(VENV)/.clone 2> /dev/null || echo '$(CURDIR)')" = '$(CURDIR)' || echo FORCE)

$(VENV)/.clone: $(stale)
	@test -z '$(stale)' || { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Runnel needs Python 3.11 or newer, and '$(PYTHON)' is not. Name another: make PYTHON=python3.12 ..."; exit 1; }; \
	if command -v uv > /dev/null; then \
		uv venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
	elif $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null; then \
		$(PYTHON) -m venv --clear $(VENV); \
	else \
		echo "'$(PYTHON)' lacks the venv module (Debian: apt-get install python3-venv). Or install uv."; exit 1; \
	fi; }
	@echo '$(CURDIR)' > $@

$(RUNTIME): requirements.lock pyproject.toml $(VENV)/.clone
	@echo "Installing what Runnel needs into $(VENV)"
	@$(fetch-uv)
	@$(UV) $(INSTALL) --compile-bytecode --require-hashes -r requirements.lock
	@$(UV) $(INSTALL) --no-deps --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUNTIME)
	@echo "Installing what the tests and checks need into $(VENV)"
	@$(fetch-uv)
	@$(UV) $(INSTALL) --compile-bytecode --require-hashes -r requirements-dev.lock
	@touch $@
