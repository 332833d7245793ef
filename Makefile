# Every command an engineer needs. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

INVENTORY ?= inventory/lab
ENVIRONMENT := $(notdir $(patsubst %/,%,$(INVENTORY)))
BIN := $(CURDIR)/.venv/bin
LAB := $(BIN)/python -m tests.lab
STEADY := $(BIN)/python -m tests.steady
# The service's suite runs whole on the Python of Ubuntu 22.04; what can differ runs on that of Debian 12 too.
SERVICE_PYTHONS ?= 3.10 3.11
# For `make scores`: --write keeps what was measured.
SCORES ?=
SUITES := lint unit migrator-test examples-test service-test containers-test e2e
# What of them is not chosen; where it is something, a suite runs on its first platform alone.
BUT ?=
# Where `make dev` serves on 127.0.0.1.
PORT ?= 8000
# What `make bench` measures; BENCH_ARGUMENTS go to the service's, such as --quick.
BENCH ?= hosts service rollouts database migrations hostile
BENCH_ARGUMENTS ?=
# What `make quick` runs of the unit tests: those that read this repository or a file, and start no server.
QUICK := tests/unit/contract tests/unit/test_suites.py tests/unit/plugins/test_apt_candidates.py tests/unit/slipway/test_hostile.py \
  $(addprefix tests/unit/fabfile/test_,choices.py closing.py connection.py disagreement.py environment.py exec.py hosts.py \
    production.py public.py restart.py rollouts.py rotation.py sessions.py signing.py token_rotation.py usage.py vault.py words.py) \
  $(addprefix tests/database/test_,texts.py terminal.py)
# Tests that need no host share the cores, three workers on two: each waits a third of its time for daemons and disks.
# What a module prepares is prepared once a worker.
WORKERS := -n $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 ))) --dist worksteal
export PATH := $(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: requirements/controller.lock fabfile/__main__.py
	@requirements/make-venv
	@printf '%s\n' '#!$(BIN)/python' 'import sys' 'sys.path[0] = "$(CURDIR)"' \
	  'from fabfile.__main__ import main' 'main()' >$(BIN)/fab
	@touch $@

.PHONY: up
up: .venv/installed ## Boot the lab's host, configure it from nothing, and say where it serves
	@$(LAB) install
	@address=$$($(LAB) up --inventory $(INVENTORY) --address-of edge); \
	  ansible-playbook --inventory $(INVENTORY) site.yml; \
	  echo "url: https://$$address"
	@echo "ca: $(CURDIR)/.lab/generated/$(ENVIRONMENT)/pki/ca.pem"
	@echo "next: source .venv/bin/activate, for fab and ansible-playbook; then fab status, fab deploy, fab rollback"

.PHONY: down
down: .venv/installed ## Remove the lab's hosts
	@$(LAB) down --inventory $(INVENTORY)

.PHONY: test
test: export BUT = and not slow
test: .venv/installed ## Every suite's main part: linters, unit tests, the service's suite, real hosts; ends with what each took
	@$(BIN)/python -m tests.suites $(SUITES)

.PHONY: proof
proof: .venv/installed ## Every suite whole, what make test leaves out (pytest.mark.slow) with it (an hour and more)
	@$(BIN)/python -m tests.suites $(SUITES)

.PHONY: scores
scores: .venv/installed ## How others' programs rate a hardened host, against docs/scores.md; SCORES=--write keeps it
	@$(LAB) install
	@$(BIN)/python -m tests.scores $(SCORES)

.PHONY: quick
quick: .venv/installed ## A first useful answer: linters, contracts, the tests that need no server and no host
	@$(MAKE) --no-print-directory lint
	@pytest --quiet $(WORKERS) $(QUICK)

.PHONY: lint
lint: .venv/installed ## Formatters, linters and types
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint-roles lint-python lint-yaml

lint-python:
	@ruff check .
	@ruff format --check .
	@mypy
	@PYTHONPATH=$(CURDIR)/roles/release/files lint-imports --no-logo
lint-yaml:
	@yamllint --strict .
lint-roles:
	@ansible-lint --offline

.PHONY: unit
unit: .venv/installed ## Tests that need no host: modules, helper, bundle, contracts, templates
	@$(LAB) install --tests
	@$(BIN)/python -m tests.templates.checkers install
	@for version in 15 16 17; do $(LAB) packages --version $$version; done
	@SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) $(STEADY) unit pytest $(WORKERS) -m "not long $(BUT)" tests/unit tests/templates tests/database

