# The commands of the project; `make help` lists them. STACK= chooses the stack of `make preview`, `make render`,
# `make status`, `make backup`, `make backups` and `make restore`; with any other than `sandbox`, your own Pulumi and
# kubeconfig are used as they are. NODES= is the number of nodes of the sandbox, 1 to 3; without it, it keeps those it has.
STACK ?= sandbox
# Another build of Pulumi's Kubernetes provider for the sandbox's engine: /path/to/pulumi-resource-kubernetes.
export SANDBOX_PROVIDER := $(PROVIDER)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

python := .venv/bin/python
ifeq ($(STACK),sandbox)
cluster = $(python) -m sandbox up $(if $(NODES),--nodes "$(NODES)")
enter = variables=$$($(python) -m sandbox env); eval "$$variables"; export PULUMI_STACK=sandbox
running = $(python) -m sandbox status >/dev/null || { echo "error: the node does not run: make up" >&2; exit 1; }
else
cluster = command -v pulumi >/dev/null || { echo "error: pulumi is not on PATH, which stack $(STACK) needs" >&2; exit 1; }
running = $(cluster)
enter = export PULUMI_STACK=$(STACK)
endif

# Whether the sandbox's stack has something in the cluster; asked without the engine, since the node may not run.
deployed = grep -qs '"kubernetes:' .sandbox/stacks/.pulumi/stacks/pacman/sandbox.json

# Another stack may hold somebody's scores, so a command that could delete them for good is not run on it.
sandbox_only = [ "$(STACK)" = sandbox ] || { echo 'error: STACK is $(STACK): make $@ is for the sandbox; use $(1)' >&2; exit 1; }

.PHONY: up
up: .venv/ready ## Start the sandbox's cluster and deploy the stack on it; NODES=3 gives the cluster three nodes
	$(call sandbox_only,pulumi up --stack "$(STACK)" --policy-pack policy)
	$(cluster)
	$(enter)
	# After a `make down` that was interrupted, the state has objects that are gone, which only a refresh finds out.
	refresh=$$(! $(deployed) || $(python) -m tools.down --interrupted)
	pulumi up --yes --skip-preview $$refresh
	echo
	$(python) -m tools.lesson --wait
	echo "Pacman runs on a Kubernetes of its own, node minikube at 192.168.49.2. Open $$(pulumi stack output url)"
	echo "  from another machine:  ssh -L 9090:192.168.49.2:80 $$(hostname)  and open http://127.0.0.1:9090/"
	echo '  a shell on it:         eval "$$(make -s env)"   then kubectl, pulumi and curl as you like'
	echo "  the lesson, live:      make demo"
	echo "  stop, keep the scores: make stop"
	echo "  delete all of it:      make down"

.PHONY: stop
stop: .venv/ready ## Stop the sandbox's nodes and keep the scores; make up starts them again
	$(call sandbox_only,minikube stop --profile PROFILE: the stack stays as it is)
	$(python) -m sandbox stop

.PHONY: down
down: .venv/ready ## Delete the sandbox's stack with its scores, and stop the nodes
	$(call sandbox_only,pulumi destroy --stack "$(STACK)")
	code=0; $(python) -m sandbox status >/dev/null || code=$$?
	if [ $$code = 3 ]; then
	  $(python) -m sandbox stop
	  ! $(deployed) || {
	    echo "error: the node did not run, so the stack could not be deleted: make up, then make down" >&2
	    exit 1
	  }
	  exit 0
	fi
	[ $$code = 0 ] || exit $$code
	$(enter)
	$(python) -m tools.down
	$(python) -m sandbox stop

.PHONY: demo
demo: .venv/ready ## Play the lesson on the sandbox: it saves a score, deletes the pod of the database, and scales the game
	$(call sandbox_only,the commands of docs/lesson.md: the demo deletes a pod and saves scores)
	$(running)
	$(enter)
	$(python) -m tools.lesson

.PHONY: status
status: .venv/ready ## Show whether the stack is well: members, volumes, game, backups, certificate; STACK=dev: your own
	$(running)
	$(enter)
	$(python) -m tools.status

.PHONY: backup
backup: .venv/ready ## Back up the database of STACK, and verify the backup; EMPTIED=yes if most documents were deleted on purpose
	$(running)
	$(enter)
	$(python) -m tools.backup $(if $(EMPTIED),--emptied "$(EMPTIED)")

.PHONY: backups
backups: .venv/ready ## List the backups of STACK
	$(running)
	$(enter)
	$(python) -m tools.backup list

.PHONY: restore
restore: .venv/ready ## Replace the scores of STACK with those of a backup: FROM=latest, or a name that make backups lists
	[ -n "$(FROM)" ] || { echo 'error: FROM is empty: make restore FROM=latest, or a name that make backups lists' >&2; exit 1; }
	$(running)
	$(enter)
	$(python) -m tools.backup restore "$(FROM)"

