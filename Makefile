# make figure   the R2-SNR figures of the embedded grid, published and survey conditions (TRAIN=1: trains the networks;
#               GRID=file.h5: the first one of another grid; LIMIT=1: recomputes the exact limit of the test stars)
# make experiments  every experiment of the comparison, resumable (PRESET=smoke: minutes; cpu: a day; gpu)
# make test     lint, types and the fast tests          make test-slow  the slow ones: programs killed, several processes
#               (TESTS=tests/hostile: some of them)
# make browser  Chromium for the slow test of the report's page, through apt-get, where there is none
# make docs     the documentation into site/, strict
# make ends     the oldest and the newest of every dependency, in environments of their own (needs uv; minutes)
# make bench    timing ratios, JSON into outputs/benchmarks/
# make lock     refresh requirements.lock               make clean      remove the environment and outputs

PYTHON ?= python3
BIN := .venv/bin
GRID ?=
TRAIN ?=
LIMIT ?=
BEGUN := $(shell date +%s)
PRESET ?= cpu
TESTS ?=
UV := $(shell command -v uv 2>/dev/null)
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q

# uv takes a tenth of the time of pip, which takes over where uv finds no package index
INSTALL = $(or $(UV),$(BIN)/uv) pip install -q --python $(BIN)/python $(1) || $(PIP) $(1)

.PHONY: figure experiments test test-slow ends browser lint docs bench lock clean

.venv/installed: requirements.lock requirements-uv.lock pyproject.toml
	@echo "Installing the locked environment into .venv (1.4 GB; less than a minute with uv, two with pip)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11, say")'
	$(if $(UV),$(UV) venv --seed --allow-existing --python $(PYTHON) .venv,$(PYTHON) -m venv .venv)
	$(if $(UV),,-$(PIP) --require-hashes -r requirements-uv.lock)
	$(call INSTALL,--require-hashes -r requirements.lock)
	$(call INSTALL,--no-deps --no-build-isolation -e .)
	@touch $@

figure: .venv/installed
	@$(BIN)/python -m experiments.main_figure --begun $(BEGUN) $(if $(GRID),--grid $(GRID)) $(if $(TRAIN),--train) $(if $(LIMIT),--recompute-limit)

experiments: .venv/installed
	$(BIN)/python -m experiments --preset $(PRESET)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow $(TESTS)

ends:
	tests/ends.sh

browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
	|| (apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null) \
	|| echo "Chromium could not be installed: the test of the report's page will be skipped"

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: .venv/installed
	for script in $(filter-out %/measure.py %/distil_atmospheres.py %/torch_vit.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

lock:
	printf 'uv\n' | uv pip compile --universal --python-version 3.11 --generate-hashes --no-header - -o requirements-uv.lock
	uv pip compile --universal --python-version 3.11 --extra dev --extra baselines --extra docs --generate-hashes --no-header pyproject.toml -o requirements.lock

clean:
	rm -rf .venv outputs site .pytest_cache .mypy_cache .ruff_cache
