# Every command of the project, one target each. `make help` lists them.

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION := v1.9.0
GOBIN := $(CURDIR)/.cache/bin
FUZZ_TIME ?= 5s
SEEDS ?= 1500
TIMES ?= 20
MUTANTS ?= all

.PHONY: help demo test check lint race endtoend chaos fuzz sim mutants reference image release reproducible vulnerabilities bench bench-compare

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a broker, events, a processor and rewards in one process; Ctrl-C ends it
	go run ./cmd/processor demo

test: check race sim endtoend fuzz ## everything: formatting, vet, lint, tests with the race detector, the long tests, a short form of each attack, fuzz targets for a few seconds each
	$(MAKE) mutants MUTANTS=cheap

check: lint ## formatting, go vet, golangci-lint
	@unformatted=$$(gofmt -l cmd deploy pkg internal); if [ -n "$$unformatted" ]; then echo "not gofmt'd: $$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags atleastonce ./internal/stream

lint: $(GOBIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)
	$< run ./...

$(GOBIN)/golangci-lint-$(GOLANGCI_LINT_VERSION):
	GOBIN=$(GOBIN) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(GOBIN)/golangci-lint $@

race: ## all tests but the long ones, with the race detector; a real Kafka included
	go test -race $$(go list ./... | grep -v /internal/endtoend)
	go test -tags synctests -skip '^(TestSimulation|TestMutants)$$' ./internal/sim

endtoend: ## what the race detector is too slow for or in the way of: processes killed on a real Kafka, 2 minutes of chaos, allocations counted
	go test -run Allocate ./pkg/...
	go test -run '^Test(P1|P2|P3|TheEngineAgrees)' ./pkg/campaign -rapid.checks=2500 -rapid.seed=1 # the race detector draws a hundred at random, which meet little that is rare
	go test -v -count=1 -timeout 25m ./internal/endtoend # Go does not know that it builds the programs, and would remember what others did

MINUTES ?= 10
RATE ?= 1000
KILLS ?= 0
ZOMBIES ?= 0

chaos: ## processes, disks, the network and a real Kafka fail under load for MINUTES (default 10); SEED=n draws the same again, KILLS=100 ZOMBIES=20 as many instead
	go test -v -count=1 -timeout 0 -run '^TestChaos$$' ./internal/endtoend -seed $(or $(SEED),0) -minutes $(MINUTES) -rate $(RATE) -kills $(KILLS) -zombies $(ZOMBIES) -only '$(ONLY)'

# Making an interesting input smaller takes up to a minute by default, in which nothing else is tried.
fuzz: ## every fuzz target for FUZZ_TIME (default 5s)
	@set -e; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 1x $$package; \
	  done; \
	done

TAGS ?= synctests
SIM := go test -tags $(TAGS) -timeout 0 -v ./internal/sim

sim: ## the runtime under faults drawn from seeds, SEEDS of them (default 1500); SEED=n runs one and tells its story, DROP=i,j without some of its faults; TAGS=synctests,invariants looks at what must hold in memory, too; REPORT=/file keeps how far a long run has come, and goes on from there
	@if [ -n "$(SEED)" ]; then $(SIM) -run '^TestSimulation$$' -seed $(SEED) -times $(TIMES) -drop "$(DROP)"; \
	else $(SIM) -run '^TestSimulation$$' -seeds $(SEEDS) -report '$(REPORT)'; fi

mutants: ## programs with one line broken, each of which the simulation must catch; MUTANTS=cheap for some, or a name
	$(SIM) -run '^TestMutants$$' -mutants "$(MUTANTS)"

reference: ## write deploy/CONFIG.md, and what the programs know of each other's settings, from the declarations
	go test ./cmd/processor ./cmd/producer -run TestTheOtherProgramKnowsOurSettings -rewrite
	go test ./internal/command -run TestReference -rewrite

vulnerabilities: ## known vulnerabilities of what the programs use; it needs the data at vuln.go.dev
	go run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

IMAGE ?= stampede:latest
VERSION ?=

image: ## the container image IMAGE (default stampede:latest) of the working copy, for docker-compose.yml
	deploy/package image $(IMAGE)

release: ## archives, SBOMs and checksums of the commit in dist/VERSION, for linux and darwin; VERSION=v0.1.0
	deploy/package release '$(VERSION)' 'dist/$(VERSION)'

reproducible: ## two releases of the commit, in two directories and with two build caches, are the same; PLATFORMS="linux/amd64" for some
	deploy/package reproducible

bench: ## what everything costs, in bench-results: a table, the same as JSON, and CPU profiles; ROW=name runs one (go run ./cmd/bench list), BROKERS=host:port has rows on a real Kafka, too
	go run ./cmd/bench run --times $(or $(BENCH_TIMES),3) $(if $(ROW),--row $(ROW)) $(if $(BROKERS),--brokers $(BROKERS))

BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da

bench-compare: ## the same with the programs of BASE=rev and of the working copy in turn, compared by benchstat; ROW=name runs one
	@test -n "$(BASE)" || { echo "say with which revision: make bench-compare BASE=rev"; exit 2; }
	go run ./cmd/bench compare $(BASE) $(if $(ROW),--row $(ROW)) $(if $(BENCH_TIMES),--times $(BENCH_TIMES)) $(if $(SMALL),--small $(SMALL))
	go run golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION) bench-results/base.txt bench-results/head.txt
