# `make demo` and `make test` need Python 3.11 or later and install everything else into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Each of many short processes would compile its modules again.
export PYTHONDONTWRITEBYTECODE :=

ONLY ?=
# MIRRORS: git mirrors of the repositories in benchmarks/corpus_list.csv; CORPUS: where their photographs are written.
MIRRORS ?= mirrors
CORPUS ?= corpus

.PHONY: demo test trials check bench default-model sbom docs install install-test clean

demo: install  ## Run the full pipeline on simulated photographs.
	$(BIN)/lightmeter demo

test: install-test  ## Run the tests.
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --max-worker-restart 0

trials: install-test  ## Try hostile input, kills, full disks and stopped databases (10 minutes), for docs/reliability.md.
	$(BIN)/python -m pytest tests/faults --long=1 --numprocesses 2 --dist worksteal --max-worker-restart 0 -o timeout=600

check: install-test  ## Check style, types, import rules, generated documents and licences.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/dependencies.py --check

bench: install-test  ## Measure the speed and write docs/performance.md; ONLY=NAME for one section.
	$(BIN)/python -m benchmarks.speed.bench $(ONLY)

default-model: install-test  ## Repeat the training of the model that ships with Lightmeter.
	$(BIN)/python -m benchmarks.gather $(MIRRORS) $(CORPUS)
	$(BIN)/python -m benchmarks.default_model $(CORPUS)
	$(BIN)/python -m benchmarks.default_model $(CORPUS) --lockbox

sbom: install-test  ## Write the software bill of materials, lightmeter.cdx.json (CycloneDX).
	$(BIN)/python docs/dependencies.py --sbom lightmeter.cdx.json

docs: install-test  ## Generate the reference and build the site in site/.
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

# pip compiles with one core. What the tests alone need is compiled when it is first imported.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[serve]'
	-$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib
	$(BIN)/python -m compileall -q lightmeter harvest labels models serve migrations  # links are not followed
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[docs,test]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) site lightmeter-demo*