.PHONY: preview
preview: .venv/dev-ready ## Show what each stack would create, with the policy pack, on the sandbox; STACK=dev: what it would change on your cluster
	$(cluster)
	$(enter)
	if [ "$(origin STACK)" = file ]; then exec $(python) -m tools.previews; fi
	pulumi preview --diff --policy-pack policy

.PHONY: render
render: .venv/dev-ready ## Print the manifests that the program declares for STACK, without engine, cluster or secret
	$(python) -m tools.render "$(STACK)"

.PHONY: golden
golden: .venv/dev-ready ## Write the manifests of every stack into tests/golden, for a review of what a change does to each
	$(python) -m tools.render --golden

.PHONY: docs
docs: .venv/dev-ready ## Write the tables of docs/configuration.md from Pulumi.yaml
	$(python) -m tools.docs

.PHONY: test
test: check ## Everything: the checks, then real engine, cluster, database and browser; PROVIDER= on another provider
	$(MAKE) up
	$(enter)
	command -v chromium >/dev/null || {
	  echo "Installing Chromium, for the tests that play the game"
	  DEBIAN_FRONTEND=noninteractive apt-get update --quiet >/dev/null
	  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends chromium >/dev/null
	}
	export npm_config_cache=$${PACMAN_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/pacman-sandbox}/npm
	(cd sandbox/images/pacman && npm ci --no-audit --no-fund && npm test)
	# Most tests wait for the cluster half of the time, so two run beside each other.
	failed=0
	$(python) -m pytest --numprocesses=2 --dist=loadfile -m 'not alone' tests/workflows/test_actionlint.py tests/engine || failed=$$?
	$(python) -m pytest -m alone tests/engine || failed=$$?
	$(python) -m pytest tests/e2e tests/sandbox || failed=$$?
	exit $$failed

.PHONY: long
long: .venv/dev-ready ## On the running sandbox, what takes too long for make test: MongoDB 5.0 to 6.0 and back, snapshots
	$(call sandbox_only,your own tests)
	$(running)
	$(enter)
	$(python) -m pytest tests/long

.PHONY: bench
bench: .venv/dev-ready ## Measure the running sandbox, for an hour; RUNS=5, ONLY=deploy,idle; COLD=1 also builds from nothing
	RUNS="$(RUNS)" ONLY="$(ONLY)" COLD="$(COLD)" STACK="$(STACK)" $(python) -m tools.bench

.PHONY: chaos
chaos: .venv/dev-ready ## Break the running sandbox's pods and nodes under load, for three hours; RUNS=5, ONLY=kill-primary,restart
	RUNS="$(RUNS)" ONLY="$(ONLY)" STACK="$(STACK)" $(python) -m tools.chaos

.PHONY: check
check: .venv/dev-ready ## What needs no cluster and no engine: lint, types, unit tests; under a minute
	$(python) -m ruff check --quiet .
	$(python) -m ruff format --quiet --check .
	$(python) -m mypy
	.venv/bin/zizmor --offline --quiet --persona=pedantic .github
	$(python) -m pytest --quiet --numprocesses=auto tests/unit tests/golden tests/policy tests/workflows/test_workflows.py

.PHONY: env
env: .venv/ready ## For a shell in which pulumi and kubectl work on the sandbox: eval "$(make -s env)"
	[ "$(STACK)" = sandbox ] || { echo "error: STACK is $(STACK): only the sandbox needs a shell of its own" >&2; exit 1; }
	$(python) -m sandbox env

.PHONY: lock
lock: ## Write requirements*.txt anew from requirements*.in; needs `uv`
	for name in requirements requirements-dev; do
	  uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 \
	    --custom-compile-command "make lock" "$$name.in" --output-file "$$name.txt"
	done

.PHONY: help
help: ## List the commands
	sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 22

# Each is made whole or not at all: an interrupted installation is done again. Running the sandbox and the program needs
# requirements.txt; the tests and checks need requirements-dev.txt, which includes it.
.venv/ready: requirements.txt
	interpreter=$$(command -v python3.11 || command -v python3) || {
	  echo "error: python3 is not on PATH: the program needs Python 3.11 or newer" >&2
	  exit 1
	}
	"$$interpreter" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	  echo "error: $$interpreter is too old: the program needs Python 3.11 or newer" >&2
	  exit 1
	}
	"$$interpreter" -m venv .venv >/dev/null || {
	  echo "error: $$interpreter cannot make a virtual environment: apt-get install python3-venv" >&2
	  exit 1
	}
	$(install)
	# What an `up` imports is compiled here once, not in each `up` where PYTHONDONTWRITEBYTECODE is set.
	env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -c "$(imported)"
	touch $@

imported = import stack.preflight, components.dynamic_providers, pulumi.dynamic, sandbox.plugins.language_python, sandbox.plugins.random; \
  from kubernetes import client, config, dynamic

.venv/dev-ready: requirements-dev.txt | .venv/ready
	$(install)
	touch $@

# Not compiled: that would take longer than all else, and most of what the packages have is never imported.
define install
echo "Installing the Python packages of $< into .venv" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement $<
endef
