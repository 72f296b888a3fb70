# Fresh machine: `make run` serves, `make test` tests; both set up what they need in .venv first.
# Needs Rust 1.88 or later, a C linker, and CPython 3.11 or later with venv. PYTHON=... chooses the interpreter.

PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell \
	$(name) -c 'import sys, ensurepip, venv; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
QT_VENV := .venv-qt
FUZZ_SECONDS ?= 300
LIFECYCLES ?= 5000
SESSIONS ?= 2
SECONDS ?= 600
DOCS_VENV := .venv-docs
LINTED := python tests docs/site
SOURCES := pyproject.toml Cargo.toml Cargo.lock $(shell find src -name '*.rs') python/echoserver/_core.pyi
# Where its packages can't be had it says so, loudly, and ends with 77.
CONFORMANCE = @run() { tests/conformance/run --python $(BIN)/python "$$@" || [ $$? = 77 ]; }; run
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DELETE_ON_ERROR:
.PHONY: help run docs package develop test newer inline check bench counts conformance conformance-full fuzz soak conversations stall clients faults licenses options pictures fault-soak fault-attack costs fixture-soak qt-differential deploy clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.ready ## serve on port 1234 until Ctrl-C
	$(BIN)/echoserver

develop: $(VENV)/bin/maturin ## the package with what tests need, built quickly and not optimized: for .venv/bin/pytest
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --locked --quiet --extras test
	@touch $(VENV)/.ready $(VENV)/.tools

test: $(VENV)/.tools ## all tests: Rust, and Python on every CPython >= 3.11 of this machine
	cargo test --locked
	$(BIN)/python tests/python/all_versions.py

newer: $(VENV)/.tools ## the Python tests on CPython 3.14 and 3.15 of Debian's testing, in .cache; needs root and debootstrap
	$(BIN)/python tests/python/newer_versions.py

inline: $(VENV)/.tools ## the Python tests that make servers, with workers=0
	ECHOSERVER_WITHOUT_WORKERS=1 $(BIN)/python tests/python/unsteady.py -q tests/python

check: $(VENV)/.tools ## formats, lints, types, stubs and docs of both languages
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features abi3 -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --features abi3
	tests/protocol-alone
	tests/fresh-crate
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/ruff check $(LINTED)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest echoserver --allowlist tests/python/stubtest-allowlist.txt
	$(BIN)/pyright --warnings

docs: $(VENV)/.tools ## the site of the documents, in target/docs/site, with its links looked at
	[ $(DOCS_VENV)/.ready -nt docs/site/requirements.txt ] || { $(PYTHON) -m venv $(DOCS_VENV) && \
	    $(DOCS_VENV)/bin/python -m pip install --quiet --requirement docs/site/requirements.txt && touch $(DOCS_VENV)/.ready; }
	$(DOCS_VENV)/bin/python docs/site/build.py
	$(BIN)/pytest -q tests/python/test_site.py tests/browser/test_browser_site.py

package: $(VENV)/.tools ## wheel and sdist, looked at and installed into fresh environments
	$(BIN)/python tests/python/package.py

bench: ## speed, latency and memory, compared with other servers (half an hour)
	PYTHON=$(PYTHON) tests/bench/run

counts: $(VENV)/.tools ## what the native echo costs in instructions and system calls, within the limits of tests/bench/limits.json
	cargo build --release --quiet --manifest-path tests/bench/Cargo.toml --package wsload
	$(BIN)/python tests/bench/limits.py --bin tests/bench/target/release

deploy: ## docs/deploy/kubernetes.yaml by the schemas of Kubernetes, in an environment of its own
	$(PYTHON) -m venv target/deploy
	target/deploy/bin/pip install --quiet --requirement tests/deploy/requirements.txt
	target/deploy/bin/kubernetes-validate --strict docs/deploy/kubernetes.yaml

