# Needs: Python 3.11 or newer, make. Everything else comes into .venv.
PYTHON ?= python3
# Options of `raylift up`, e.g. make up UP="--port 9000".
UP ?=
# The stage that checks the wheel: "walk" sends CI's acceptance walk through it, too.
RELEASE ?= release
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help demo up down status test test-all check docs docs-site bench-serving constraints clean

help:
	@echo "make demo         install, start, train, deploy, predict; leaves the platform running"
	@echo "make up | down    start or stop the platform of ~/.raylift"
	@echo "make check        lint, types, import contracts, unit and architecture tests: half a minute"
	@echo "make compat       test the newest releases of Ray, MLflow and the rest, in environments of their own; PACKAGES=\"ray mlflow\""
	@echo "make test         all of it: also the contract, integration and end-to-end tests on real engines"
	@echo "make test-all     make test, further faults and kinds of jobs on real engines, scripts of twelve libraries, and the differential test on 20,000 requests: hours"
	@echo "make bench-serving  Raylift beside other model servers, with wrk (a Debian package); BENCH=\"--only lr --quick\""
	@echo "make constraints  resolve the pins of constraints.txt anew"
	@echo "make console      build the web console; an install does it, too"
	@echo "make pictures     take the pictures of the console in docs/pictures; needs Debian's chromium"
	@echo "make docs         write the reference pages that come from the code; make docs-site builds the site in build/site"
	@echo "make clean        remove the environment and what tools leave behind"

# Stamps: made anew when what they are made from changes.
.venv/.uv:
	@echo "· making .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv $(if $(wildcard constraints.txt),-c constraints.txt)
	@touch $@

.venv/.server: .venv/.uv pyproject.toml constraints.txt
	@echo "· installing Raylift with Ray and MLflow (some 2 GB unpacked)"
	@.ci/install.sh ".[server,postgres]"
	@touch $@

.venv/.dev: .venv/.server .ci/helm.py
	@echo "· installing the tools of the tests"
	@.ci/install.sh --group dev
	@python .ci/helm.py
	@touch $@

demo: .venv/.server
	@.ci/demo.sh $(UP)

up: .venv/.server
	@raylift up $(UP)

down:
	@raylift down

status:
	@raylift status

check: .venv/.dev
	@python .ci/stages.py lint types imports console unit architecture docs

test: .venv/.dev
	@python .ci/stages.py lint console types --beside limits \
		--then imports architecture docs unit contract --beside integration $(RELEASE) --beside e2e clusters

# What takes too long for every change.
test-all: test
	@RAYLIFT_EXAMPLES=400 python .ci/stages.py nightly frameworks differential

# On a machine with GPUs: those of Ray, and what a job sees of them. Elsewhere logical ones stand in.
.PHONY: test-gpu
test-gpu: .venv/.dev
	@.venv/bin/pytest -q -m gpu tests/integration

# Types of the console's client, its type check and its unit tests need the packages of the checks, too.
.PHONY: console
console: .venv/.dev
	@python .ci/console.py

docs: .venv/.dev
	@PYTHONPATH=platform:. python .ci/reference.py

# A platform is started, filled as in real use, and each page opened in a browser: some minutes.
.PHONY: pictures
pictures: console
	@PYTHONPATH=platform:. python -m tests.e2e.console.demo.pictures
	@PYTHONPATH=platform:. python -m tests.e2e.console.demo.closed_loop

docs-site: .venv/.dev
	@python .ci/stages.py docs

# Options of the benchmark, e.g. make bench-serving BENCH="--only lr --quick"
bench-serving: .venv/.dev
	@command -v wrk >/dev/null || { apt-get update -qq && apt-get install -y -qq wrk; }
	@PYTHONPATH=platform:. python tests/benchmarks/serving.py $(BENCH)

constraints: .venv/.uv
	@uv pip compile pyproject.toml --extra server --extra postgres --group dev --universal --python-version 3.11 \
		--no-annotate --upgrade --quiet --custom-compile-command "make constraints" -o constraints.txt

# Packages to test in their newest releases, e.g. make compat PACKAGES="ray mlflow"; without: all.
.PHONY: compat
compat: .venv/.dev
	@python .ci/compat.py $(PACKAGES)

clean:
	rm -rf .venv build dist serve_apps/console/static serve_apps/console/web/node_modules .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
