# Everything lives in .venv; only what changed is reinstalled.
#
# Run:
#   make serve            the service (http://127.0.0.1:8000) and a fine-tuning worker
#   make service          the service alone
#   make worker           a fine-tuning worker alone
#   make study            a small study of digits, with a report in studies/smoke; takes five minutes
#
# Check:
#   make check            lint and test
#   make lint             formatting, lint, types and layers
#   make lint-page        types of the page's modules, with TypeScript by npx
#   make test             tests, quick ones first, in a process more than there are cores
#   make coverage         the same, with branch coverage, slower
#   make test-long        tests that take minutes: ten thousand requests, an overload, killed processes
#   make test-postgres    tests of fine-tuning jobs on a Postgres server that it starts, if Postgres is installed
#   make test-torchserve  tests with a TorchServe, which needs Java 17 or newer
#   make test-ray         tests on a Ray cluster of several nodes on this machine, if Postgres is installed
#   make test-v2          gRPC, and clients of Triton and KServe, which have an environment of their own
#   make test-gpu         what only a GPU can show; GPU_TEST_DEVICE=cpu runs the same checks on the CPU
#   make test-browser     the page in Chromium, with Playwright; pictures of it are in build/browser
#   make test-deploy      container image and Compose file, with docker or podman; takes minutes
#   make fuzz             fuzzing of the event engine and of the readers of event recordings, FUZZ_SECONDS each
#   make fuzz-engine      random networks in the event engine and in TorchScript, with sanitizers, for FUZZ_SECONDS
#
# Write:
#   make screenshot       docs/page.png, the picture of the page in the README
#   make vendor           the libraries of the page, from npm as service/page/vendor/packages.json lists them
#   make format           formatted code
#   make protocol         the messages of gRPC, from service/open_inference/inference.proto
#   make openapi          openapi.json and docs/asyncapi.json
#   make docs             the documentation as a site, in build/docs
#   make sbom             the packages of service and worker, as CycloneDX, in build/sbom.json
#   make release          a commit and tag for VERSION, such as 1.2.3; DRY_RUN=1 only checks
#   make image            the container image, named after the latest tag
#
# Variables:
#   PYTHON        interpreter that creates .venv (3.11 to 3.13)
#   PIP_ARGS      arguments for pip. On Linux, PyPI's torch includes CUDA; for the smaller CPU build:
#                 make serve PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
#   TEST_PROCESSES  processes for make test
#   PYTEST_ARGS   arguments for pytest, such as "-k card", "-x", "-n 0" (one process)
#   CONTAINER_TOOL, BUILD_FLAGS  docker or podman, and arguments for its builds, such as --build-arg BASE=...
#   FUZZ_SECONDS  how long to fuzz

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
# one more than there are cores: many tests wait for processes that they have started
TEST_PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
FUZZ_SECONDS ?= 300
export CONTAINER_TOOL BUILD_FLAGS

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS)

.PHONY: serve service worker study test coverage test-long test-postgres test-torchserve test-v2 test-ray test-gpu test-deploy \
	test-browser screenshot vendor fuzz \
	fuzz-engine lint lint-page check format protocol openapi docs sbom release image
.DELETE_ON_ERROR:

serve: $(VENV)/.training
	@sh serve.sh $(BIN)/python

service: $(VENV)/.service
	$(BIN)/python -m service

worker: $(VENV)/.training
	$(BIN)/python -m training worker

study: $(VENV)/.study
	$(BIN)/python -m training study --smoke --jobs 2

test: $(VENV)/.development
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

coverage: $(VENV)/.development
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS) --cov

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

test-ray: $(VENV)/.ray
	PYTHON=$(BIN)/python sh tests/postgres.sh $(BIN)/python -m pytest -m ray -s $(PYTEST_ARGS) tests/ray

# The clients' requirements do not go with those of the project, so their environment has neither it nor its conftest.
# Both clients bring messages of gRPC under the same names, so each file runs in a process of its own.
test-v2: $(VENV)/.grpc build/v2/.made
	$(BIN)/python -m pytest $(PYTEST_ARGS) tests/service/rpc
	for file in tests/open_inference/test_*.py; do \
		SERVICE_PYTHON=$(BIN)/python build/v2/bin/python -m pytest -c /dev/null --rootdir . --import-mode importlib \
			-p no:cacheprovider --confcutdir tests/open_inference $(PYTEST_ARGS) $$file || exit 1; \
	done

test-gpu: $(VENV)/.development
	$(BIN)/python -m pytest -m gpu -rs -s $(PYTEST_ARGS) tests/gpu

test-deploy: $(VENV)/.deploy
	$(BIN)/python -m pytest -m deploy -rs -s $(PYTEST_ARGS) tests/deploy

test-browser: $(VENV)/.browser build/vendor/axe-core
	$(BIN)/python -m pytest -m browser -rs $(PYTEST_ARGS) tests/browser

screenshot: $(VENV)/.browser
	$(BIN)/python -m tests.browser.screenshot docs/page.png

vendor:
	$(PYTHON) .ci/vendor.py

# An accessibility checker, for the tests alone.
build/vendor/axe-core: service/page/vendor/packages.json
	$(PYTHON) .ci/vendor.py --tests build/vendor
	@touch $@

fuzz: $(VENV)/.fuzz fuzz-engine
	$(BIN)/python -m tests.fuzz.event_readers -max_total_time=$(FUZZ_SECONDS)

fuzz-engine: $(VENV)/.development
	$(BIN)/python -m tests.fuzz.event_engine --seconds $(FUZZ_SECONDS)

lint: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

lint-page:
	npx --yes --package typescript@5.9.3 tsc --project service/page

check: lint test

format: $(VENV)/.development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

protocol: build/v2/.made
	build/v2/bin/python -m grpc_tools.protoc -I . --python_out . service/open_inference/inference.proto

openapi: $(VENV)/.service
	$(BIN)/python -m service openapi > openapi.json.new
	mv openapi.json.new openapi.json
	$(BIN)/python -m service asyncapi > docs/asyncapi.json.new
	mv docs/asyncapi.json.new docs/asyncapi.json

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

# In an environment of its own, without the development tools.
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

build/v2/.made: tests/open_inference/requirements.txt
	$(PYTHON) -m venv --clear build/v2
	build/v2/bin/python -m pip install --disable-pip-version-check $(PIP_ARGS) -r tests/open_inference/requirements.txt
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			"name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The event engine's sources too: installing builds them, where there is a C++ compiler.
$(VENV)/.service: $(VENV)/.made pyproject.toml constraints.txt MANIFEST.in $(wildcard event_engine/native/*)
	$(INSTALL) -c constraints.txt -e .
	@touch $@

$(VENV)/.training: $(VENV)/.service
	$(INSTALL) -c constraints.txt -e '.[training]'
	@touch $@

$(VENV)/.study: $(VENV)/.training
	$(INSTALL) -c constraints.txt -e '.[training,study]'
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

$(VENV)/.browser: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,browser]'
	@touch $@

$(VENV)/.grpc: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,grpc]'
	@touch $@

$(VENV)/.ray: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,ray]'
	@touch $@

$(VENV)/.torchserve: $(VENV)/.development
	$(INSTALL) -c constraints.txt -e '.[training,dev,torchserve]'
	@touch $@

$(VENV)/.development: $(VENV)/.training requirements-oracles.txt
	$(INSTALL) -c constraints.txt -e '.[training,study,dev]'
	$(INSTALL) --no-deps -r requirements-oracles.txt
	@touch $@
