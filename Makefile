# The commands of the project; `make help` lists them. STACK= chooses the stack: with `sandbox`, all of it runs on the
# embedded cluster; with any other, your own Pulumi and kubeconfig are used as they are.
STACK ?= sandbox
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

venv := .venv/bin/python
ifeq ($(STACK),sandbox)
enter = eval "$$($(venv) -m sandbox env)"
cluster = $(venv) -m sandbox up
else
enter = export PULUMI_STACK=$(STACK)
cluster = true
endif

.PHONY: up
up: .venv/ready ## Bring up the stack, and with STACK=sandbox the cluster, from nothing or from wherever it is
	$(cluster)
	$(enter)
	pulumi up --yes --skip-preview --non-interactive
	$(venv) -m tests.e2e.summary

.PHONY: down
down: .venv/ready ## Destroy the stack and stop the sandbox's node
	$(enter)
	[ "$(STACK)" != sandbox ] || $(venv) -m sandbox status >/dev/null || { echo "Nothing runs."; exit 0; }
	pulumi destroy --yes --skip-preview --non-interactive
	[ "$(STACK)" != sandbox ] || $(venv) -m sandbox down

.PHONY: demo
demo: .venv/ready ## Play the lesson on the running stack, each command shown as the lesson has it
	$(enter)
	$(venv) -m tests.e2e.lesson

.PHONY: preview
preview: .venv/ready ## Show what `make up` would change
	$(cluster)
	$(enter)
	pulumi preview --diff --non-interactive

.PHONY: test
test: check ## Everything: the checks, then the real engine and the lesson on the real node, in a real browser
	$(MAKE) up
	$(enter)
	$(venv) -m tests.browser
	$(venv) -m pytest tests/conformance tests/engine tests/e2e

.PHONY: check
check: .venv/ready ## What needs no cluster and no engine: lint, types, unit tests; under a minute
	$(venv) -m ruff check .
	$(venv) -m ruff format --check .
	$(venv) -m mypy
	$(venv) -m pytest --quiet tests/unit

.PHONY: conformance
conformance: .venv/ready ## Hold a Kubernetes provider to the table of cases; PROVIDER=/path/to/pulumi-resource-kubernetes
	$(cluster)
	$(enter)
	CONFORMANCE_PROVIDER="$(PROVIDER)" $(venv) -m pytest tests/conformance

.PHONY: env
env: .venv/ready ## Print `export` lines for a shell on the sandbox: eval "$(make -s env)"
	@$(venv) -m sandbox env

.PHONY: lock
lock: ## Write requirements*.txt anew from requirements*.in; needs `uv`
	for name in requirements requirements-dev; do
	  uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" "$$name.in" --output-file "$$name.txt"
	done

.PHONY: help
help: ## List the commands
	@sed -nE 's/^([a-z]+):.*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# Whole or not at all: an interrupted installation is done again.
.venv/ready: requirements-dev.txt
	@python=$$(command -v python3.11 || command -v python3 || true)
	[ -n "$$python" ] || { echo "error: python3 is not on PATH: the program needs Python 3.11" >&2; exit 1; }
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	  echo "error: $$python is older than Python 3.11" >&2; exit 1; }
	echo "Installing the Python packages of requirements-dev.txt into .venv"
	"$$python" -m venv .venv || { echo "error: $$python cannot make a virtual environment: apt-get install python3-venv" >&2; exit 1; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	touch $@
