# acme-ra. `make run` serves; `make test`, `make test-cluster` and `make check` are what CI runs.
# The system's Python where it will do: Debian builds it with PGO, which makes a certificate a quarter cheaper than a
# plain build does.
PYTHON  ?= $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
	echo $$python && exit; done; echo python3)
VENV    ?= .venv
DATA    ?= ./data
LISTEN  ?= 127.0.0.1:14000
JOBS    ?= 4
ARGS    ?=
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find acme_ra config -type f -not -name '*.pyc') pyproject.toml README.md LICENSE
CHECKED := acme_ra tests bench

# Modules are compiled once, not at each start, whatever the environment says.
export PYTHONDONTWRITEBYTECODE =

.PHONY: run test test-cluster check format bench lock clean

run: $(VENV)/.runtime-stamp
	@exec $(BIN)/acme-ra quickstart --data "$(DATA)" --listen "$(LISTEN)" $(ARGS)

test: $(VENV)/.dev-stamp
	@tests/install-debian.sh
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore tests/cluster $(ARGS)

# A Kubernetes API server and cert-manager, both real. The first build of them takes up to 20 minutes.
test-cluster: $(VENV)/.dev-stamp
	@tests/install-debian.sh
	$(BIN)/python -m tests.peers.build etcd cert-manager kube-apiserver kubectl
	$(BIN)/python -m pytest tests/cluster $(ARGS)

check: $(VENV)/.dev-stamp
	$(BIN)/ruff check $(wildcard $(CHECKED))
	$(BIN)/ruff format --check $(wildcard $(CHECKED))
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev-stamp
	$(BIN)/ruff format $(wildcard $(CHECKED))
	$(BIN)/ruff check --fix $(wildcard $(CHECKED))

bench: $(VENV)/.runtime-stamp
	$(BIN)/python -m bench $(ARGS)

# Needs uv (https://docs.astral.sh/uv/). Both files are for every platform and name no registry.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --extra build pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.venv-stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "acme-ra needs Python 3.11 or later; name it with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python cannot make virtual environments; run: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making the virtual environment $(VENV)" >&2
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.locked-stamp: $(VENV)/.venv-stamp requirements.lock
	@echo "Installing the locked dependencies (about a minute the first time)" >&2
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.runtime-stamp: $(VENV)/.locked-stamp $(SOURCES)
	@echo "Installing acme-ra" >&2
	@$(PIP) install --no-deps --no-build-isolation --force-reinstall .
	@touch $@

$(VENV)/.dev-locked-stamp: $(VENV)/.locked-stamp requirements-dev.lock
	@echo "Installing what tests and checks need" >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.dev-stamp: $(VENV)/.dev-locked-stamp $(VENV)/.runtime-stamp
	@touch $@
