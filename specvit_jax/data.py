"""Spectra in: drawn on the fly from crlb's emulator, or read from files. The only door to crlb.

A source has `sample(key, index) -> Batch`, pure and jittable, and is itself a jit argument. What a spectrum
looks like depends on the key and on its own global index only, not on the batch or device it sits in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Key
from rich.progress import track

from crlb import pfsspec
from crlb.emulator import Emulator, make_emulator
from crlb.errors import DataError, UsageError
from crlb.grid import default_grid_path, load_slice
from crlb.instrument import to_detector
from crlb.noise import Exposure, NoiseModel, draw, snr
from crlb.noise_curves import builtin_noise, load_noise
from crlb.output import new_file
from crlb.spectra import Spectra, label_columns, read_spectra, table_columns
from specvit_jax.config import DataConfig

CHUNK = 250  # spectra per piece when many are drawn on the host: 4 MB per array
DEFAULT_EXPOSURE = Exposure()  # 12 x 900 s, seeing 0.8 arcsec
SNR_DEFINITION = "median over usable pixels of flux/error"


class Batch(NamedTuple):
    """Observed spectra. A network reads `flux` only: `error` is of the clean flux and leaks labels."""

    flux: Float[Array, "n n_pix"]  # as observed, noise included
    labels: Float[Array, "n n_labels"]
    mag: Float[Array, " n"]
    clean: Float[Array, "n n_pix"]
    error: Float[Array, "n n_pix"]


def observe(
    key: Key[Array, ""],
    clean: Float[Array, " n_pix"],
    mag: Float[ArrayLike, ""],
    noise: NoiseModel,
    exposure: Exposure = DEFAULT_EXPOSURE,
) -> tuple[Float[Array, " n_pix"], Float[Array, " n_pix"]]:
    """One spectrum as observed, and its 1-sigma error. Callers vmap."""
    return draw(key, clean, mag, noise, exposure)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Simulator:
    """Endless spectra: labels uniform in a box, magnitude uniform in a range, noise drawn afresh."""

    emulator: Emulator
    noise: NoiseModel
    low: Float[Array, " n_labels"]
    high: Float[Array, " n_labels"]
    mag_range: Float[Array, "2"]
    exposure: Exposure = field(metadata={"static": True})

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch."""
        return self.emulator.label_names

    @property
    def rows(self) -> None:
        """None: there is no end to them."""
        return None

    @property
    def wave(self) -> Float[Array | np.ndarray, " n_pix"]:
        """Pixel centres, vacuum A."""
        return self.emulator.wave

    def clean(self, labels: Float[Array | np.ndarray, "n n_labels"]) -> Float[Array, "n n_pix"]:
        """Noiseless spectra at labels on the grid; NaN outside."""
        return jax.vmap(self.emulator)(labels)

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Batch:
        """The spectra of these global indices."""
        return jax.vmap(self._one)(_keys(key, index))

    def _star(
        self, key: Key[Array, ""]
    ) -> tuple[Float[Array, " n_labels"], Float[Array, ""], Key[Array, ""]]:
        label_key, mag_key, noise_key = jax.random.split(key, 3)
        labels = jax.random.uniform(
            label_key, self.low.shape, self.low.dtype, minval=self.low, maxval=self.high
        )
        mag = jax.random.uniform(
            mag_key, (), self.low.dtype, minval=self.mag_range[0], maxval=self.mag_range[1]
        )
        return labels, mag, noise_key

    def _one(self, key: Key[Array, ""]) -> Batch:
        labels, mag, noise_key = self._star(key)
        clean = self.emulator(labels)
        noisy, error = observe(noise_key, clean, mag, self.noise, self.exposure)
        return Batch(noisy, labels, mag, clean, error)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class StoredSpectra:
    """Noiseless spectra held in memory, observed at their own magnitudes with fresh noise every time.

    The index of a spectrum is its row (modulo their number).
    """

    clean: Float[Array, "n n_pix"]
    labels: Float[Array, "n n_labels"]
    mag: Float[Array, " n"]
    noise: NoiseModel
    label_names: tuple[str, ...] = field(metadata={"static": True})
    exposure: Exposure = field(metadata={"static": True})

    @property
    def wave(self) -> Float[Array | np.ndarray, " n_pix"]:
        """Pixel centres, vacuum A."""
        return self.noise.wave

    @property
    def rows(self) -> int:
        """Number of spectra."""
        return len(self.mag)

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Batch:
        """The spectra of these global indices."""
        rows = jnp.asarray(index) % self.rows
        clean, labels, mag = self.clean[rows], self.labels[rows], self.mag[rows]
        observed = jax.vmap(observe, (0, 0, 0, None, None))(
            _keys(key, index), clean, mag, self.noise, self.exposure
        )
        return Batch(observed[0], labels, mag, clean, observed[1])


Source = Simulator | StoredSpectra


