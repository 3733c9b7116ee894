# Everything a newcomer needs. Each target sets up .venv by itself; a second run starts in seconds.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: help demo test test-all check bench crash format clean

help:
	@echo "make demo      run the main job: an agent loses its provider in mid-conversation and finishes on another"
	@echo "make test      the everyday tests (under five minutes)"
	@echo "make test-all  the slow ones, too"
	@echo "make check     format, lint, types, import floors, room sizes"
	@echo "make bench     the measurements"
	@echo "make crash     the long crash test of the side-effect ledger"

$(READY): pyproject.toml requirements-dev.txt constraints.txt $(wildcard integrations/*/pyproject.toml)
	@PYTHON="$(PYTHON)" sh scripts/setup.sh "$(VENV)"
	@touch $(READY)

demo: $(READY)
	@$(BIN)/joch demo

test: $(READY)
	$(BIN)/pytest -n auto -m "not slow and not long" $(ARGS)

test-all: $(READY)
	$(BIN)/pytest -n auto -m "not long" $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/architecture

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benches/checkpointers.py

crash: $(READY)
	$(BIN)/pytest -m long $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
