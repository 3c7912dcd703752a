# Copyright The Muster Authors.
# SPDX-License-Identifier: Apache-2.0

# No build flags anywhere: the Go build cache then serves the binaries, the
# tests and the demo alike. The first build compiles kube-apiserver and takes
# some minutes; later ones take seconds.
GO ?= go
SCHEDULER ?= muster
GOLANGCI_LINT_VERSION = v2.15.0

.DEFAULT_GOAL := help

help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build the binaries into bin/.
	$(GO) build -o bin/ ./cmd/...

demo: build ## Replay a real trace on a real control plane. SCHEDULER=default shows the stock scheduler.
	bin/muster-sandbox demo --scheduler=$(SCHEDULER)

sandbox: build ## Start a control plane with simulated GPU nodes; Ctrl-C stops it.
	bin/muster-sandbox up

test: ## Run every test.
	$(GO) test -timeout 45m ./...

soak: ## Repeat the end-to-end tests of races and crashes as often as a release deserves.
	$(GO) test -count=1 -v -timeout 120m -run 'Atomic|Chaos|Fence|Moments|Many|WaitingGangs' ./test/e2e -soak

chaos: ## Run two schedulers under load and faults for 20m. CHAOS=12h for longer, SEED=7 to repeat, SLACK=5 on a busy machine.
	$(GO) test -count=1 -v -timeout 0 -run 'TestChaos$$' ./test/chaos -chaos=$(or $(CHAOS),20m) -slack=$(or $(SLACK),1) $(if $(SEED),-seed=$(SEED)) $(if $(RECORD),-record=$(abspath $(RECORD)))

chaos-steady: ## Run gangs of two, 17 a second, for 30m without faults. CHAOS=2h for longer.
	$(GO) test -count=1 -v -timeout 0 -run TestSteady ./test/chaos -steady=$(or $(CHAOS),30m) -slack=$(or $(SLACK),1) $(if $(RECORD),-record=$(abspath $(RECORD)))

chaos-rivals: ## Count what is given away twice beside another scheduler for 3m: with and without the look at newest pods, and with a taint.
	$(GO) test -count=1 -v -timeout 0 -run TestRival ./test/chaos -rivals=all -chaos=$(or $(CHAOS),3m) -slack=$(or $(SLACK),1) $(if $(SEED),-seed=$(SEED)) $(if $(RECORD),-record=$(abspath $(RECORD)))

chaos-mutants: ## Run schedulers that each have a small error, until the checker of make chaos finds it. MUTANTS=leak,... for some.
	$(GO) test -count=1 -v -timeout 0 -run TestMutants ./test/chaos -mutants=$(or $(MUTANTS),all)

compat: ## Run the end-to-end tests against kube-apiserver 1.34, 1.35 and 1.36, built from source.
	test/apiservers/run

strangers: ## Run workload controllers of other projects, built from source, above Muster.
	MUSTER_TEST_STRANGERS=all $(GO) test -count=1 -v -timeout 60m -run TestStrangers ./test/e2e

fuzz: ## Run each fuzz target for 30s. FUZZTIME=5m for longer.
	test/fuzz $(FUZZTIME)

bench: ## Run all benchmarks of the core, which takes long; benchmarks/README.md has commands for parts.
	$(GO) test -run '^$$' -bench . -benchmem -timeout 4h ./benchmarks

bench-perf: ## Compare with kube-scheduler in scheduler_perf. RUNS=3 SHAPES=... CONTESTANTS=... DIR=... for more.
	$(GO) build -o bin/perf ./benchmarks/perf
	bin/perf -runs=$(or $(RUNS),1) $(if $(SHAPES),-shapes=$(SHAPES)) $(if $(CONTESTANTS),-contestants=$(CONTESTANTS)) $(if $(DIR),-dir=$(DIR))

pin: ## Pin the image in manifests/Dockerfile to the digest that its tag has in its registry now.
	@image=$$(sed -n 's/^ARG GO_IMAGE=\([^@]*\).*/\1/p' manifests/Dockerfile) && \
	digest=$$(docker buildx imagetools inspect "$$image" --format '{{.Manifest.Digest}}') && \
	sed -i.old "s|^ARG GO_IMAGE=.*|ARG GO_IMAGE=$$image@$$digest|" manifests/Dockerfile && rm manifests/Dockerfile.old && \
	grep '^ARG GO_IMAGE=' manifests/Dockerfile

lint: ## Run the linters of .golangci.yml.
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION) run

tidy: ## Check formatting and go.mod.
	@! gofmt -l cmd pkg internal benchmarks test | grep . # names the files that gofmt would change
	$(GO) mod tidy -diff

.PHONY: help build demo sandbox test soak chaos chaos-steady chaos-rivals chaos-mutants compat strangers fuzz bench bench-perf pin lint tidy
