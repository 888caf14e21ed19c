# A fresh clone needs Python 3.11 to 3.13, make and the package index; `make demo` and `make test` do the rest.
# The environment is .venv: one that is already there is used. PYTHON=/path/to/python chooses the Python of a new one.

VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
export PYTHON

# pip prints a screenful of names that says nothing; what it complains about is shown.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo install test test-slow coverage lint docs bench-training bench-generation bench-data

help:
	@echo "make demo              install, fine-tune the built-in small model on a script, show what it writes"
	@echo "make test              install and run the tests (minutes)"
	@echo "make test-slow         the tests that take long or compare with other programs"
	@echo "make coverage          the tests of make test, and which lines and branches of the package they reach"
	@echo "make lint              style and types"
	@echo "make docs              the pages of docs/ as a site in docs/_build, every link checked"
	@echo "make bench-training    training speed and memory beside other tools"
	@echo "make bench-generation  generation speed beside other tools"
	@echo "make bench-data        encoding speed and memory"

install: $(VENV)/.installed

$(BIN)/python:
	@python=$$(sh .ci/find-python) && echo "Making $(VENV) with $$python" && "$$python" -m venv $(VENV)

# setup.cfg holds the dependencies: when it changes, they are installed again.
$(VENV)/.installed: setup.cfg | $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@echo "Installing gpt2simple and what it needs into $(VENV) (TensorFlow is large: this takes minutes once)"
	@$(PIP) install --editable '.[test]'
	@touch $@

demo: install
	@$(BIN)/python examples/demo.py

test: install
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not reference"

test-slow: install
	$(BIN)/python -m pytest -m "slow or reference"

coverage: install
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not reference"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: install
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

# Its packages are asked for only here: no test in `make test` and no part of the package needs them.
docs: install
	@$(BIN)/python -c "import sphinx, furo, myst_parser" 2>/dev/null || $(PIP) install --editable '.[docs]'
	@$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --fresh-env --quiet docs docs/_build
	@echo "docs/_build/index.html"

bench-training: install
	$(BIN)/python benchmarks/training.py

bench-generation: install
	$(BIN)/python benchmarks/generation.py

bench-data: install
	$(BIN)/python benchmarks/data.py
