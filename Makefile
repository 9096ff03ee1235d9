# What this needs: Go, git, make, and a C compiler (for the race detector).
# Everything else is a Go module and is fetched by Go. Run `make` for the list.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DEFAULT_GOAL := help

# The modules. The root is the library; the others keep what they require away
# from its users. That in integration/apimode has the adapters on a PD that changes its mode;
# those in integration/beside are programs that use client-go as well, those
# in integration/clientgo test its transactions, one for each era of client-go, and those
# below pdcompat are published as the root is. Some of these have newer.mod beside go.mod, with
# the newest of PD's client that they are tested with instead of the oldest.
BESIDE := $(wildcard integration/beside/*)
CLIENTGO := $(wildcard integration/clientgo/*)
PDCOMPAT := $(patsubst %/go.mod,%,$(wildcard pdcompat/*/go.mod pdcompat/*/*/go.mod))
NESTED := bench integration integration/apimode $(BESIDE) $(CLIENTGO) $(PDCOMPAT) internal/release
# Where programs for 386 run.
TEST_386 := $(if $(filter linux/amd64,$(shell go env GOHOSTOS)/$(shell go env GOHOSTARCH)),test-386)
TARGETS := $(shell grep -ho 'func Fuzz[A-Za-z]*' internal/fuzz/*_test.go | cut -c6-)

# Settings of single targets; the defaults of `make demo` are its own.
PD ?=
DC ?=
CALLERS ?=
DURATION ?=
FUZZTIME ?= 30s
COUNT ?= 5
ONLY ?=
RESULTS ?=
ROUNDS ?= 5
SLICE ?= 1s
BENCH ?= .
SEED ?=
SEEDS ?= 10000
START ?= 1
TRIES ?= 1
CALLS ?= 1000000
VERSION ?=
export PD DC CALLERS DURATION

# What runs tests says first what it does and about how long that takes on two cores (no
# commas in that), and then, while it has nothing to show, how far it is.
SAY = @echo "== $(1)"
SHOW := $(CURDIR)/.bin/progress

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-14s %s\n", $$1, $$2 }'

.PHONY: demo
demo: ## Fetch timestamps and show it: PD=host:port DC=name CALLERS=64 DURATION=10s (default: an embedded server)
	@cd bench && go build -o ../.bin/tso-bench ./cmd/tso-bench
	@exec .bin/tso-bench

.PHONY: test
test: vet test-library $(TEST_386) test-simulate test-alloc test-adapters test-beside test-packed test-clientgo test-nested ## Run all tests: race detector on, real PD processes included

# Vet also finds what a Go older than this one lacks: its check stdversion knows from
# go.mod which Go the library promises to build with.
.PHONY: vet
vet:
	$(call SAY,vet of all modules: 1 minute (4 at first))
	go vet ./...
	go vet -tags tsoinvariants .
	GOARCH=386 go vet ./...
	for m in $(NESTED); do (cd $$m && for mod in *.mod; do echo "$$m $$mod"; go vet -modfile=$$mod ./...; done); done

$(SHOW): internal/cmd/progress/main.go internal/cmd/progress/report.go
	go build -o $@ ./internal/cmd/progress

.PHONY: test-library
test-library: $(SHOW) ## Test the library alone, with the race detector
	$(call SAY,the library with the race detector: 5 minutes)
	go test -json -race -shuffle=on -timeout 15m ./... | $(SHOW)
	go test -json -race -tags tsoinvariants -timeout 10m -run 'Wait|Stress|Reverse' . | $(SHOW)

# There is no race detector for 32 bits.
.PHONY: test-386
test-386: $(SHOW) ## Test the library alone, compiled for a 32-bit processor
	$(call SAY,the library on 386: 2 minutes)
	GOARCH=386 go test -json -timeout 15m ./... | $(SHOW)

# The race detector allocates, so these run without it.
.PHONY: test-alloc
test-alloc: $(SHOW) ## Check that calls allocate nothing
	$(call SAY,allocations: half a minute)
	go test -json -count=1 -run 'Allocate|Allocs|Allocation|PileUp' . ./ring ./batch ./internal/... | $(SHOW)

.PHONY: inline
inline: ## Check that the compiler inlines the hot functions
	go test -count=1 ./internal/inline

.PHONY: contention
contention: ## Show which locks 512 callers wait for: none of them ours
	go test -count=1 -v -run Contention .

.PHONY: test-nested
test-nested: $(SHOW) ## Test the load generator, and the library against real PD processes
	$(call SAY,the load generator: 1 minute (PD is built before it: 2 at first))
	cd bench && go test -json -race -timeout 5m ./... | $(SHOW)
	$(call SAY,the library against real PD processes: 7 minutes)
	cd integration && go test -json -race -timeout 10m -p 1 ./... | $(SHOW)
	$(call SAY,the adapter while PD changes to API mode and back: 1 minute)
	cd integration/apimode && go test -json -race -timeout 5m -parallel 5 ./... | $(SHOW)

# Tests wait for PD's own client, which takes seconds to begin, so many run at once.
.PHONY: test-adapters
test-adapters: $(SHOW) ## Test the adapters to PD's own client, of each era
	$(call SAY,the adapters: half a minute (2 minutes at first))
	for m in $(filter-out %/txn,$(PDCOMPAT)); do (cd $$m && for mod in *.mod; do \
	  go test -modfile=$$mod -json -race -parallel 16 -timeout 10m ./... | $(SHOW); done); done

# Without the race detector, with which client-go takes minutes to build.
.PHONY: test-beside
test-beside: $(SHOW) ## Test that programs can use this client beside client-go, of two eras
	$(call SAY,beside client-go: 10 seconds (2 minutes at first))
	for m in $(BESIDE); do (cd $$m && go test -json -count=1 ./... | $(SHOW)); done

# Without the race detector, like those.
.PHONY: test-clientgo
test-clientgo: $(SHOW) ## Test client-go's oracle and transactions on real PD processes, over both clients
	$(call SAY,client-go on real PD processes: 1 minute (PD and client-go are built before it: 4 at first))
	for m in $(CLIENTGO) $(filter %/txn,$(PDCOMPAT)); do (cd $$m && go test -json -count=1 -timeout 5m -p 1 ./... | $(SHOW)); done

# It packs what is committed. What it packs stays in go's cache of modules, a version a commit.
.PHONY: test-packed
test-packed: $(SHOW) ## Test the published modules of this commit as users get them: programs made in empty folders
	$(call SAY,the packed modules: 1 minute (4 at first))
	cd internal/release && go test -json -count=1 -timeout 10m ./... | $(SHOW)

.PHONY: modproxy
modproxy: ## Pack the published modules of this commit for GOPROXY=file://, into .bin/modproxy: VERSION=v0.1.0 (default: the commit's)
	@cd internal/release && go run . -out '$(CURDIR)/.bin/modproxy' -version '$(VERSION)'

.PHONY: require
require: ## Have all modules here require the published ones in a version, which a release begins with: VERSION=v0.1.0
	@cd internal/release && go run . -require '$(VERSION)'

# Without the race detector: it makes a seed ten times as long, and TestSimulate in
# test-library runs some with it.
.PHONY: test-simulate
test-simulate: $(SHOW) ## Run the simulation of faults in fake time with 2000 seeds
	$(call SAY,the simulation: 3 minutes)
	go test -json -count=1 -timeout 10m -run '^TestSimulate$$' . -simulate.seeds 2000 | $(SHOW)

.PHONY: simulate
simulate: ## Run the simulation with SEEDS=10000 START=1, or SEED=n TRIES=1 to replay one that failed
ifeq ($(SEED),)
	go test -count=1 -timeout 0 -run '^TestSimulate$$' -simulate.seeds $(SEEDS) -simulate.start $(START) -simulate.tries $(TRIES)
else
	go test -count=1 -timeout 0 -v -run '^TestSimulate$$' -simulate.seeds 1 -simulate.start $(SEED) -simulate.tries $(TRIES)
endif

.PHONY: busy-order
busy-order: ## Check the order of a million calls in a process that is busy now and then, and again over TLS: CALLS=1000000
	cd integration && go test -count=1 -timeout 0 -v -run '^TestBusyProcess' . -busy.calls $(CALLS)

.PHONY: stress
stress: ## Repeat the concurrent tests under the race detector: COUNT=5
	for procs in 1 2 4 8; do \
	  go test -race -count=$(COUNT) -cpu $$procs -run 'Stress|Once|Race|Winner|Abandon|Close|Order|Lost|Wakes' . ./ring ./batch ./internal/wheel ./internal/yieldconn ; \
	done

.PHONY: soak
soak: ## Hurt a real PD cluster at random under 2,000 callers: DURATION=20m SEED=n CALLERS=n
	@cd integration && go build -o ../.bin/tso-soak ./cmd/tso-soak
	@exec .bin/tso-soak $(if $(DURATION),--duration=$(DURATION)) $(if $(SEED),--seed=$(SEED)) $(if $(CALLERS),--callers=$(CALLERS))

.PHONY: fuzz
fuzz: ## Run each fuzz target: FUZZTIME=30s
	for target in $(TARGETS); do \
	  echo "$$target" ; go test ./internal/fuzz -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ; \
	done

.PHONY: bench
bench: ## Measure beside PD's own client, interleaved, on real PD processes: the short set: ROUNDS=5
	cd bench && go run ./cmd/tso-compare --rounds $(ROUNDS)

.PHONY: bench-busy
bench-busy: ## Measure in a process that has more work than processors, beside PD's own client: ROUNDS=5
	cd bench && go run ./cmd/tso-compare --set long --only '^(busy|tasks|paced|far-busy)/' --impls tso,upstream,nobody --rounds $(ROUNDS)

.PHONY: bench-adapter
bench-adapter: ## Measure what the adapter to PD's client costs, and gains: ROUNDS=31 for a small difference
	cd bench && go run ./cmd/tso-compare --set long --only '^adapter/' --rounds $(ROUNDS) --duration 500ms

.PHONY: bench-report
bench-report: ## Measure everything, and write a page with pictures to bench/results/: ROUNDS=5 SLICE=1s
	cd bench && go run ./cmd/tso-compare --set long --rounds $(ROUNDS) --duration $(SLICE) --out results/$$(date -u +%Y-%m-%d)

.PHONY: bench-go
bench-go: ## The same scenarios as Go benchmarks, for benchstat: BENCH='^closed$$' COUNT=5
	cd bench && go test -run '^$$' -bench '$(BENCH)' -benchtime 200ms -count $(COUNT) -timeout 1h .

.PHONY: bench-parts
bench-parts: ## Benchmark the ring and the wheel beside what the standard library has
	go test -run '^$$' -bench . ./ring ./internal/wheel

.PHONY: faults
faults: ## Break real PD clusters, with PD's own client beside ours: ONLY='frozen,clients,watches', and RESULTS=integration/results keeps the tables
	cd integration && go run ./cmd/tso-faults --only '$(ONLY)' $(if $(RESULTS),--results '$(abspath $(RESULTS))')

.PHONY: faults-txn
faults-txn: ## The same faults under client-go's transactions, over PD's own client and over ours: ONLY=, RESULTS=
	cd integration/clientgo/2026-04 && go run ./cmd/tso-faults-txn --only '$(ONLY)' $(if $(RESULTS),--results '$(abspath $(RESULTS))')

.PHONY: lint
lint: .bin/golangci-lint ## Run the analysers
	.bin/golangci-lint run ./...
	for m in $(NESTED); do (cd $$m && $(CURDIR)/.bin/golangci-lint run ./...); done

.bin/golangci-lint: internal/tools/go.mod internal/tools/go.sum
	cd internal/tools && go build -o ../../.bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: tidy-check
tidy-check: ## Check that go.mod and go.sum of all modules are tidy
	for m in . $(NESTED) integration/pdserver internal/tools; do (cd $$m && for mod in *.mod; do go mod tidy -diff -modfile=$$mod; done); done

.PHONY: check
check: lint tidy-check test ## The tests, and the analysers before them

.PHONY: cover
cover: ## Print the library's test coverage
	go test -coverpkg=./... -coverprofile=.bin/cover.out ./... >/dev/null
	go tool cover -func=.bin/cover.out | tail -n 1

.PHONY: clean
clean: ## Remove what the other targets built
	rm -rf .bin
