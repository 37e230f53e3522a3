# make demo   predict a water hexamer and a box of 64 waters, write cubes and a picture;
#             make demo MOLECULE="CC(=O)O" (or a file): an organic molecule, with DFT beside it
# make test   the whole test suite
# make docs   the documentation as a site, in docs-output
#
# Each makes its own virtual environment in .venv, with the versions of constraints.txt.
# PyTorch from PyPI brings CUDA on Linux. For its CPU build name an index that has it (the
# one that pytorch.org's installation page shows for "CPU"):
#
#     make demo TORCH_INDEX=<address>
#
# PYTHON chooses the interpreter (3.10 or newer), VENV the folder.

MOLECULE ?=
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

.PHONY: demo test docs lint clean

demo: $(VENV)/.demo
	$(bin)/python $(if $(MOLECULE),examples/molecule.py "$(MOLECULE)",examples/demo.py)

test: lint
	$(TEST_ENVIRONMENT) $(bin)/python -m pytest $(PYTEST_OPTIONS)

docs: $(VENV)/.dev
	$(TEST_ENVIRONMENT) $(bin)/python -m sphinx -W --keep-going -q docs docs-output
	@echo docs-output/index.html

lint: $(VENV)/.dev
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy

$(VENV)/.torch: $(sources)
	$(PYTHON) -m venv $(VENV)
	$(bin)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	touch $@

$(VENV)/.demo: $(VENV)/.torch
	$(bin)/pip install --quiet --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.dev: $(VENV)/.torch
	$(bin)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo-output molecule-output docs-output docs/api
