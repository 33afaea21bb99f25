# Two commands matter: `make run` (the service, with a story to look at) and `make test` (all tests).

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q
# A file stays whole, because its tests may share a server. More files at once than there are cores, because many wait for
# servers most of the time; in the order that tests/conftest.py gives them.
SPREAD := -n 4 --dist loadfile --no-loadscope-reorder
# These wait for nobody, and each further worker reads all tests once more.
FAST   := -m "not slow" -n 2 --dist loadfile

# Compiled files are kept: without them each process that the tests start compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run serve test lint check fast fmt bench lock docs clean

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

run: $(VENV)/.runtime ## Serve on 127.0.0.1:8000 with simulated channels and one night's story
	$(BIN)/tocsin demo

serve: $(VENV)/.runtime ## Serve with your own settings (see `tocsin init`)
	$(BIN)/tocsin serve

test: $(VENV)/.dev ## All tests
	$(BIN)/python -m pytest $(SPREAD)

lint: $(VENV)/.dev ## Lint, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: $(VENV)/.dev ## Lint, types, imports, fast tests
	$(MAKE) --no-print-directory -j2 lint fast

fast: $(VENV)/.dev
	$(BIN)/python -m pytest $(FAST)

fmt: $(VENV)/.dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure against the bare library, both in one run
	$(BIN)/python -m bench

docs: $(VENV)/.runtime ## Write the generated pages under docs/
	$(BIN)/python -m tocsin.docs

lock: ## Lock requirements (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate \
	    --all-extras --group build pyproject.toml -o requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate \
	    --all-extras --group build --group dev pyproject.toml -o requirements/dev.txt -c requirements/runtime.txt

clean: ## Remove the environment and caches (never the data)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
