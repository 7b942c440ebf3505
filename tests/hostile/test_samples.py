"""Every file that once went wrong is opened by the readers it was made for: a documented error, in time."""

import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from crlb.bosz.read import read_spectrum
from crlb.errors import DataError, UsageError
from crlb.files.spectra import read_spectra
from crlb.grids.grid_file import load_grid
from crlb.readers.read import open_observed
from experiments.baselines import store
from specvit_jax import cli
from specvit_jax.network.weights import load_weights
from specvit_jax.report.experiments import files as figure_and_table
from specvit_jax.runs.listing import read_metrics
from specvit_jax.runs.manifest import read_manifest
from specvit_jax.runs.sweep import read_sweep
from specvit_jax.settings.config_file import load
from specvit_jax.spectra.shard_set import read_set, verify
from specvit_jax.spectra.shards import find_shards
from tests.fuzz.guard import in_memory
from tests.fuzz.readers import stored_posteriors
from tests.hostile.conftest import SHARED

ABSENT = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
# The first pattern that fits the place of a sample names its readers, each with the path.
READERS: dict[str, tuple[Callable[[Path], object], ...]] = {
    "grid-*.h5": (load_grid,),
    "spectra-flux-*.h5": (read_spectra,),  # its noisy spectra are sound
    "spectra-*.h5": (read_spectra, lambda path: list(open_observed(path).spectra())),
    "w-*.safetensors": (load_weights,),
    "figure-*.png": (lambda path: figure_and_table(path.parent, "title"),),
    "fits/*": (read_spectrum, lambda path: list(open_observed(path).spectra())),
    "npz/posterior-*.npz": (store.load, stored_posteriors),
    "npz/*.npz": (store.load,),
    "runs/*/metrics.jsonl": (lambda path: read_metrics(path.parent),),
    "runs/*/config.yaml": (load,),
    "runs/*/manifest.json": (lambda path: read_manifest(path.parent),),
    "sets/*/manifest.json": (lambda path: read_set(path.parent), lambda path: verify(path.parent)),
    "shard_index*.txt": (lambda path: find_shards(str(path)),),
    "yaml/*.yaml": (lambda path: read_sweep(path, Path("out")), load),
}
GOOD = ("grid-good.h5", "runs/*/config.yaml", "runs/*/manifest.json")  # what stands beside the damaged ones
SLOW = ("grid-hang-*",)  # a process of its own is waited for
PLACES = sorted(str(path.relative_to(SHARED)) for path in SHARED.rglob("*") if path.is_file()) or ["none"]


def fits(place: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(place, pattern) for pattern in patterns)


def marked(place: str) -> object:
    return pytest.param(place, marks=pytest.mark.slow if fits(place, SLOW) else ())


@ABSENT
@pytest.mark.parametrize("place", [marked(place) for place in PLACES])
def test_a_sample_is_refused_by_its_reader_in_time_and_memory(tmp_path, place):
    readers = next((one for pattern, one in READERS.items() if fnmatch(place, pattern)), ())
    assert readers, f"no reader for {place}: name one in READERS"
    path = tmp_path / ("figure.png" if place.startswith("figure") else Path(place).name)
    shutil.copyfile(SHARED / place, path)
    for read in readers:
        with in_memory(2**30):
            if fits(place, GOOD):
                assert read(path) is not None
            else:
                with pytest.raises((DataError, UsageError)):
                    read(path)


@ABSENT
def test_damaged_runs_are_listed_as_such(capsys):
    cli.parse(["runs", str(SHARED / "runs")])()
    assert capsys.readouterr().out.count(" is damaged: ") == 4