conformance: $(VENV)/.ready ## the Autobahn suite, without long compressed messages (minutes)
	$(CONFORMANCE)

conformance-full: $(VENV)/.ready ## the Autobahn suite, all 517 cases (a quarter of an hour)
	$(CONFORMANCE) --full

fuzz: ## each fuzz target for FUZZ_SECONDS (300); needs cargo-fuzz and a nightly Rust
	tests/fuzz/run $(FUZZ_SECONDS)

soak: $(VENV)/.tools ## ten minutes of everything at once, each message accounted for
	$(BIN)/python tests/python/soak.py

conversations: $(VENV)/.tools ## an hour of random conversations, each reply compared with what it has to be
	$(BIN)/python tests/python/conversations.py 3600

stall: $(VENV)/.tools ## how fast others are served while Python is busy
	$(BIN)/python tests/python/stall.py

clients: develop ## what clients of others do, run again and written to docs/clients.md
	$(BIN)/python tests/python/client_table.py

faults: develop ## what is made from the core's table of faults: classes, docs/faults.md, words for the fuzzer
	$(BIN)/python tests/python/fault_table.py

options: develop ## the table of options in docs/reference.md, made of docstring, signature and help
	$(BIN)/python tests/python/option_table.py

licenses: $(VENV)/.tools ## the licences of what is linked in, for the wheel: THIRD-PARTY-LICENSES.txt
	$(BIN)/python tests/python/licenses.py

pictures: $(VENV)/.tools ## the pictures of the page in docs/; needs Chromium, and port 1234
	$(BIN)/python tests/browser/pictures.py

costs: $(VENV)/.tools ## what the pytest plugin costs at pytest's start and in a test
	$(BIN)/python tests/python/costs.py

fault-attack: $(VENV)/.tools ## an hour of faults by URL, made by chance: what other clients have of it
	$(BIN)/python tests/python/fault_attack.py

fixture-soak: $(VENV)/.tools ## the pytest fixture LIFECYCLES (5000) times, then in SESSIONS (2) under pytest-xdist
	$(BIN)/python tests/python/fixture_soak.py $(LIFECYCLES) $(SESSIONS)

fault-soak: $(VENV)/.tools ## all faults by chance on 50 clients for SECONDS (600), each message accounted for
	$(BIN)/python tests/python/fault_soak.py $(SECONDS)

# Where PySide6 can't be had it says so, loudly.
qt-differential: $(VENV)/.ready ## echoserver.qt on PySide6, and beside its own QtWebSockets
	@[ -x $(QT_VENV)/bin/pytest ] || { $(PYTHON) -m venv $(QT_VENV) && \
	    $(QT_VENV)/bin/python -m pip install --quiet --requirement tests/python/qt-requirements.txt; } || \
	    { rm -rf $(QT_VENV); echo 'NOT RUN: PySide6 CAN NOT BE INSTALLED HERE' >&2; }
	[ ! -d $(QT_VENV) ] || PYTHONPATH=$(CURDIR)/python QT_QPA_PLATFORM=offscreen \
	    $(QT_VENV)/bin/python -m pytest tests/python/test_qt_*.py

clean: ## remove what was built here
	rm -rf .venv* .clients target dist python/echoserver/_core*.so

$(VENV)/bin/maturin:
	@test -n "$(PYTHON)" || { echo 'needs CPython 3.11 or later with venv and pip (Debian: apt install python3-venv)' >&2; exit 1; }
	@command -v cargo >/dev/null || { echo 'needs Rust 1.88 or later: install it with rustup' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'maturin>=1.15,<2'

# The package, built from this checkout.
$(VENV)/.ready: $(SOURCES) | $(VENV)/bin/maturin
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet
	@touch $@

# What tests and checks need besides.
$(VENV)/.tools: pyproject.toml $(VENV)/.ready
	[ $@ -nt pyproject.toml ] || VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked --quiet --extras test
	@touch $@