def _keys(key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Key[Array, " n"]:
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def make_simulator(
    grid_path: str | Path | None = None,
    noise_path: str | Path | None = None,
    mag: tuple[float, float] = (20.5, 22.5),
    *,
    exposure: Exposure = DEFAULT_EXPOSURE,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    noise_group: str | None = None,
    labels: tuple[str, ...] | None = None,
) -> Simulator:
    """The simulator of a grid file (default: the embedded grid) under a noise file (default: built in).

    Args:
        grid_path: grid file, vacuum A.
        noise_path: noise curves.
        mag: AB magnitudes in i, (bright, faint).
        exposure: number and length of exposures, seeing.
        ranges: label -> (low, high) in the label's unit; labels left out span the grid.
        noise_group: which set of curves in the noise file.
        labels: those that vary; None: all of the grid's but a_M and C_M, which are held at 0.

    Raises:
        UsageError: an unknown label, a range outside the grid, or one that is not (low, high).
    """
    grid = to_detector(load_slice(default_grid_path() if grid_path is None else grid_path, labels))
    emulator = make_emulator(grid)
    noise = builtin_noise() if noise_path is None else load_noise(noise_path, noise_group)
    low, high = _box(emulator, ranges or {})
    if not (np.isfinite(mag).all() and mag[0] <= mag[1]):
        raise UsageError(f"mag must be (bright, faint) with bright <= faint, found {mag}")
    box = (jnp.asarray(low), jnp.asarray(high), jnp.asarray(mag, float))
    return Simulator(emulator, noise, *box, exposure)


def _box(emulator: Emulator, ranges: Mapping[str, tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    low, high = emulator.low.copy(), emulator.high.copy()
    for i, (name, (start, stop)) in zip(
        label_columns(emulator.label_names, tuple(ranges)), ranges.items(), strict=True
    ):
        if not low[i] <= start <= stop <= high[i]:
            raise UsageError(
                f"range of {name} must be low <= high within the grid, {low[i]:g} to {high[i]:g}, "
                f"found {start:g} to {stop:g}"
            )
        low[i], high[i] = start, stop
    return low, high


def make_source(config: DataConfig, seed: int = 0) -> Source:
    """The source a configuration names: the emulator, or a file of clean spectra, shuffled once by `seed`."""
    exposure = Exposure(config.exptime_s, config.n_exp, config.seeing_arcsec)
    if config.source == "emulator":
        return make_simulator(config.grid, config.noise, config.mag, exposure=exposure)
    spectra = read_spectra(config.source)
    if spectra.flux is None or spectra.mag is None:
        raise DataError(f"spectra file {config.source}: training needs clean flux and the column mag")
    order = np.random.default_rng(seed).permutation(len(spectra.flux))
    labels = np.stack(list(spectra.labels.values()), axis=1)[order]
    arrays = (jnp.asarray(spectra.flux[order]), jnp.asarray(labels), jnp.asarray(spectra.mag[order]))
    noise = builtin_noise() if config.noise is None else load_noise(config.noise)
    return StoredSpectra(*arrays, noise, tuple(spectra.labels), exposure)


def chunks(source: Source, key: Key[Array, ""], n: int, size: int | None = None) -> Iterator[Batch]:
    """Draws the spectra of indices 0..n-1 in pieces of `size` (default `CHUNK`); the last one is shorter."""
    size = size or CHUNK
    sample = jax.jit(type(source).sample)
    for start in range(0, n, size):
        batch = sample(source, key, jnp.arange(start, start + size))
        yield Batch(*(array[: n - start] for array in batch))


def median_snr(
    flux: Float[np.ndarray, "n n_pix"], error: Float[np.ndarray, "n n_pix"]
) -> Float[np.ndarray, " n"]:
    """SNR per spectrum as `crlb.noise.snr` defines it, of the noiseless flux."""
    per_chunk = jax.jit(jax.vmap(snr))
    pieces = [
        per_chunk(flux[start : start + CHUNK], error[start : start + CHUNK])
        for start in range(0, len(flux), CHUNK)
    ]
    return np.concatenate([np.asarray(piece) for piece in pieces])


def simulate(
    out: str | Path, source: Source, n: int, seed: int, *, overwrite: bool = False, progress: bool = False
) -> None:
    """Writes a fixed set of `n` observed spectra (flux, error, noisy, mask, labels, mag, snr) piece by piece.

    Raises:
        UsageError: `n` is not positive.
        OutputError: `out` exists and `overwrite` is False, or it cannot be created.
    """
    if n < 1:
        raise UsageError(f"n must be at least 1 spectrum, found {n}")
    wave = np.asarray(source.wave, np.float64)
    with new_file(out, overwrite) as temporary, h5py.File(temporary, "w") as file:
        arrays = pfsspec.create(file, wave, n, ("flux", "error", "noisy", "mask"))
        columns: dict[str, list[np.ndarray]] = {}
        pieces = chunks(source, jax.random.key(seed), n)
        steps = -(-n // CHUNK)
        for i, batch in enumerate(track(pieces, "simulate", total=steps, disable=not progress)):
            piece = to_spectra(batch, source)
            rows = slice(i * CHUNK, i * CHUNK + piece.n)
            for name, values in (("flux", piece.flux), ("error", piece.error), ("noisy", piece.noisy)):
                arrays[name][rows] = values
            for name, column in piece.columns().items():
                columns.setdefault(name, []).append(column)
        pfsspec.write_table(
            file, table_columns({name: np.concatenate(parts) for name, parts in columns.items()})
        )
        file.attrs.update(seed=seed, snr_definition=np.bytes_(SNR_DEFINITION))


def to_spectra(batch: Batch, source: Source) -> Spectra:
    """A batch on the host, with its SNR."""
    flux, error, noisy, mag, labels = (
        np.asarray(array) for array in (batch.clean, batch.error, batch.flux, batch.mag, batch.labels)
    )
    return Spectra(
        wave=np.asarray(source.wave, np.float64),
        labels={name: labels[:, i] for i, name in enumerate(source.label_names)},
        flux=flux,
        error=error,
        noisy=noisy,
        mag=mag,
        snr=median_snr(flux, error),
    )
