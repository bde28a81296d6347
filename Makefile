# The two commands of the README. Everything is made in .venv and in the user's cache; the system's Python stays as it is.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test
run: $(BIN)/crossframe
	$(BIN)/crossframe run $(ARGS)

test: .venv/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(ARGS)

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BIN)/crossframe: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/tested: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
