# The commands that people and CI call. Each makes the environment that it needs, inside the checkout.
PYTHON ?= python3
DEMO := .venvs/demo
TEST := .venvs/test
COLLECT := .venvs/wheelhouse
OFFLINE := .venvs/offline
# Which runtime for the NVIDIA card the wheelhouse is for, tensorrt-rtx or tensorrt, and where it is put.
EXTRA := tensorrt-rtx
WHEELHOUSE := wheelhouse

.PHONY: help demo test search test-system soak stand-ins lint bench daemon-bench decoders probe-bench corpus pictures evaluate jurkat trials loader-bench reference wheelhouse wheelhouse-hashes wheelhouse-check gpu-accept clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

$(DEMO)/.ready: pyproject.toml $(wildcard edge_ctc/*.py edge_ctc/*/*.py edge_ctc/exports/profiles/*.toml engines/*/*)
	@echo "installing edge-ctc into $(DEMO), about half a minute"
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts .
	touch $@

demo: $(DEMO)/.ready ## simulate a run, call it, list the top candidates, compare with the truth, draw the gallery (no torch, no GPU)
	rm -rf demo
	mkdir demo
	$(DEMO)/bin/edge-ctc simulate demo/run --cells 400 --ctcs 12 --seed 7
	$(DEMO)/bin/edge-ctc classify-run demo/run
	$(DEMO)/bin/edge-ctc candidates demo/run --top 12 --truth demo/run.truth.csv
	$(DEMO)/bin/edge-ctc report demo/run

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

stand-ins: $(TEST)/.ready ## what lets PyCUDA and TensorRT run without a GPU; two minutes the first time, needs gcc and g++
	$(TEST)/bin/python -m tests.stand_ins

test: lint stand-ins ## all checks and all tests, without root and without a GPU
	$(TEST)/bin/python -m pytest -rs --numprocesses auto --dist loadfile --ignore tests/gpu --ignore tests/browser
	$(TEST)/bin/python -m pytest -rs tests/gpu # alone: they count what the whole process holds on the card

search: stand-ins ## the property tests with examples that no run has tried
	HYPOTHESIS_PROFILE=default $(TEST)/bin/python -m pytest -rs --numprocesses auto --dist loadfile --ignore tests/gpu --ignore tests/browser

test-system: $(TEST)/.ready ## the daemon under real faults and the gallery in a real browser: needs root, installs what is missing with apt, fails where a tool lacks
	$(TEST)/bin/python -m tests.system.tools
	EDGE_CTC_SYSTEM=1 $(TEST)/bin/python -m pytest -rs --numprocesses 3 --dist loadfile tests/system # apart: seconds are promised there, and a browser takes all cores
	EDGE_CTC_SYSTEM=1 $(TEST)/bin/python -m pytest -rs --numprocesses 3 --dist loadfile tests/browser

soak: $(TEST)/.ready ## hours of the same faults, and real SMB and NFS, for docs/soak.md; needs root
	$(TEST)/bin/python -m tests.system.tools
	$(TEST)/bin/python -m tests.system.soak
	$(TEST)/bin/python -m tests.system.soak_shares

daemon-bench: $(TEST)/.ready ## latency, idle cost and memory of the daemon, for docs/benchmarks-daemon.md
	$(TEST)/bin/python -m tests.benchmarks.daemon

bench: $(TEST)/.ready ## the figures of docs/benchmarks.md
	$(TEST)/bin/python -m tests.benchmarks.walk

decoders: $(TEST)/.ready ## which image decoder, for docs/decoders.md
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(TEST)/bin/python -m tests.benchmarks.decoders

probe-bench: $(TEST)/.ready ## the probe on 100,000 files, for docs/benchmarks-probe.md
	$(TEST)/bin/python -m tests.benchmarks.probe

corpus: $(TEST)/.ready ## what is said of every bad file, for docs/corpus.md
	$(TEST)/bin/python -m tests.corpus

pictures: $(TEST)/.ready ## the pictures of docs/simulator.md (but for the real cells, which need --jurkat FOLDER), docs/augmentation.md and, with Chromium, docs/gallery.md
	$(TEST)/bin/python -m tests.pictures.simulator
	$(TEST)/bin/python -m tests.pictures.augmentation
	$(TEST)/bin/python -m tests.pictures.gallery

evaluate: $(TEST)/.ready ## the shipped checkpoints on unseen simulated patients, for docs/results.md
	$(TEST)/bin/python -m tests.benchmarks.reference

# DATA holds cells.npz of the Jurkat cells, START is a state dict of a ResNet-18 of torchvision's width.
jurkat: $(TEST)/.ready ## the ablations on real cells, for docs/results.md: make jurkat DATA=FOLDER START=FILE; about an hour
	rm -rf .cache/jurkat
	$(TEST)/bin/python -m trainer.trials.jurkat --data $(DATA) --out .cache/jurkat/cells
	$(TEST)/bin/python -m trainer ablate --table trainer/recipes/jurkat-few.toml --runs .cache/jurkat/cells/runs --labels .cache/jurkat/cells/labels-few.csv --profile trainer/recipes/jurkat-profile.toml --start $(START) --jobs 2 --out .cache/jurkat/few
	$(TEST)/bin/python -m trainer ablate --table trainer/recipes/jurkat-full.toml --runs .cache/jurkat/cells/runs --labels .cache/jurkat/cells/labels.csv --profile trainer/recipes/jurkat-profile.toml --start $(START) --jobs 2 --out .cache/jurkat/full

