PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-all lint types docs check clean

demo: $(READY)
	$(BIN)/unteach demo --out demo

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

test-all: $(READY)
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder -m ""

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/mkdocs build --strict

check: lint types docs test

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e ".[train,hub,judge,eval,dev]"
	touch $@

clean:
	rm -rf $(VENV) site demo
