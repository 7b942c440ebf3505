# make figure   the R2-SNR figures of the embedded grid, published and survey conditions (TRAIN=1: trains the networks;
#               GRID=file.h5: the first one of another grid)
# make experiments  every experiment of the comparison, resumable (PRESET=smoke: minutes; cpu: a day; gpu)
# make test     lint, types and the fast tests          make test-slow  the slow ones: programs killed, several processes
# make browser  Chromium for the slow test of the report's page, through apt-get, where there is none
# make bench    timing ratios, JSON into outputs/benchmarks/
# make lock     refresh requirements.lock               make clean      remove the environment and outputs

PYTHON ?= python3
BIN := .venv/bin
GRID ?=
TRAIN ?=
PRESET ?= cpu
UV := $(shell command -v uv 2>/dev/null)
INSTALL := $(if $(UV),$(UV) pip install --python $(BIN)/python,$(BIN)/python -m pip install --disable-pip-version-check)

.PHONY: figure experiments test test-slow browser lint bench lock clean

.venv/installed: requirements.lock pyproject.toml
	@echo "Installing the locked environment into .venv (about 1 GB, one to three minutes)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11, say")'
	$(if $(UV),$(UV) venv --allow-existing --python $(PYTHON) .venv,$(PYTHON) -m venv .venv)
	$(INSTALL) -q --require-hashes -r requirements.lock
	$(INSTALL) -q --no-deps --no-build-isolation -e .
	@touch $@

figure: .venv/installed
	$(BIN)/python -m experiments.r2_vs_snr $(if $(GRID),--grid $(GRID)) $(if $(TRAIN),--train)
	$(if $(GRID),,$(BIN)/python -m experiments.survey $(if $(TRAIN),--train))

experiments: .venv/installed
	$(BIN)/python -m experiments --preset $(PRESET)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

browser:
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
	|| (apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null) \
	|| echo "Chromium could not be installed: the test of the report's page will be skipped"

bench: .venv/installed
	for script in $(filter-out %/measure.py %/distil_atmospheres.py %/torch_vit.py,$(wildcard benchmarks/*.py)); do $(BIN)/python $$script || exit 1; done

lock:
	uv pip compile --universal --python-version 3.11 --extra dev --extra baselines --generate-hashes --no-header pyproject.toml -o requirements.lock

clean:
	rm -rf .venv outputs .pytest_cache .mypy_cache .ruff_cache
