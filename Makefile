# Two commands do everything on a machine that has Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check install install-test clean

demo: install  ## run the whole chain on photographs that it makes itself
	$(BIN)/lightmeter demo

test: install-test  ## run the tests
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: install-test  ## what a commit must pass: style, types, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --compile --constraint constraints.txt --editable .
	$(BIN)/python -m compileall -q lightmeter harvest labels models serve
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --compile --constraint constraints.txt --editable '.[test]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) lightmeter-demo*