.PHONY: upgrades
upgrades: .venv/installed ## An upgrade of PostgreSQL killed at each step, a disk that is full or loses power (ten minutes)
	@$(LAB) install --tests
	@$(LAB) packages --version 17
	@SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) pytest $(WORKERS) -m long tests/database

.PHONY: logs
logs: .venv/installed ## Numbered lines while the logs host flaps, hangs or dies, while rsyslogd is killed, and while a sink of JSON dies (four minutes)
	@$(BIN)/python -m tests.templates.checkers install
	@pytest -m long tests/templates/test_logs_lost.py tests/templates/test_json_lines.py

.PHONY: service-test
service-test: .venv/installed ## The service's suite on Ubuntu 22.04's Python and PostgreSQL; what can differ on Debian 12's too
	@$(LAB) install --tests
	@SHOP_TEST_REDIS_SERVER=$$($(LAB) redis) SHOP_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) \
	  $(STEADY) service-test service/run-tests $(firstword $(SERVICE_PYTHONS)) $(WORKERS) $(if $(BUT),@tests/slow.args)
	@[ -z "$(BUT)" ] || exit 0; SHOP_TEST_REDIS_SERVER=$$($(LAB) redis) SHOP_TEST_POSTGRESQL_BIN=$$($(LAB) packages --version 15 --bin) \
	  $(STEADY) service-test-second service/run-tests $(lastword $(SERVICE_PYTHONS)) $(WORKERS) -m differs

.PHONY: service-types
service-types: .venv/installed ## The types of the service and the examples, by what their locks pin; no part of make lint, which needs no lock but its own
	@cd service && python=$$(./environment $(firstword $(SERVICE_PYTHONS)) service requirements.lock requirements-test.lock) && \
	  mypy --python-executable "$$python" --cache-dir ../build/mypy-service
	@for name in hello items notes; do \
	  cd $(CURDIR)/examples/$$name; \
	  python=$$(../../service/environment $(firstword $(SERVICE_PYTHONS)) "example-$$name" ../examples/$$name/requirements.lock ../examples/$$name/requirements-test.lock) && \
	  mypy --config-file= --strict --python-version 3.10 --python-executable "../$$python" --cache-dir ../../build/mypy-$$name --exclude alembic/versions . || exit 1; \
	done

# A PostgreSQL of the machine's own will do; without one the lab's is unpacked.
DEV_POSTGRESQL = $$(ls -d /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || $(LAB) packages --bin)
.PHONY: dev
dev: .venv/installed ## Work on the service: its own database, seeded, reload on change; PORT=8000
	@SHOP_TEST_POSTGRESQL_BIN=$(DEV_POSTGRESQL) service/run-dev $(firstword $(SERVICE_PYTHONS)) --port $(PORT)

.PHONY: dev-reset
dev-reset: ## Delete what make dev keeps: its database and its keys
	@service/run-dev $(firstword $(SERVICE_PYTHONS)) --reset

.PHONY: migrator-test
migrator-test: .venv/installed ## The migrator's suite on the oldest Python; with each driver on the newest that is here
	@$(LAB) install --tests
	@SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) \
	  $(STEADY) $@ migrator/run-tests 3.10 $(WORKERS)
	@[ -z "$(BUT)" ] || exit 0; SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --version 15 --bin) \
	  $(STEADY) $@-newest migrator/run-tests newest $(WORKERS) tests/test_stock.py tests/test_window.py

.PHONY: examples-test
examples-test: .venv/installed ## The examples' own suites, on Ubuntu 22.04's Python
	@$(LAB) install --tests
	@for name in hello items notes; do \
	  NOTES_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) $(STEADY) $@-$$name examples/run-tests $$name 3.10; \
	done

