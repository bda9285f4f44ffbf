# Everything happens in .venv, and only what has changed is installed again.
#
#   make serve    start the service (http://127.0.0.1:8000) and a fine-tuning worker
#   make service  start the service alone
#   make worker   start a fine-tuning worker alone
#   make test     run the tests, quick ones first, in two processes where there are two cores, and print branch coverage
#   make test-long  run those that take minutes: ten thousand requests, an overload, processes that are killed
#   make test-postgres  run those of fine-tuning on a Postgres server of their own, where Postgres is installed
#   make test-torchserve  run those with a TorchServe, which needs Java 17 or newer
#   make test-deploy  build the container image and run the compose file, with docker or podman: minutes
#   make fuzz     fuzz the readers of event recordings for FUZZ_SECONDS
#   make lint     formatting, lint and types
#   make check    lint and test
#   make format   format the code
#   make openapi  write openapi.json
#   make docs     build the pages of docs/ in build/docs
#   make sbom     list the packages that the service and the worker run with, as CycloneDX, in build/sbom.json
#   make release  tag VERSION, such as 1.2.3; with DRY_RUN=1 only check that it can be tagged
#   make image    build the container image, named after the latest tag
#
# PYTHON       the interpreter that makes .venv (3.11 to 3.13)
# PIP_ARGS     more arguments for pip. On Linux, PyPI's torch brings CUDA along; for the smaller CPU build:
#              make serve PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# PYTEST_ARGS  more arguments for pytest, such as "-k card", "-x", "-n 0" for one process or "--no-cov" for no coverage
# CONTAINER_TOOL, BUILD_FLAGS  docker or podman, and more arguments for its builds, such as --build-arg BASE=...
# FUZZ_SECONDS how long to fuzz

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 300
export CONTAINER_TOOL BUILD_FLAGS

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS)

.PHONY: serve service worker test test-long test-postgres test-torchserve test-deploy fuzz lint check format \
	openapi docs sbom release image
.DELETE_ON_ERROR:

serve: $(VENV)/.training
	@sh serve.sh $(BIN)/python

service: $(VENV)/.service
	$(BIN)/python -m service

worker: $(VENV)/.training
	$(BIN)/python -m training worker

test: $(VENV)/.development
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov $(PYTEST_ARGS)

test-long: $(VENV)/.development
	$(BIN)/python -m pytest -m long -s $(PYTEST_ARGS)

test-postgres: $(VENV)/.development
	PYTHON=$(BIN)/python sh tests/postgres.sh $(BIN)/python -m pytest -m '' -k postgres $(PYTEST_ARGS) \
		tests/service/fine_tuning/test_queue.py tests/e2e/test_job_faults.py

test-torchserve: $(VENV)/.torchserve
	@java -version 2>&1 | awk -F'["._]' '/ version "/ { newest = $$2 } END { exit !(newest >= 17) }' || \
		{ echo "TorchServe needs Java 17 or newer on the PATH, as in Debian's package openjdk-17-jre-headless" >&2; \
			exit 1; }
	$(BIN)/python -m pytest -m torchserve $(PYTEST_ARGS)

test-deploy: $(VENV)/.deploy
	$(BIN)/python -m pytest -m deploy -rs -s $(PYTEST_ARGS) tests/deploy

fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz.event_readers -max_total_time=$(FUZZ_SECONDS)

lint: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint test

format: $(VENV)/.development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: $(VENV)/.service
	$(BIN)/python -m service openapi > openapi.json.new
	mv openapi.json.new openapi.json

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# An environment of its own, without the tools for development.
sbom: $(VENV)/.release
	$(PYTHON) -m venv --clear --without-pip build/sbom
	$(BIN)/python -m pip --python build/sbom/bin/python install --disable-pip-version-check $(PIP_ARGS) \
		-c constraints.txt '.[training]'
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --validate \
		-o build/sbom.json build/sbom/bin/python
	rm -r build/sbom

release: export VERSION := $(VERSION)
release:
	@$(PYTHON) .ci/release.py $(if $(DRY_RUN),--dry-run) -- "$$VERSION"

image: DESCRIPTION = $(patsubst v%,%,$(shell git describe --tags --always --dirty))
image:
	$(or $(CONTAINER_TOOL),docker) build -t stl-snn:$(DESCRIPTION) -t stl-snn:latest --build-arg VERSION=$(DESCRIPTION) \
		--build-arg REVISION=$(shell git rev-parse HEAD) $(BUILD_FLAGS) .

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			"name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.service: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e .
	@touch $@

$(VENV)/.training: $(VENV)/.service
	$(INSTALL) -c constraints.txt -e '.[training]'
	@touch $@

$(VENV)/.docs: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.release: $(VENV)/.made pyproject.toml constraints.txt
	$(INSTALL) -c constraints.txt -e '.[release]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,fuzz]'
	@touch $@

$(VENV)/.deploy: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,deploy]'
	@touch $@

$(VENV)/.torchserve: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,torchserve]'
	@touch $@

$(VENV)/.development: $(VENV)/.training requirements-oracles.txt
	$(INSTALL) -c constraints.txt -e '.[training,dev]'
	$(INSTALL) --no-deps -r requirements-oracles.txt
	@touch $@
