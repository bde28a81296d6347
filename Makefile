# The two commands of the README. Everything is made in .venv and in the user's cache; the system's Python stays as it is.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test coverage
run: $(BIN)/crossframe
	$(BIN)/crossframe run $(ARGS)

test: .venv/tested .venv/packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(ARGS)

# Coverage of the harness and of its workers, which run in other environments: they find coverage in .venv/coverage.
coverage: .venv/tested .venv/packages
	$(BIN)/python -m pip install --quiet coverage
	$(BIN)/python -m pip install --quiet --target .venv/coverage --upgrade coverage
	$(BIN)/coverage erase
	COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml CROSSFRAME_WORKER_PATH=$(CURDIR)/.venv/coverage:$(CURDIR)/tests/support/coverage \
		$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --sort=cover

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BIN)/crossframe: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# mypy does not follow the mapping of packages to folders in pyproject.toml; it finds them through these links.
.venv/packages: | $(BIN)/python
	$(BIN)/python tests/support/source_tree.py $@

.venv/tested: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
