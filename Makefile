# The commands of INOS, `make help` lists them. Each is a script in tools/ that can be run by itself.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

VERSION := $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X github.com/inos-mesh/inos/host.version=$(VERSION)

# What kernel.wasm and storage.wasm are made of; a file that has gone must not stop make, hence the wildcard.
KERNEL_SOURCES := $(wildcard *.go) $(shell find event kernel -name '*.go' ! -name '*_test.go' 2>/dev/null) go.mod tools/build-kernel
STORAGE_SOURCES := $(shell find modules -path modules/target -prune -o \( -name '*.rs' -o -name 'Cargo.*' -o -name '*.toml' \) -print 2>/dev/null) tools/build-modules

.PHONY: help setup build inos up demo test bench sim bugs mutants gen lint fuzz joins soak clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS=$$'\t' read -r name what; do printf '  make %-7s %s\n' "$$name" "$$what"; done

setup: ## find or install what the build and the tests need (idempotent)
	@tools/setup

build: build/kernel.wasm build/storage.wasm inos ## build kernel.wasm, storage.wasm and bin/inos, only what changed

build/kernel.wasm: $(KERNEL_SOURCES)
	@tools/build-kernel
	@touch $@

build/storage.wasm: $(STORAGE_SOURCES)
	@tools/build-modules
	@touch $@

# Go knows by itself what changed; the command costs half a second when nothing did.
inos: build/kernel.wasm build/storage.wasm
	@CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/inos ./cmd/inos
	@echo "bin/inos $(VERSION)"

up: setup build ## set up, build and start a mesh on embedded defaults (UP="--listen :8080" passes flags)
	@exec bin/inos up $(UP)

demo: setup build ## the whole story, unattended: put 2 GB, kill two providers, get it back, repair, rebuild (DEMO_BYTES=… for another size)
	@tools/demo

test: ## everything that has to hold, with each runner's counts at the end
	@tools/test

bench: setup build ## the benchmarks, each with its ratio to a limit measured in the same run (BENCH=regexp selects)
	@tools/bench

sim: ## run worlds of the simulated mesh until SEEDS=… are spent (10,000 by default); FIRST=… names the first seed
	@tools/sim/run "$${SEEDS:-10000}" "$${FIRST:-0}"

bugs: ## plant each bug of sim/bugs in the kernel and count the worlds until one notices (BUGS="name …" selects)
	@go run ./tools/sim bugs $(BUGS)

mutants: ## run worlds on mutants of the kernel and list those that nobody notices (MUTANTS=…, 100 by default)
	@go run ./tools/sim mutants -count "$${MUTANTS:-100}"

gen: ## write the generated files that are committed: eventpb, its Rust twin, the error catalogue
	@tools/gen

lint: ## go vet, staticcheck, gofumpt, clippy, rustfmt, shellcheck
	@tools/lint

fuzz: ## fuzz every decoder (FUZZ_SECONDS=… each, 60 by default)
	@tools/fuzz "$${FUZZ_SECONDS:-60}s"

joins: ## the long proof that stored chunks join into one Brotli stream (JOINS=… chunks, 1,000,000 by default)
	@tools/joins/run $${JOINS:-1000000}

soak: setup build ## an hour of mixed load and random faults: memory, files and goroutines stay flat, latencies are printed (SOAK_SECONDS=…)
	@INOS_REAL_SOAK="$${SOAK_SECONDS:-3600}" go test ./cmd/inos -count=1 -v -timeout 24h -run '^TestRealMix$$'

clean: ## remove what the build made; data folders are left alone
	@rm -rf bin build/kernel.wasm build/storage.wasm build/tools modules/target
