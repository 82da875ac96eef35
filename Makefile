# The few words of this project. `make` alone says them.
#
#   make setup    .venv with Durabus built from this source (compiled where a C compiler is) and everything for development
#   make run      the bus with the ticket shop's story on it, then the bus alone until Ctrl-C; ONCE=1 ends with the story
#   make test     style, types, and every test against the compiled build and against the plain source
#   make crash    kills a loaded server 200 times on each durable store, and checks what it had promised (ROUNDS=n)
#   make bench    the benchmark (BENCH="--peer nats-streaming-server=PATH" and so on)
#   make style    formatting and lint (make fix mends what can be mended by itself)
#   make types    the type check
#   make clean    removes what the words above made

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: always help setup run test crash bench style fix types clean tools test-tools test-source test-compiled

PYTHON ?= python3
BENCH ?=
ROUNDS ?= 200
TESTS ?= tests
WORKERS ?= 2
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
CODE := $(wildcard src tests benchmarks examples)
PACKAGE := $(sort $(shell find src -name '*.py' -o -name py.typed 2>/dev/null))
# Told to compile, it compiles or fails. Without a compiler (and nobody who may install one) the source runs interpreted.
export DURABUS_BUILD_EXTENSION ?= $(if $(shell command -v $${CC:-cc}),yes,auto)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:
	@sed -n 's/^#   //p' Makefile

setup: $(VENV)/.built

# Stamps: the tools, the names of the source files (a removed one counts too), and what was built from them. So a change
# of source builds again without asking any registry for anything, and no change does nothing.
$(VENV)/.tools: pyproject.toml
	@$(MAKE) tools
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25'
	DURABUS_BUILD_EXTENSION=no $(BIN)/python -m pip install --quiet '.[dev]'
	@touch $@

$(VENV)/.names: always | $(VENV)/.tools
	@echo '$(PACKAGE)' | cmp -s - $@ || echo '$(PACKAGE)' >$@

$(VENV)/.built: $(VENV)/.tools $(VENV)/.names setup.py README.md LICENSE $(PACKAGE)
	@rm -rf dist && find build -path '*/lib*' -name '*.py' -delete 2>/dev/null || true
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall dist/durabus-*.whl
	@touch $@

# Programs that no Python package brings: a C compiler, and Node.js for the clients of the story and of the tests.
tools:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call debian,python3-venv,the virtual environment)
	@command -v cc >/dev/null || $(call debian,gcc libc6-dev python3-dev,compiling the hot modules) || true
	@command -v npm >/dev/null || $(call debian,nodejs npm,the services of the ticket shop)

# Programs that only tests need: another NATS server to connect to, databases, and certificates.
test-tools:
	@command -v nats-server >/dev/null || test -x /usr/sbin/nats-server || $(call debian,nats-server,the tests behind another NATS server)
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || $(call debian,postgresql,the tests of the SQL store)
	@command -v mariadbd >/dev/null || test -x /usr/sbin/mariadbd || $(call debian,mariadb-server,the tests of the SQL store)
	@command -v openssl >/dev/null || $(call debian,openssl,the certificates of the tests)

# $(call debian,packages,what for): installs them where that is possible, else says what is missing and fails.
define debian
{ if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "installing $(1): needed for $(2)"; \
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $(1) >/dev/null; \
  else echo "please install $(1): needed for $(2)" >&2; false; fi; }
endef

run: setup
	@ONCE=$(ONCE) $(BIN)/python -m examples.ticketing.story

# The last line of its output is pytest's own summary.
test: style types test-source test-compiled

test-source: setup test-tools
	PYTHONPATH=$(CURDIR)/src DURABUS_TEST_BUILD=interpreted $(BIN)/python -m pytest -n $(WORKERS) -m 'not once' $(TESTS)

test-compiled: setup test-tools
	DURABUS_TEST_BUILD=compiled $(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

# DURABUS_CRASH_SEED repeats an earlier run.
crash: setup test-tools
	DURABUS_TEST_BUILD=compiled DURABUS_CRASH_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -s tests/crash

bench: setup
	@$(BIN)/python -m benchmarks $(BENCH)

style: setup
	$(BIN)/ruff check $(CODE) setup.py
	$(BIN)/ruff format --check $(CODE) setup.py

fix: setup
	$(BIN)/ruff check --fix $(CODE) setup.py
	$(BIN)/ruff format $(CODE) setup.py

types: setup
	$(BIN)/mypy $(CODE)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
