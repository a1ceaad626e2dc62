# Every target works on a fresh checkout: what it needs is made first.
MAKEFLAGS += --no-print-directory
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PYTEST := $(PYTHON) -m pytest
ARGS ?=

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: up
up: $(STAMP) ## Control plane, Docker, CRDs, controller and a sample Workspace (CONTROLLER=0: no controller)
	@$(PYTHON) -m devcluster up $(if $(filter 0,$(CONTROLLER)),--no-controller)

.PHONY: controller
controller: $(STAMP) ## Run only the controller, in the foreground, against what `make up CONTROLLER=0` started
	@$(PYTHON) -m devcluster controller

.PHONY: run-local
run-local: $(STAMP) ## The loop without a cluster: `make up CONTROLLER=0`, then the controller in the foreground
	@$(PYTHON) -m devcluster up --no-controller
	@$(PYTHON) -m devcluster controller

.PHONY: down
down: $(STAMP) ## Stop what `make up` started; data and the containers of Workspaces stay
	@$(PYTHON) -m devcluster down

.PHONY: clean
clean: $(STAMP) ## Remove the containers of the embedded control plane's Workspaces, then its data
	@$(PYTHON) -m devcluster clean

.PHONY: kubeconfig
kubeconfig: $(STAMP) ## Print the path of the kubeconfig (make -s kubeconfig)
	@$(PYTHON) -m devcluster kubeconfig

.PHONY: kubectl
kubectl: $(STAMP) ## Print the path of the kubectl that `make up` has built (make -s kubectl)
	@$(PYTHON) -m devcluster kubectl

.PHONY: status
status: $(STAMP) ## Show what runs
	@$(PYTHON) -m devcluster status

##@ Work on it

.PHONY: venv
venv: $(STAMP) ## The virtual environment with everything that development needs

$(STAMP): pyproject.toml constraints.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed as python3" >&2; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get -v >/dev/null 2>&1 && \
	  { apt-get update -qq; apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; }; } || \
	  { echo "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Installing the Python dependencies into $(VENV)" >&2
	@exec 9< Makefile; flock 9; \
	  $(PYTHON) -m pip --version >/dev/null 2>&1 || python3 -m venv --clear $(VENV); \
	  $(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	  touch $(STAMP)

.PHONY: lock
lock: $(STAMP) ## Take the newest versions of all dependencies, into the virtual environment and constraints.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[dev]'
	@{ sed -n '/^#/p' constraints.txt; $(PYTHON) -m pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt
	@touch $(STAMP)

.PHONY: lint
lint: $(STAMP) generate-check ## Style, types, import rules, and that generated files are up to date
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(VENV)/bin/lint-imports

.PHONY: format
format: $(STAMP) ## Format the code and mend what can be mended
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

.PHONY: generate
generate: $(STAMP) ## Write crds/, schemas/ and docs/api.md from the models
	@$(PYTHON) -m controller.api.crd

.PHONY: generate-check
generate-check: $(STAMP) ## Fail when crds/, schemas/ or docs/api.md is not what the models say
	@$(PYTHON) -m controller.api.crd --check

.PHONY: tools
tools: $(STAMP) ## Install and build what the tests need (about 15 minutes the first time, then nothing)
	@$(PYTHON) -m devcluster deps

##@ Test it (ARGS="-k name -x" goes to pytest)

.PHONY: test
test: tools ## Everything but the nightly tests
	@$(PYTEST) -m "not nightly" -n 2 --reruns 1 --rerun-except 'S[0-9]+: ' --rerun-show-tracebacks $(ARGS)

.PHONY: test-unit
test-unit: $(STAMP) ## The pure core: no servers
	@$(PYTEST) tests/unit $(ARGS)

.PHONY: test-engine
test-engine: tools ## The engine contract, on dockerd and in memory
	@$(PYTEST) tests/engine $(ARGS)

.PHONY: test-controller
test-controller: tools ## The controller on a real API server and an engine in memory
	@$(PYTEST) tests/controller $(ARGS)

.PHONY: test-e2e
test-e2e: tools ## All of it, real, through kubectl
	@$(PYTEST) tests/e2e $(ARGS)

.PHONY: test-cli
test-cli: tools ## kubectl workspace, as its user runs it
	@$(PYTEST) tests/cli $(ARGS)

.PHONY: test-faults
test-faults: tools ## Crashes, cuts and stalls
	@$(PYTEST) tests/fuzz tests/faults -m "not nightly" $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## Show that nine mistakes, each made in a copy of the code, make the suite fail
	@$(PYTHON) -m tests.mutants

.PHONY: test-security
test-security: tools ## Attacks on the host, other tenants and secrets
	@$(PYTEST) tests/security -m "not nightly" $(ARGS)

.PHONY: test-shipping
test-shipping: tools ## The image, the manifests, upgrades, GitOps, and every command of the docs
	@$(PYTEST) tests/shipping $(ARGS)

.PHONY: test-observability
test-observability: tools ## Alerts, and the dashboard on a real Prometheus
	@$(PYTEST) tests/observability $(ARGS)

.PHONY: test-devcluster
test-devcluster: tools ## What `make up` and the tests stand on: control plane, engines, processes
	@$(PYTEST) tests/devcluster $(ARGS)

.PHONY: test-nightly
test-nightly: tools ## The slow tests only
	@$(PYTEST) -m nightly $(ARGS)

##@ Measure it

.PHONY: bench
bench: tools ## Figures beside docker run (about 14 minutes; ARGS="--only burst,single --size quick")
	@$(PYTHON) -m benchmarks $(ARGS)

.PHONY: bench-beside
bench-beside: tools ## The same work beside a plain kopf operator (about 16 minutes)
	@$(PYTHON) -m benchmarks --only beside --out benchmarks/out/beside $(ARGS)
