# The only entry points: what a person types, continuous integration types too.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test check bench campaign openapi fuzz-api fuzz

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

run: ## serve the sandbox on 127.0.0.1:8080, with a database and a Stripe look-alike of its own
	@echo 'Building (minutes the first time, seconds after that) …'
	@cargo build --bin counterfoil
	@cargo run --quiet --bin counterfoil -- sandbox

test: ## run every test; they start a database of their own, which is stopped and removed at the end
	@trap 'cargo run --quiet --package cluster --bin test-cluster -- stop' EXIT; \
	cargo test --workspace --no-fail-fast

check: ## formatting, lints, the arrows between the parts of the house, and docs/openapi.json
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@# The standard library is all it needs, so it need not wait for the workspace to be built.
	@program=$$(mktemp) && trap 'rm -f "$$program"' EXIT; \
	CARGO_MANIFEST_DIR='$(CURDIR)' rustc --edition 2024 --test tests/architecture.rs -o "$$program" && "$$program" --quiet
	@cargo run --quiet --bin counterfoil -- openapi | diff -q docs/openapi.json - > /dev/null \
		|| { echo 'docs/openapi.json is out of step with what is served: run `make openapi`, and commit it'; exit 1; }

campaign: ## kill, stop, cut off and fill up everything, for hours; CAMPAIGN=<name> for one, CF_SEED to repeat it (docs/campaigns.md)
	@trap 'cargo run --quiet --package cluster --bin test-cluster -- stop' EXIT; bash tests/campaign/run.sh

fuzz-api: ## draw requests from the description for as long as it takes; FUZZ_EXAMPLES an operation, FUZZ_SEED to repeat a run
	@trap 'cargo run --quiet --package cluster --bin test-cluster -- stop' EXIT; \
	FUZZ_EXAMPLES="$${FUZZ_EXAMPLES:-200}" cargo test --test sdks description:: -- --nocapture

fuzz: ## fuzz what reads from outside with libFuzzer (a nightly toolchain and cargo-fuzz); PARSER for one of them, FUZZ_SECONDS
	@mkdir -p fuzz/corpus/parser
	cargo +nightly fuzz run parser fuzz/corpus/parser fuzz/seeds -- \
		-dict=fuzz/words.dict -max_len=65536 -timeout=10 -rss_limit_mb=1024 -max_total_time="$${FUZZ_SECONDS:-60}"

openapi: ## write docs/openapi.json anew, from what each door says of itself
	@cargo run --quiet --bin counterfoil -- openapi > docs/openapi.json.new && mv docs/openapi.json.new docs/openapi.json

bench: ## print the figures, each beside what it is compared with
	cargo bench --bench figures
