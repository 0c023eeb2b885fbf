# The commands that people and CI call. Each makes the environment that it needs, inside the checkout.
PYTHON ?= python3
DEMO := .venvs/demo
TEST := .venvs/test

.PHONY: help demo test lint bench decoders probe-bench corpus pictures evaluate reference clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(DEMO)/.ready: pyproject.toml $(wildcard edge_ctc/*.py edge_ctc/*/*.py edge_ctc/exports/profiles/*.toml engines/*/*)
	@echo "installing edge-ctc into $(DEMO), about half a minute"
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts .
	touch $@

demo: $(DEMO)/.ready ## simulate a run, call it, show the top candidates, compare with the truth (no torch, no GPU)
	rm -rf demo
	mkdir demo
	$(DEMO)/bin/edge-ctc simulate demo/run --cells 400 --ctcs 12 --seed 7
	$(DEMO)/bin/edge-ctc classify-run demo/run
	$(DEMO)/bin/edge-ctc candidates demo/run --top 12 --truth demo/run.truth.csv

$(TEST)/.ready: pyproject.toml constraints.txt
	@echo "installing the trainer and the test tools into $(TEST), a few minutes"
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[trainer,dev]'
	touch $@

lint: $(TEST)/.ready ## style, types, layers
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	$(TEST)/bin/lint-imports

test: lint ## all checks and all tests, without root and without a GPU
	$(TEST)/bin/python -m pytest -rs

bench: $(TEST)/.ready ## the figures of docs/benchmarks.md
	$(TEST)/bin/python -m tests.benchmarks.walk

decoders: $(TEST)/.ready ## which image decoder, for docs/decoders.md
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(TEST)/bin/python -m tests.benchmarks.decoders

probe-bench: $(TEST)/.ready ## the probe on 100,000 files, for docs/benchmarks-probe.md
	$(TEST)/bin/python -m tests.benchmarks.probe

corpus: $(TEST)/.ready ## what is said of every bad file, for docs/corpus.md
	$(TEST)/bin/python -m tests.corpus

pictures: $(TEST)/.ready ## the pictures of docs/simulator.md but for the real cells, which need --jurkat FOLDER
	$(TEST)/bin/python -m tests.pictures.simulator

evaluate: $(TEST)/.ready ## the shipped checkpoints on unseen simulated patients, for docs/results.md
	$(TEST)/bin/python -m tests.benchmarks.reference

reference: $(TEST)/.ready ## make both shipped checkpoints again from their recipes
	rm -rf .cache/engines
	$(TEST)/bin/python -m trainer.reference --out .cache/engines
	rm -rf engines/reference engines/reference-bf
	mv .cache/engines/reference .cache/engines/reference-bf engines/

clean: ## remove the environments and the demo
	rm -rf .venvs demo