.PHONY: e2e
e2e: .venv/installed ## Bare hosts to serving ones, and what must hold on them
	@$(LAB) install
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target e2e-spoilt e2e-one-host e2e-fleet e2e-others e2e-lab

# More than half of their time they wait: three run side by side, the longest first, each on hosts of its own.
e2e-spoilt:
	@SLIPWAY_E2E_LAB=inventory/spare $(STEADY) $@ pytest -m "spoilt and not long $(BUT)" tests/e2e
e2e-one-host:
	@$(STEADY) $@ pytest -m "(share or not long) and not (fleet or debian or variants) and (long or not spoilt) $(BUT)" tests/e2e
e2e-fleet:
	@$(STEADY) $@ pytest -m "(share or not long) and fleet $(BUT)" tests/e2e
e2e-others:
	@$(STEADY) $@ pytest -m "(share or not long) and (debian or variants) $(BUT)" tests/e2e
e2e-lab:
	@$(STEADY) $@ pytest -m "not long $(BUT)" tests/lab

.PHONY: rollouts
rollouts: .venv/installed ## Deploys, rollbacks, bad releases, and the whole kill matrix, on real hosts (an hour)
	@$(LAB) install
	@pytest -m "long and not variants" --ignore=tests/e2e/test_host_faults.py tests/e2e

# One alone: FAULT=F19, or FAULT=F1: with its colon. A hardened fleet has the fleet's addresses: first, and by itself. 5: none of it.
FAULT ?=
.PHONY: faults
faults: .venv/installed ## Faults on booted hosts, what must hold meanwhile, and docs/faults-on-hosts.md; FAULT=F19 for one (hours)
	@$(LAB) install
	@status=0; for tests in tests/e2e/test_hardened.py "--ignore=tests/e2e/test_hardened.py tests/e2e"; do \
	  pytest -m faults $(if $(FAULT),-k "$(FAULT)") $$tests || [ $$? = 5 ] || status=1; \
	done; $(BIN)/python -m tests.e2e.host_faults; exit $$status

.PHONY: variants
variants: .venv/installed ## Hosts as strangers have them: each ends serving, or is left as it was (an hour)
	@$(LAB) install
	@pytest -m variants tests/e2e

# What images stand on, made here; BASE names another, by its digest.
BASE ?= localhost/slipway-base:12
.PHONY: image-base
image-base: .venv/installed ## Assemble what images stand on, of Debian's newest packages, without a registry
	@mkdir -p build
	@$(LAB) sources >build/base.sources
	@mapfile -t sources <build/base.sources; containers/base/build build/base.tar "$${sources[@]}"
	@podman import build/base.tar localhost/slipway-base:12
	@rm build/base.tar build/base.sources

# What runs beside the service in containers. PostgreSQL 14 comes out of POSTGRESQL_SOURCE, a line of apt's with an archive that
# has it, as PGDG's; without one it is the tests' own.
.PHONY: image-parts
image-parts: .venv/installed ## Assemble the images of nginx, PostgreSQL 14 and Redis, without a registry
	@mkdir -p build
	@$(LAB) sources >build/parts.sources
	@mapfile -t sources <build/parts.sources; for part in nginx:bookworm postgresql:14 redis:bookworm; do \
	  more=(); [ $${part%:*} != postgresql ] || more=("$(or $(POSTGRESQL_SOURCE),$$($(LAB) packages --source))"); \
	  containers/parts/build $${part%:*} build/part.tar "$${sources[@]}" "$${more[@]}"; \
	  podman import build/part.tar localhost/slipway-$$part; \
	done
	@rm build/part.tar build/parts.sources

.PHONY: image
image: .venv/installed ## Build the service's image, from the bundle that hosts get
	@[ "$(origin BASE)" != file ] || podman image exists $(BASE) || $(MAKE) --no-print-directory image-base
	@fab image --base $(BASE) $(IMAGE_ARGUMENTS)

.PHONY: containers
containers: .venv/installed ## Images, containers and compose files, whole, in an engine of the tests' own
	@$(LAB) install --containers
	@SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) $(STEADY) $@ pytest tests/containers

