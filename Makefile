# make setup   a virtual environment in .venv with the smolmix command in it
# make demo    the whole path on real input that registry packages carry: no hub, no GPU, no account
# make test    the tests
# make docs    the documentation as a site, in site/
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKSPACE ?= workspace
INSTALLED := $(VENV)/.installed

.PHONY: setup demo test nightly lint docs bench clean

HUB := .venv-olah/.installed  # a real hub server for tests, with dependencies of its own

S3 := .packages-s3/.installed  # an S3 server and client, which ask for an older dateutil than pinned

setup: $(INSTALLED)

# The demo packages come without what they ask for: only the files they carry are wanted.
$(INSTALLED): pyproject.toml constraints.txt requirements-demo.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-demo.txt
	touch $@

demo: setup
	$(BIN)/smolmix run model/recipes/demo.yaml --workspace $(WORKSPACE)

$(HUB):
	test -x .venv-olah/bin/python || $(PYTHON) -m venv .venv-olah
	.venv-olah/bin/python -m pip install --quiet olah==0.5.4
	touch $@

$(S3): requirements-s3.txt
	$(BIN)/python -m pip install --quiet --upgrade --target .packages-s3 --requirement $<
	touch $@

test: setup $(HUB)
	$(BIN)/python -m pytest

nightly: setup $(HUB) $(S3)
	$(BIN)/python -m pytest -m nightly
	PYTHONPATH=.packages-s3 $(BIN)/python -m pytest -m nightly tests/pipelines/test_whole_corpora.py -k s3

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The theme announces its end of life in 2027 at every build; its version is pinned.
docs: setup
	$(BIN)/python docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

bench: setup
	@ls benchmarks/*/*.py

clean:
	rm -rf $(VENV) .venv-olah .packages-s3 $(WORKSPACE) build dist site *.egg-info src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
