# Every target sets up what it needs (scripts/setup.sh); `make run` is the way in.
.PHONY: run build test lint bench fuzz web
.DEFAULT_GOAL := build

WEB := apps/mobile/dist/build/h5/index.html
WEB_SOURCES := $(shell find apps/mobile apps/shared -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)
# Seconds for each fuzz target.
FUZZ_SECONDS ?= 60

## run: a server with two virtual cameras; prints the page to open. ARGS adds options, e.g. ARGS=--tls
run: web
	cargo run --release --bin fluorite -- serve --trial $(ARGS)

## build: the binaries, front end included
build: web
	cargo build --release --workspace --bins

web: $(WEB)
$(WEB): $(WEB_SOURCES)
	@scripts/setup.sh run
	cd apps/mobile && npm run --silent build:h5
	@touch $@

## test: everything, against real players, cameras and browsers
test: web
	@scripts/setup.sh test
	cd apps/mobile && npm test --silent
	cargo test --workspace --no-fail-fast

## lint: format, clippy, front end
lint:
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cd apps/mobile && npm run --silent lint
	cd e2e/browser && npm run --silent lint

## bench: beside a floor and a peer; writes docs/benchmarks.md. ARGS=--quick for a minute's look
bench: web
	@scripts/setup.sh bench
	cargo build --release --bin fluorite --bin fluorite-camera
	cargo run --release -p fluorite-bench -- $(ARGS)

## fuzz: each target for FUZZ_SECONDS
fuzz:
	@scripts/setup.sh fuzz
	cd fuzz && for target in $$(RUSTC_BOOTSTRAP=1 cargo fuzz list); do \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run -s none $$target -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 -timeout=1 || exit 1; \
	done
