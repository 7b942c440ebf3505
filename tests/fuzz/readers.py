"""Every reader of files from elsewhere: how a good file of it is made, and how it is called."""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from astropy.io import fits
from astropy.table import Table

from crlb.bosz.fits_table import parse_fits
from crlb.ceilings.result import Ceiling
from crlb.files.spectra import Spectra, read_spectra, write_spectra
from crlb.files.text_input import read_bytes, read_json
from crlb.grids.grid_file import load_grid, save_grid
from crlb.readers.options import ReadOptions
from crlb.readers.read import open_observed
from crlb.readers.star_table import read_star_table
from experiments.baselines import store
from experiments.baselines.ridge import Ridge
from experiments.study import stars
from specvit_jax.evaluation import training_set
from specvit_jax.exchange.checkpoint_file import read_checkpoint
from specvit_jax.exchange.original import Given, imported
from specvit_jax.network.networks import make_network
from specvit_jax.network.standardise import InputScaler, LabelScaler
from specvit_jax.network.weights import Weights, load_weights, save_weights
from specvit_jax.report.experiments import files as figure_and_table
from specvit_jax.settings.config_file import override
from specvit_jax.settings.presets import preset
from specvit_jax.spectra.shard_set import read_set
from specvit_jax.spectra.shards import open_shards
from tests.fuzz.mutate import inside_gzip, inside_png, inside_zip, mutated
from tests.hostile.test_hdf5 import small_grid
from tests.hostile.test_text import READERS as TEXTS
from tests.specvit_jax.exchange import theirs

ROOT = Path(__file__).resolve().parents[2]
N, WAVE = 4, np.linspace(8000.0, 8040.0, 64)
VACUUM = ReadOptions(medium="vacuum")


