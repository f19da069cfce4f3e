# make            lists the targets
# make demo       runs a TaskRouter emulator, the service and a worker on this machine, and lets work arrive
# make check      lint, types, imports and unit tests, in about a minute
# make test       all tests
# make mutants    changes the pure rules one place at a time, and lists the changes that no test notices
# make bench      measures the service against bare functions that do the same input and output
#
# Needs Python 3.11 or newer and make. The first run installs everything else into .venv/, from requirements*.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
EMULATOR := emulators/taskrouter
HTMX := 2.0.10
HTMX_FILE := enrich/static/htmx-$(HTMX).min.js
SBOM := sbom.cdx.json

.DEFAULT_GOAL := help
.PHONY: help install setup demo check test bench mutants lint format lock audit sbom clean

help:
	@echo "make demo     set up, then run everything on this machine and print where to look"
	@echo "make check    lint, types, imports and the unit tests, in about a minute"
	@echo "make test     set up, then run all tests"
	@echo "make bench    set up, then measure how fast it is, against bare functions that do the same input and output"
	@echo "make mutants  set up, then change the pure rules one place at a time and list what no test notices: an hour or two"
	@echo "make setup    only set up: the service and the emulator"
	@echo "make install  the service alone, as production runs it: $(BIN)/flask and $(BIN)/gunicorn"
	@echo "make lint     ruff, mypy in strict mode, and the rule of imports"
	@echo "make format   let ruff format the code"
	@echo "make audit    ask for known vulnerabilities of all locked versions; fails if one cannot be asked about"
	@echo "make sbom     write $(SBOM) and THIRD-PARTY.txt: what wheel and image are made of, and its licences"
	@echo "make lock     choose versions anew (needs uv) and write requirements*.txt"
	@echo "make clean    remove what set-up and the demo have made"

install: $(VENV)/.ready $(HTMX_FILE)
	@echo "Installed. Next: $(BIN)/flask --help"

setup: install $(VENV)/.ready-emulator $(SBOM)
	@echo "Set up. Next: make demo, make test, or $(BIN)/flask --help"

demo: $(VENV)/.ready-emulator $(HTMX_FILE)
	@$(BIN)/flask demo

check: lint
	$(BIN)/python -m pytest -q -m unit $(PYTEST_ARGS)

test: $(VENV)/.ready-to-test $(VENV)/.ready-emulator $(HTMX_FILE) $(SBOM)
	@echo "Running the tests. One of them alone: $(BIN)/pytest tests/taskrouter -k splice"
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(VENV)/.ready-to-test $(HTMX_FILE)
	@echo "Measuring; this takes some twelve minutes. Others: make bench BENCH_ARGS='--only full --seconds 1', '--large', '--help'"
	$(BIN)/python -m bench $(BENCH_ARGS)

mutants: $(VENV)/.ready-for-mutants
	@echo "A part of them: make mutants MUTANTS='enrich.domain.*'; one of them: $(BIN)/mutmut show NAME"
	$(BIN)/mutmut run $(MUTANTS)
	@$(BIN)/mutmut results | grep -v ": not checked"

lint: $(VENV)/.ready-to-test $(VENV)/.ready-emulator $(HTMX_FILE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.ready-to-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(VENV)/.ready-to-test
	@$(BIN)/python -m scripts.audit --htmx $(HTMX) $(sort $(wildcard requirements*.txt))

sbom: $(SBOM)

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--upgrade pyproject.toml -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--upgrade --group test -c requirements.txt -o requirements-test.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--upgrade --group htmx --no-deps -o requirements-htmx.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--upgrade --group build -o requirements-build.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--upgrade --group mutants -c requirements-test.txt -o requirements-mutants.txt

clean:
	rm -rf $(VENV) enrich/static/htmx-*.min.js $(SBOM) THIRD-PARTY.txt .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants instance/demo

# Name what is missing on this machine in one line, before anything is installed.
$(VENV)/bin/pip:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $(PYTHON)." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV)/ ..."
	@$(PYTHON) -m venv --clear $(VENV)

# Wheels only: a package that is built here runs code of its own and fetches build tools without hashes.
$(VENV)/.ready: requirements.txt | $(VENV)/bin/pip
	@echo "Installing what the service needs (requirements.txt, hash-checked); this takes a minute ..."
	@$(PIP) install --only-binary :all: --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.ready-to-test: requirements-test.txt $(VENV)/.ready
	@echo "Installing what the tests need (requirements-test.txt, hash-checked); this takes a minute ..."
	@$(PIP) install --only-binary :all: --require-hashes -r requirements-test.txt
	@touch $@

$(VENV)/.ready-for-mutants: requirements-mutants.txt $(VENV)/.ready-to-test $(VENV)/.ready-emulator
	@echo "Installing what changes the code (requirements-mutants.txt, hash-checked) ..."
	@$(PIP) install --only-binary :all: --require-hashes -r requirements-mutants.txt
	@touch $@

# Install the emulator in place (-e). Its only dependency, Flask, is installed with the service. pip does not allow -e
# together with --require-hashes, so its build backend is installed first, hash-checked, in a step of its own.
$(VENV)/.ready-emulator: requirements-build.txt $(EMULATOR)/pyproject.toml $(VENV)/.ready
	@echo "Installing the TaskRouter emulator ($(EMULATOR)) ..."
	@$(PIP) install --only-binary :all: --require-hashes -r requirements-build.txt
	@$(PIP) install --no-deps --no-build-isolation -e $(EMULATOR)
	@touch $@

# htmx is one file of a Python wheel, which is installed into a folder of its own; nothing of it is imported.
$(HTMX_FILE): requirements-htmx.txt | $(VENV)/bin/pip
	@echo "Taking htmx $(HTMX) out of its wheel (requirements-htmx.txt, hash-checked) ..."
	@$(PIP) install --only-binary :all: --require-hashes --no-deps --upgrade --target $(VENV)/htmx -r requirements-htmx.txt
	@rm -f enrich/static/htmx-*.min.js
	@cp $(VENV)/htmx/django_htmx/static/django_htmx/htmx-2.min.js $@

# The wheel and the image carry it. Licences are read from the packages in .venv.
$(SBOM): requirements.txt pyproject.toml enrich/__init__.py scripts/sbom.py $(HTMX_FILE) | $(VENV)/.ready
	@$(BIN)/python -m scripts.sbom --htmx $(HTMX) --htmx-file $(HTMX_FILE) --output $@ --licences THIRD-PARTY.txt requirements.txt
