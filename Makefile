# The commands of a working day; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help install-deps build test proof demo lint bench gate
SHELL := /bin/bash

# rustup puts cargo there; a CI job may not have it in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
# `make test ARGS="-E 'test(plan)'"` passes more to the tool.
ARGS ?=

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install-deps: ## Install what building, testing and checking need and this machine lacks
	@scripts/install-deps lint

build: ## Build snapward for use (target/release/snapward)
	@scripts/install-deps run
	cargo build --locked --release

test: ## Install what is missing, build, run all tests
	@scripts/install-deps test
	cargo nextest run --locked $(ARGS)

proof: ## Run the proofs at full size, for an hour or more, and write what they counted to docs/proof/
	@scripts/install-deps test
	@scripts/proof $(ARGS)

demo: ## See snapward at work on a throwaway domain
	@scripts/install-deps run
	cargo build --locked
	@scripts/demo

lint: ## Check format, lints and dependencies
	@scripts/install-deps lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	scripts/deny

bench: ## Measure everything that has a goal beside the least it takes, and print the table; ten minutes with the build
	@scripts/install-deps bench
	cargo build --locked --release --workspace
	@rm -f $${CARGO_TARGET_DIR:-target}/bench/{results,samples}.tsv
	@benches/startup
	@benches/list
	@benches/warm-poll
	@benches/agent-idle
	@benches/capture
	@benches/cold-read
	@$${CARGO_TARGET_DIR:-target}/release/pure
	@benches/table

gate: ## Count instructions and allocations of the pure parts, and compare with benches/gate.tsv
	@scripts/install-deps lint
	@benches/gate
