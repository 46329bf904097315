# The verbs of this project. Each creates what it misses; `make` alone lists them.

PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin

# torch's default wheels for Linux need gigabytes of CUDA libraries, so there the index of its CPU builds is read besides PyPI:
# pip takes 2.13.0+cpu for newer than 2.13.0. With CUDA: `make TORCH_INDEX= demo`. Another torch: `make TORCH=torch==2.6.0 test`.
TORCH ?= torch==2.13.0
ifeq ($(shell uname -s),Linux)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif

PIP_INSTALL   = -m pip --disable-pip-version-check install --quiet --retries 1
INSTALL_TORCH = $(PIP_INSTALL) '$(TORCH)' numpy $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: help demo test lint types format parity bench interop clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.demo ## train a spiking network on handwritten digits, eagerly and compiled, and export it
	$(BIN)/norse demo

# Two workers share the cores, so OpenMP's threads sleep while they wait: spinning, they would slow each other many times.
test: lint types ## lint, types, doctests and tests
	OMP_WAIT_POLICY=passive $(BIN)/pytest -n 2

lint: $(VENV)/.dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy finds packages by their folders only, so it is shown compiler/ and backends/ where they install: inside norse/.
TYPES = build/types/norse

types: $(VENV)/.dev ## mypy
	@rm -rf $(TYPES) && mkdir -p $(TYPES)
	@ln -s $(CURDIR)/norse/* $(CURDIR)/compiler $(CURDIR)/backends $(TYPES)
	$(BIN)/mypy

# norse 1.1.0 has the import name of this project, so it lives in an environment of its own.
# --no-deps: what it needs here is torch, numpy and nir; its torchvision would bring a torch of its own.
PARITY        = .venv-norse-1.1
PARITY_PYTHON = $(CURDIR)/$(PARITY)/bin/python

parity: $(VENV)/.dev ## compare with norse 1.1.0, installed in an environment of its own
	@test -e $(PARITY)/.ready || $(MAKE) --no-print-directory $(PARITY)/.ready || \
	    echo 'make parity: norse 1.1.0 cannot be installed, its tests are skipped'
	@test ! -e $(PARITY)/.ready || export NORSE_1_1_PYTHON=$(PARITY_PYTHON); $(BIN)/pytest tests/parity tests/nir/test_published_norse.py -rs

$(PARITY)/.ready:
	$(PYTHON) -m venv $(PARITY)
	$(PARITY_PYTHON) $(INSTALL_TORCH) nir nirtorch
	$(PARITY_PYTHON) $(PIP_INSTALL) --no-deps norse==1.1.0
	touch $@

# The other libraries, each in an environment of its own with what benchmarks/requirements/ pins, and nothing else:
# what they'd bring besides (torchvision, say) would replace torch's CPU build. JAX needs no torch.
PEERS       = snntorch spikingjelly sinabs jax
PEERS_READY = $(PARITY)/.ready $(PEERS:%=.venv-%/.ready)

bench: $(VENV)/.dev ## compare the speed with other libraries', an hour; BENCH=--quick tries whether it runs
	@for ready in $(PEERS_READY); do test -e $$ready || $(MAKE) --no-print-directory $$ready || \
	    { rm -rf $${ready%/.ready}; echo "make bench: $${ready%/.ready} cannot be made, that library is left out"; }; done
	$(BIN)/python -m benchmarks run $(BENCH)

# Tools that read NIR: peers among them, and some more, pinned in the same folder.
CONSUMERS       = snntorch sinabs rockpool spyx nirtorch
CONSUMERS_READY = $(PARITY)/.ready $(CONSUMERS:%=.venv-%/.ready)

interop: $(VENV)/.dev ## give other tools our NIR files, read theirs, and write docs/interop.md
	@for ready in $(CONSUMERS_READY); do $(MAKE) --no-print-directory $$ready || \
	    { rm -rf $${ready%/.ready}; echo "make interop: $${ready%/.ready} cannot be made, that tool is left out"; }; done
	export NORSE_INTEROP=$(CURDIR); $(BIN)/python -m tests.interop && $(BIN)/pytest tests/interop -rs

.venv-%/.ready: benchmarks/requirements/%.txt
	$(PYTHON) -m venv .venv-$*
	$(if $(filter jax spyx,$*),,.venv-$*/bin/python $(INSTALL_TORCH))
	.venv-$*/bin/python $(PIP_INSTALL) --no-deps --requirement $<
	touch $@

clean: ## remove the environments and all that was built
	rm -rf $(VENV) $(PARITY) $(PEERS:%=.venv-%) $(CONSUMERS:%=.venv-%) build dist norse.egg-info .mypy_cache .ruff_cache .pytest_cache

# The environment, in two sizes. An empty file stands for each: installed, and no older than pyproject.toml.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "norse needs Python 3.11 or newer, $(PYTHON) is " + \
	    sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python $(INSTALL_TORCH)
	$(BIN)/python $(PIP_INSTALL) --editable '.[demo]'
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python $(INSTALL_TORCH)
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	touch $(VENV)/.demo $@