@dataclass(frozen=True)
class Reader:
    """A reader.

    Args:
        file: name of its file.
        make: writes a good one.
        read: returns what is in it; None: it is not taken, without an error.
        sealed: whether its files hold a checksum of all of their content.
        damage: how bytes of the good file become those of another.
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    sealed: bool = False
    damage: Callable[[bytes, random.Random], bytes] = mutated


def grid(path: Path, rtol: float | None = None) -> None:
    save_grid(small_grid(), path, overwrite=True, rtol=rtol)


def foreign_grid(path: Path) -> None:
    grid(path)
    with h5py.File(path, "a") as file:
        del file.attrs["sha256"]


def weights(path: Path) -> None:
    small = ["input_size=64", "patch_size=16", "stride=16", "embed_dim=8", "depth=1", "num_heads=2"]
    config = override(
        preset("tiny"),
        [
            "data.preprocess=none",
            "data.noise_component=false",
            "data.components=1",
            *(f"model.{one}" for one in small),
        ],
    )
    shapes = jax.eval_shape(make_network(config.model).init, jax.random.key(0), jnp.zeros((1, 64)))["params"]
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    n = len(config.model.label_names)
    scalers = LabelScaler(jnp.zeros(n), jnp.ones(n)), InputScaler(jnp.zeros(64), jnp.ones(64))
    save_weights(path, Weights(params, config, *scalers), {"step": 5})


def foreign_weights(path: Path) -> None:
    weights(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != "sha256"}
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, metadata)


def spectra(path: Path) -> None:
    chance = np.random.default_rng(0)
    flux = chance.normal(0.5, 0.01, (N, WAVE.size)).astype(np.float32)
    labels = {"T_eff": np.linspace(4000.0, 5000.0, N), "log_g": np.linspace(1.0, 3.0, N)}
    known = {"mag": np.full(N, 20.0), "snr": np.full(N, 10.0), "error": np.full_like(flux, 0.05)}
    write_spectra(path, Spectra(WAVE, labels, flux=flux, noisy=flux + 0.01, **known), overwrite=True)


def columns() -> dict[str, np.ndarray]:
    flux = 1 + np.random.default_rng(1).random(WAVE.size)
    return {"wave": WAVE, "flux": flux, "error": np.full_like(flux, 0.1)}


def fits_table(path: Path) -> None:
    made = [fits.Column(name, "D", array=values) for name, values in columns().items()]
    made[0].unit = "Angstrom"
    fits.BinTableHDU.from_columns(made).writeto(path, checksum=True, overwrite=True)


def fits_image(path: Path, checksum: bool = True) -> None:
    header = {"CRVAL1": 8000.0, "CRPIX1": 1.0, "CDELT1": 0.5, "CTYPE1": "WAVE", "CUNIT1": "Angstrom"}
    hdu = fits.PrimaryHDU(columns()["flux"].astype(np.float32), fits.Header(header))
    hdu.writeto(path, checksum=checksum, overwrite=True)


def fits_packed(path: Path) -> None:
    fits_image(path.with_suffix(""), checksum=False)
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes(), mtime=0))


def fits_bosz(path: Path) -> None:
    names = ("Wavelength", "SpecificIntensity", "Continuum")
    made = [fits.Column(name, "E", array=columns()["flux"]) for name in names]
    fits.BinTableHDU.from_columns(made).writeto(path, overwrite=True)


def ecsv(path: Path) -> None:
    table = Table(columns(), units={"wave": "Angstrom"}, meta={"OBJECT": "a star"})
    table.write(path, format="ascii.ecsv", overwrite=True)


def star_table(path: Path) -> None:
    labels = {"teff": np.linspace(4000.0, 5000.0, N), "logg": np.linspace(1.0, 3.0, N)}
    Table(labels | {"mag": np.full(N, 20.0)}).write(path, format="ascii.ecsv", overwrite=True)


def one_baseline() -> store.Stored:
    found = Ridge()
    found.weights, found.intercept, found.chosen = np.ones((8, 2)), np.zeros(2), {"alpha": np.ones(2)}
    return store.Stored(found, ("T_eff", "log_g"), np.ones(8))


def some_stars() -> stars.Stars:
    flux = np.ones((N, 2048), np.float32)
    labels = np.random.default_rng(2).random((N, 3))
    return stars.Stars(flux, labels, np.full(N, 20.0), np.full(N, 10.0), flux)


def posteriors(path: Path) -> None:
    found = 1 + np.random.default_rng(3).random((N, 3, 2))
    stars.store(path, found, some_stars())


def stored_posteriors(path: Path) -> object:
    found = stars._stored(path, some_stars())
    return found if len(found) else None


def trained_on(path: Path) -> None:
    some = np.random.default_rng(4).random
    pixels, mags = (
        {"mean": some(16), "basis": some((16, 3)), "rest": some(16), "calm": np.eye(16)[0]},
        np.arange(5.0),
    )
    ranges = {name: np.array([1.0, 2.0]) for name in ("snr_range", "mag_range")}
    known = {"coefficients": some((20, 3)), "errors": some((5, 16)), "label_range": some((2, 3))}
    training_set._write(path, training_set.TrainingSet(mags=mags, **pixels, **ranges, **known), "stamp")


def figure(path: Path) -> None:
    import matplotlib.image

    matplotlib.image.imsave(path, np.random.default_rng(5).random((20, 30)), format="png")


def shard_manifest(path: Path) -> None:
    settings = {"n": 10, "seed": 1, "shards": 2, "arrays": ["flux"], "mag": [20.0, 22.0]}
    sums = {"shard_000": "0" * 64, "shard_001": "1" * 64}
    path.write_text(json.dumps({"settings": settings, "sha256": sums}))


def all_of(path: Path) -> list[object]:
    return list(open_observed(path, VACUUM).spectra())


def text(name: str) -> Reader:
    file, good, read = TEXTS[name]
    return Reader(file, lambda path: path.write_text(good), read)


READERS = {
    "grid": Reader("grid.h5", grid, load_grid, sealed=True),
    "grid of factors": Reader("grid.h5", partial(grid, rtol=1e-3), load_grid, sealed=True),
    "grid of others": Reader("grid.h5", foreign_grid, load_grid),
    "weights": Reader("w.safetensors", weights, load_weights, sealed=True),
    "weights of others": Reader("w.safetensors", foreign_weights, load_weights),
    "checkpoint of the original": Reader(
        "a.ckpt",
        theirs.checkpoint,
        lambda path: imported(read_checkpoint(path), Given(mean=(3.0, -0.5), std=(1.2, 0.8))),
        damage=inside_zip,
    ),
    "spectra": Reader(
        "s.h5",
        spectra,
        lambda path: read_spectra(path, need=("flux", "error", "noisy"), wave=WAVE),
        sealed=True,
    ),
    "spectra to train on": Reader("s.h5", spectra, lambda path: open_shards([path], WAVE).read(np.arange(N))),
    "spectra as observed": Reader("s.h5", spectra, all_of, sealed=True),
    "FITS table": Reader("s.fits", fits_table, all_of),
    "FITS image": Reader("s.fits", fits_image, all_of),
    "FITS in gzip": Reader("s.fits.gz", fits_packed, all_of, damage=inside_gzip),
    "FITS of BOSZ": Reader("s.fits", fits_bosz, lambda path: parse_fits(read_bytes(path, "spectrum"))),
    "ECSV": Reader("s.ecsv", ecsv, all_of),
    "stars of a table": Reader("stars.ecsv", star_table, read_star_table),
    **{f"text: {name}": text(name) for name in TEXTS},
    "result": Reader(
        "ceiling.json",
        lambda path: path.write_bytes((ROOT / "docs" / "ceiling.json").read_bytes()),
        lambda path: Ceiling.from_json(read_json(path, "result")),
    ),
    "shard set": Reader("manifest.json", shard_manifest, lambda path: replace(read_set(path.parent))),
    "posteriors": Reader("posterior.npz", posteriors, stored_posteriors, True, inside_zip),
    "baseline": Reader(
        "b.npz", lambda path: store.save(path, one_baseline(), True), store.load, True, inside_zip
    ),
    "training set": Reader("t.safetensors", trained_on, lambda path: training_set._read(path, "stamp"), True),
    "figure": Reader(
        "figure.png", figure, lambda path: figure_and_table(path.parent, "title"), damage=inside_png
    ),
}