trials: $(TEST)/.ready ## promise, rare CTCs and another instrument on simulated patients, for docs/results.md: make trials START=FILE; about half an hour
	$(TEST)/bin/python -m trainer.trials.promise --out .cache/trials/promise
	$(TEST)/bin/python -m trainer.trials.rare --out .cache/trials/rare
	$(TEST)/bin/python -m trainer.trials.shift --start $(START) --out .cache/trials/shift

loader-bench: $(TEST)/.ready ## whether augmentation keeps the network waiting, for docs/results.md
	$(TEST)/bin/python -m tests.benchmarks.trainer_loader

reference: $(TEST)/.ready ## make both shipped checkpoints again from their recipes
	rm -rf .cache/engines
	$(TEST)/bin/python -m trainer.reference --out .cache/engines
	rm -rf engines/reference engines/reference-bf
	mv .cache/engines/reference .cache/engines/reference-bf engines/

# CURAND off: with it PyCUDA would ask the other machine for CUDA's own libraries, not only for the driver's.
$(COLLECT)/.ready:
	@echo "building PyCUDA, about two minutes (needs nvcc and a C++ compiler)"
	rm -rf $(COLLECT)
	mkdir -p $(COLLECT)/source
	nvcc --dryrun -x cu /dev/null 2>&1 | sed -n "s/^#\$$ TOP=\(.*\)/CUDA_ROOT = '\1'/p" > $(COLLECT)/source/siteconf.py
	@test -s $(COLLECT)/source/siteconf.py || { echo "no nvcc on PATH: docs/install.md says what this machine needs"; exit 1; }
	echo "CUDA_ENABLE_CURAND = False" >> $(COLLECT)/source/siteconf.py
	$(PYTHON) -m venv $(COLLECT)
	$(COLLECT)/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary pycuda --dest $(COLLECT) 'pycuda>=2024.1'
	tar -xzf $(COLLECT)/pycuda-*.tar.gz -C $(COLLECT)/source --strip-components=1
	$(COLLECT)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(COLLECT)/wheel $(COLLECT)/source || { echo "PyCUDA does not compile; where the log says 'cannot find -lcuda', docs/install.md says what to do"; exit 1; }
	touch $@

# Make stops at a misspelt extra: pip would leave it out and collect the rest without a word.
ifeq ($(filter $(EXTRA),tensorrt tensorrt-rtx),)
$(error EXTRA is $(EXTRA): expected tensorrt or tensorrt-rtx)
endif

wheelhouse: $(COLLECT)/.ready ## every wheel for a PC without internet and compiler, with hashes, for docs/install.md
	rm -rf $(WHEELHOUSE)
	$(COLLECT)/bin/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir $(WHEELHOUSE) '.[$(EXTRA)]' $(COLLECT)/wheel/*.whl
	$(MAKE) --no-print-directory wheelhouse-hashes PYTHON=$(COLLECT)/bin/python

wheelhouse-hashes:
	$(PYTHON) -c 'import sys; print("# edge-ctc[$(EXTRA)] for Python %d.%d" % sys.version_info[:2])' > $(WHEELHOUSE)/requirements.txt
	echo "# on Linux $$(uname -m) with $$(getconf GNU_LIBC_VERSION) or newer" >> $(WHEELHOUSE)/requirements.txt
	cd $(WHEELHOUSE) && sha256sum *.whl | sed -E 's/^([0-9a-f]+) .([^-]+)-([^-]+)-.*/\2==\3 --hash=sha256:\1/' >> requirements.txt
	cd $(WHEELHOUSE) && sha256sum *.whl requirements.txt > SHA256SUMS
	@head -n 2 $(WHEELHOUSE)/requirements.txt
	@echo "note this hash and compare it on the other machine:"
	@sha256sum $(WHEELHOUSE)/SHA256SUMS

wheelhouse-check: ## install from the wheelhouse alone, with nothing else on PATH, and call a run with it
	rm -rf $(OFFLINE)
	@test -d $(WHEELHOUSE) || { echo "$(WHEELHOUSE): not there; make wheelhouse first"; exit 1; }
	cd $(WHEELHOUSE) && sha256sum --check --quiet SHA256SUMS
	$(PYTHON) -m venv $(OFFLINE)
	cd $(WHEELHOUSE) && env -i HOME=$(abspath $(OFFLINE)) PATH=$(abspath $(OFFLINE))/bin PIP_CONFIG_FILE=/dev/null \
		pip install --quiet --disable-pip-version-check --no-index --find-links . --require-hashes -r requirements.txt
	cd $(OFFLINE) && env -i PATH=$(abspath $(OFFLINE))/bin python -c 'import pycuda, $(subst -,_,$(EXTRA))'
	cd $(OFFLINE) && env -i PATH=$(abspath $(OFFLINE))/bin edge-ctc --version
	cd $(OFFLINE) && env -i PATH=$(abspath $(OFFLINE))/bin edge-ctc simulate run --cells 100 --ctcs 4 --seed 7
	cd $(OFFLINE) && env -i PATH=$(abspath $(OFFLINE))/bin edge-ctc classify-run run

gpu-accept: $(TEST)/.ready ## the acceptance on a GPU: a report into docs/gpu; ends with 2 where parts did not run
	$(TEST)/bin/python -m tests.gpu.accept --out docs/gpu

clean: ## remove the environments, the demo and the wheelhouse
	rm -rf .venvs demo $(WHEELHOUSE)
