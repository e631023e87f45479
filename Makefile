# Corten's interface for developers: each target is one step, and this file documents them.

CARGO ?= cargo
export CARGO_TERM_COLOR ?= never

# Where the cluster of `make up` keeps its state, and further options of `corten up`, which remembers them.
ROOT := $(or $(ROOT),/var/lib/corten)
UP_OPTIONS ?=
CORTEN = target/release/corten
# Building need not be root's, running must.
define as_root
if [ "$$(id -u)" = 0 ]; then $(CORTEN) $(1); \
elif command -v sudo >/dev/null; then sudo $(CORTEN) $(1); \
else echo "this takes root: containers, networks and cgroups need it" >&2; exit 1; fi
endef

.PHONY: help up down reset status build fmt lint layers test test-cluster test-guest golden test-clients profile bench conformance ci generate

help:      ## this text
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

up:        ## a cluster on this machine, from a fresh Debian 12: installs what is missing, kubectl too, builds, starts; ROOT=DIR
	@./scripts/up --root "$(ROOT)" $(UP_OPTIONS)

# Without a binary and without a root nothing was ever started.
define end_with
@if [ ! -e $(CORTEN) ] && [ ! -e "$(ROOT)" ]; then echo "no cluster at $(ROOT)"; \
elif [ ! -e $(CORTEN) ]; then echo "there is no $(CORTEN), which ends what $(ROOT) has: run make build" >&2; exit 1; \
else $(call as_root,$(1) --root "$(ROOT)"); fi
endef

down:      ## stops everything that `make up` started; state stays
	$(call end_with,down)

reset:     ## stops everything and removes its state
	$(call end_with,reset)

status:    ## what runs, and how it fares
	@$(call as_root,status --root "$(ROOT)")

build:     ## the binary, optimised: target/release/corten
	@./scripts/build-release

fmt:       ## check the format
	$(CARGO) fmt --all --check

lint:      ## warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

layers:    ## arrows between crates go down only
	$(CARGO) xtask layers

generate:  ## tables from the committed facts
	$(CARGO) xtask generate

test:      ## all tests; installs what they need; passes beside a running `make up`
	./scripts/install-test-tools
	$(CARGO) test --workspace
	./scripts/test-cluster # with the binary that those tests have run

test-cluster: ## a whole cluster in a network namespace of its own, with real kubectl; needs root
	$(CARGO) build -p corten
	./scripts/test-cluster

test-guest: build ## an emulated machine: systemd, cgroup v2, restarts, power cuts; GUEST_OPTIONS="--cuts N --seed N"; needs root
	./scripts/install-test-tools
	./scripts/test-guest $(GUEST_OPTIONS)

golden:    ## replays the recorded requests of a real server against --only api
	./scripts/golden

test-clients: ## client-go and the Python client against --only api; needs Go
	./scripts/test-clients

profile:   ## a record of what is hot, for the compiler at hand: release builds use it
	@./scripts/profile

bench:     ## figures of the release build; LOADGEN=PATH for operations per CPU-second
	@./scripts/bench

conformance: ## upstream's conformance tests: E2E=PATH/e2e.test [IMAGES=DIR]; without KUBECONFIG and images those that need no node
	@./scripts/conformance --e2e $(E2E) $(if $(IMAGES),--images $(IMAGES)) $(CONFORMANCE_OPTIONS)

# What is built once need not be kept for the next time: gigabytes.
ci: export CARGO_INCREMENTAL := 0
ci: fmt lint layers test golden test-clients ## what .ci/run runs
