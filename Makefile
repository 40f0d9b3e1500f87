PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LICL := --composition LiCl --n-atoms 32 --volume-per-atom-A3 27 --calculator chgnet
# Environments of calculators that cannot share this one are made here and not for the user.
export MLMD_CACHE := $(CURDIR)/$(VENV)/cache
# torch by itself and first: a range would let pip take another build of it.
TORCH := $(shell grep -E '^torch==' constraints.txt)

.PHONY: demo test test-long test-kernels lint examples wheel-check benchmarks clean

demo: $(VENV)/.demo-ready  ## molten LiCl with CHGNet: D_Li at three temperatures and E_a
	$(BIN)/mlmd run quickstart $(LICL) --out runs/demo
	$(BIN)/mlmd analyze runs/demo --plot runs/demo/plots

test: $(VENV)/.test-ready  ## what is quick: most tests, at most ten minutes on two cores
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-long: $(VENV)/.test-ready  ## what is slow: long dynamics, kills at every place, real programs
	$(BIN)/python -m pytest -n 2 -m slow

test-kernels: $(VENV)/.test-ready  ## what depends on the last bit, under several processor kernels
	.ci/test-kernels $(BIN)/python

lint: $(VENV)/.test-ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

examples: $(VENV)/.test-ready  ## every example in smoke mode, two at a time
	printf '%s\n' examples/*.py | xargs -P 2 -I FILE sh -c 'folder=$$(mktemp -d); \
	  $(BIN)/python FILE --smoke --out $$folder/run || { echo "FILE failed"; exit 1; }; \
	  echo "== FILE runs"; rm -rf $$folder'

wheel-check:  ## build the wheel, install it in a clean environment, run from there
	PYTHON=$(PYTHON) bash .ci/wheel-check

benchmarks: $(VENV)/.test-ready  ## every number of benchmarks/README.md, measured again
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file; done

$(VENV)/.demo-ready: constraints.txt setup.cfg
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$(TORCH)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[chgnet]"
	touch $@

$(VENV)/.test-ready: $(VENV)/.demo-ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[campaign,chgnet,kinisi,m3gnet,model,sevennet,dev]"
	$(BIN)/mlmd calculators install mace
	touch $@

clean:  ## the environment and what tools leave behind; never runs/
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
