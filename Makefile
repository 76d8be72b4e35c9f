# Each target does all its own set-up; nothing needs to be installed by hand.
#   make demo    play a shop's history through a real server   (ARGS=--once: end after the summary)
#   make test    the tests                                      (ARGS="tests/unit -k feature")
#   make check   formatting, lint, types, imports, dependencies, and no loss of speed
#   make bench   the benchmarks, into benchmarks/results.json  (ARGS="decide latency", ARGS=--quick)
#   make bench-peers  the same questions in Flink SQL, csp and DuckDB  (ARGS="csp --events 100000")
#   make bench-retrieval  how well knowledge is found, on public questions (ARGS=--development)
#   make bench-words  how well moods are told and personal data is found, on public data
#   make soak    thousands of random cases for the engine and the conditions, and all properties with
#                cases of chance; takes an hour
#   make sdk     build the browser SDK, where a source of it changed
#   make docs    write the reference of commands, errors and the browser SDK from the code
#   make lock    pin the newest packages that fit pyproject.toml

BIN := .venv/bin
ARGS ?=
# More than two processors' worth: tests of whole servers wait much of their time.
JOBS ?= 3

# Every test of a server starts processes that compile the sources anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench bench-peers bench-retrieval bench-words soak sdk docs lock setup servers data clean

help:
	@sed -n '2,13s/^#   //p' Makefile

setup:
	@PYTHON="$(PYTHON)" scripts/setup.sh

servers:
	@scripts/servers.sh

data: setup
	@scripts/data.sh

sdk: setup
	@scripts/sdk.sh

demo: setup sdk
	@$(BIN)/python -m examples.shop.demo $(ARGS)

test: setup servers data sdk
	$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	@scripts/sdk.sh check
	@$(BIN)/python -m benchmarks.guard

bench: setup
	@$(BIN)/python -m benchmarks $(ARGS)

bench-peers: setup
	@$(BIN)/python -m benchmarks.peers $(ARGS)

bench-retrieval: setup
	@scripts/retrieval.sh
	@$(BIN)/python -m benchmarks.retrieval $(ARGS)

bench-words: setup data
	@$(BIN)/python -m benchmarks.words

soak: setup servers data
	$(BIN)/pytest -n $(JOBS) -m "soak or hypothesis" --hypothesis-profile chance --timeout 7200 $(ARGS)

docs: setup sdk
	$(BIN)/python -m scripts.reference
	@scripts/sdk.sh docs

lock: setup
	$(BIN)/uv pip compile pyproject.toml --group dev --extra agents --extra embeddings --extra mcp --extra models --extra parquet --extra presidio --universal --python-version 3.11 \
		--generate-hashes --no-emit-package forestall --no-emit-index-url --no-annotate --no-header \
		--upgrade --quiet --output-file constraints/dev.txt

clean:
	rm -f src/forestall/*/typed.*.so
	rm -rf sdk/node_modules sdk/dist sdk/.lock src/forestall/ingest/sdk
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-summary.json
