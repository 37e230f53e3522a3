# make demo   predict a water hexamer and a box of 64 waters, write cubes and a picture
# make test   the whole test suite
#
# Both make their own virtual environment in .venv, with the versions of constraints.txt.
# PyTorch from PyPI brings CUDA on Linux. For its CPU build name an index that has it (the
# one that pytorch.org's installation page shows for "CPU"):
#
#     make demo TORCH_INDEX=<address>
#
# PYTHON chooses the interpreter (3.10 or newer), VENV the folder.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
# two processes; the tests of a file stay together, since they share what is dear to make
PYTEST_OPTIONS ?= --numprocesses 2 --dist loadfile

# tests run on few threads: OpenMP threads of several libraries fight for the cores
TEST_ENVIRONMENT = OMP_NUM_THREADS=1

bin = $(VENV)/bin
sources = pyproject.toml constraints.txt

.PHONY: demo test lint clean

demo: $(VENV)/.demo
	$(bin)/python examples/demo.py

test: lint
	$(TEST_ENVIRONMENT) $(bin)/python -m pytest $(PYTEST_OPTIONS)

lint: $(VENV)/.dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

$(VENV)/.torch: $(sources)
	$(PYTHON) -m venv $(VENV)
	$(bin)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	touch $@

$(VENV)/.demo: $(VENV)/.torch
	$(bin)/pip install --quiet --constraint constraints.txt --editable ".[pyscf,view]"
	touch $@

$(VENV)/.dev: $(VENV)/.torch
	$(bin)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo-output