.PHONY: containers-test
containers-test: .venv/installed ## Of make containers the main path
	@$(LAB) install --containers
	@SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) $(STEADY) $@ pytest -m "share or not long" tests/containers

.PHONY: check
check: .venv/installed ## Say what site.yml would change on the hosts of INVENTORY
	@ansible-playbook --inventory $(INVENTORY) $(ANSIBLE_FLAGS) site.yml --check --diff

.PHONY: converge
converge: .venv/installed ## Make the hosts of INVENTORY what it says
	@ansible-playbook --inventory $(INVENTORY) $(ANSIBLE_FLAGS) site.yml

.PHONY: verify
verify: .venv/installed ## Say all that is wrong with the hosts of INVENTORY
	@ansible-playbook --inventory $(INVENTORY) $(ANSIBLE_FLAGS) playbooks/verify.yml

.PHONY: render
render: .venv/installed ## Write the files each host of INVENTORY would get to build/rendered, without a host
	@ansible-playbook --inventory $(INVENTORY) $(ANSIBLE_FLAGS) playbooks/render.yml

.PHONY: screenshot
screenshot: .venv/installed ## Draw db-status's page of a made-up night in a browser, to build/ (needs Chromium)
	@mkdir -p build
	@$(BIN)/python -m tests.database.sample build/db-status.html
	@$(BIN)/python -m tests.database.browser build/db-status.html build/db-status.png

# What Prometheus answered is kept by the tests on booted hosts (build/e2e/dashboards.json); Grafana's packages, 600 MB, are here alone.
.PHONY: dashboards
dashboards: .venv/installed ## Write the dashboards' JSON, check its types, draw each from a real Prometheus's data (npm, Chromium)
	@$(BIN)/python -m dashboards
	@[ -e build/e2e/dashboards.json ] || { $(LAB) install && pytest -k "monitored or deploy or panel" tests/e2e/test_monitoring.py; }
	@$(BIN)/python -m tests.dashboards.drawing

.PHONY: bench
bench: .venv/installed ## Measure hosts (bare to serving), the service, rollouts under load; BENCH=rollouts for one
	@$(LAB) install
	@for part in $(BENCH); do case $$part in \
	  hosts) $(BIN)/python -m tests.bench ;; \
	  rollouts) $(BIN)/python -m tests.bench.rollouts ;; \
	  database) $(BIN)/python -m tests.bench.database ;; \
	  hostile) $(BIN)/python -m tests.bench.hostile ;; \
	  recovery) SLIPWAY_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) $(BIN)/python -m tests.bench.recovery ;; \
	  migrations) SHOP_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) service/run-bench $(firstword $(SERVICE_PYTHONS)) migration ;; \
	  service) SHOP_TEST_POSTGRESQL_BIN=$$($(LAB) packages --bin) service/run-bench $(firstword $(SERVICE_PYTHONS)) $(BENCH_ARGUMENTS) ;; \
	  *) echo "There is no benchmark $$part: BENCH=hosts, BENCH=service, BENCH=rollouts, BENCH=database, BENCH=recovery, BENCH=migrations, BENCH=hostile, or none for all."; exit 2 ;; \
	esac; done

.PHONY: secrets
secrets: .venv/installed ## Make the secrets of INVENTORY, once; inventory/compose: and all that its containers are given
	@[ "$(origin INVENTORY)" != file ] || { echo "Say for which inventory: make secrets INVENTORY=inventory/production"; exit 2; }
	@if grep -qs '^nginx_app_sockets:' $(INVENTORY)/group_vars/all/main.yml; then \
	  ansible-playbook --inventory $(INVENTORY) $(ANSIBLE_FLAGS) playbooks/compose.yml; \
	else $(BIN)/python -m fabfile.hosts.vault $(INVENTORY); fi

.PHONY: lock
lock: ## Lock the controller's packages anew (needs pip-tools; see requirements/README.md)
	@pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --upgrade --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	  --output-file requirements/controller.lock requirements/controller.in
