"""Sources that are files of noiseless spectra: on the device, in host memory, or read as they are needed.

Wherever they are kept, the spectrum of a global index is the same one, and under the same key it is observed
with the same noise, bit for bit.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.detector import DEFAULT_INSTRUMENT, DETECTOR_WAVE
from crlb.errors import DataError, UsageError
from crlb.files import pfsspec
from crlb.files.hdf5 import open_input
from crlb.files.memory import GIB, free_memory
from specvit_jax.settings.config import Config, DataConfig
from specvit_jax.settings.observed_under import conditions_in
from specvit_jax.spectra.pixels import spectrograph_of
from specvit_jax.spectra.priors import LabelsDrawn
from specvit_jax.spectra.ranges import parse_ranges
from specvit_jax.spectra.shards import FileRows, Shards, find_shards, open_shards
from specvit_jax.spectra.source import (
    Batch,
    Exposure,
    Observer,
    Rows,
    Simulator,
    SnrRange,
    check_stored,
    make_observer,
    make_simulator,
)
from specvit_jax.spectra.stored_noise import read_observable, with_noise

HOST_SHARE = 0.5  # of the free memory that spectra may take where `auto` keeps them in host memory


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class StoredSpectra:
    """Noiseless spectra on the device, observed at their own magnitudes with fresh noise every time.

    The index of a spectrum is its row (modulo their number).
    """

    spectra: Rows
    observer: Observer

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch."""
        return self.observer.label_names

    @property
    def rows(self) -> int:
        """Number of spectra."""
        return len(self.spectra.mag)

    @property
    def labels(self) -> Float[np.ndarray, "n n_labels"]:
        """The labels of all spectra, in the order of their index."""
        return np.asarray(self.spectra.labels)

    def take(self, index: Int[Array | np.ndarray, " n"]) -> Rows:
        """The spectra of these global indices, noiseless."""
        rows = jnp.asarray(index) % self.rows
        found: Rows = jax.tree.map(lambda array: array[rows], self.spectra)
        return found

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Batch:
        """The spectra of these global indices, observed."""
        return self.observer.sample(key, index, self.take(index))


@dataclass(frozen=True, eq=False)
class FedSpectra:
    """Noiseless spectra that are not on the device: `take` fetches some of them, `observer` observes them.

    Args:
        shards: the files.
        order: row in the files of every global index.
        observer: the jit argument of a step, the same in all of them.
        memory: bytes that reading may take.
        clean: the spectra in the order of their index, in host memory; None: they stay in the files.
    """

    shards: Shards
    order: Int[np.ndarray, " n"]
    observer: Observer
    memory: int
    clean: Float[np.ndarray, "n n_pix"] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch."""
        return self.observer.label_names

    @property
    def rows(self) -> int:
        """Number of spectra."""
        return self.shards.rows

    @property
    def labels(self) -> Float[np.ndarray, "n n_labels"]:
        """The labels of all spectra, in the order of their index."""
        labels: np.ndarray = self.shards.labels[self.order]
        return labels

    def take(self, index: Int[Array | np.ndarray, " n"]) -> Rows:
        """The spectra of these global indices, on the host."""
        index = np.asarray(index) % self.rows
        rows = self.order[index]
        if self.clean is None:
            return Rows(*self.shards.read(rows))
        return Rows(self.clean[index], self.shards.labels[rows], self.shards.mag[rows])

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Batch:
        """The spectra of these global indices, observed; not for use under jit."""
        batch: Batch = jax.jit(Observer.sample)(self.observer, key, jnp.asarray(index), self.take(index))
        return batch


def open_source(config: DataConfig, seed: int = 0) -> tuple[Simulator | StoredSpectra | FedSpectra, str]:
    """The source a configuration names, and a line that says where its spectra are kept and why.

    Spectra of files are numbered in an order shuffled once by `seed`, so that any stretch is a fair sample.

    Raises:
        MissingInputError, DataError: as `find_shards`, `open_shards`, and the readers of grid and noise.
        UsageError: as `make_simulator`; or a prior of labels where files bring their own.
    """
    if config.source == "emulator":
        return simulator_of(config), "spectra: drawn afresh in every step from the emulator"
    drawn = [name for name in ("labels", "ranges", "beta", "population", "snr") if getattr(config, name)]
    if drawn or config.prior != "continuous":
        raise UsageError(
            f"data.{(drawn or ['prior'])[0]} is about labels that are drawn, but the files of data.source "
            "bring their own; leave it out, or use the emulator"
        )
    check_stored(config)
    observer, shards = observed_shards(config)
    limit = int(config.memory_gb * GIB)
    size = shards.rows * shards.row_bytes
    place, why = residency(size, config.residency, limit, jax.default_backend(), free_memory())
    order = file_order(shards.rows, seed)
    line = f"spectra: {shards.rows} of {len(shards.paths)} file(s), {size / GIB:.3g} GiB, {why}"
    if place == "device":
        return StoredSpectra(jax.tree.map(jnp.asarray, Rows(*shards.read(order))), observer), line
    clean = shards.read(order)[0] if place == "host" else None
    return FedSpectra(shards, order, observer, limit, clean), line


def observed_shards(config: DataConfig) -> tuple[Observer, Shards]:
    """The files that a configuration names, as far as it uses them, and what observes their spectra.

    Raises:
        MissingInputError, DataError, UsageError: as `find_shards`, `make_observer`, `open_shards`.
    """
    wave = DETECTOR_WAVE
    if config.instrument != DEFAULT_INSTRUMENT:
        with open_input(find_shards(config.source)[0], "spectra") as file:
            wave = pfsspec.read_wave(file, None)
    observer = make_observer(config, (), wave, config.source)
    shards = config_shards(config, np.asarray(wave, np.float64))
    return replace(observer, label_names=shards.label_names), shards


def config_shards(config: DataConfig, wave: Float[np.ndarray, " n_pix"]) -> Shards:
    """The files that a configuration names, as far as it uses them; pixel centres in vacuum Å.

    Raises:
        MissingInputError, DataError, UsageError: as `find_shards`, `open_shards`.
    """
    return open_shards(find_shards(config.source), wave, config.rows)


def file_order(rows: int, seed: int) -> Int[np.ndarray, " rows"]:
    """The row in the files of every global index."""
    return np.random.default_rng(seed).permutation(rows).astype(np.int32)


def file_rows(source: StoredSpectra | FedSpectra, config: Config, index: Int[np.ndarray, " n"]) -> FileRows:
    """Where in the files of ``config.data.source`` the spectra of these global indices lie.

    Raises:
        MissingInputError, DataError: as `find_shards`, `open_shards`.
    """
    order = file_order(source.rows, config.train.seed)
    shards = config_shards(config.data, np.asarray(source.observer.noise.wave, np.float64))
    return FileRows(shards, order[np.asarray(index) % source.rows])


def simulator_of(config: DataConfig) -> Simulator:
    """The simulator a configuration describes.

    Raises:
        UsageError: as `make_simulator`.
    """
    return make_simulator(
        config.grid,
        spectrograph_of(config),
        config.mag if config.snr is None else SnrRange(*config.snr),
        labels=config.labels or None,
        drawn=LabelsDrawn(
            config.prior,
            parse_ranges(config.ranges, "ranges"),
            parse_ranges(config.beta, "beta", "A:B, say log_g=2:5"),
            config.population,
            config.population_mag,
            config.population_outside == "drop",
        ),
        exposure=Exposure(config.exptime_s, config.n_exp, config.seeing_arcsec),
        noise_level=config.noise_level,
        conditions=conditions_in(config.conditions),
    )


def residency(size: int, where: str, limit: int, platform: str, free: int) -> tuple[str, str]:
    """Where spectra are kept, ``device``, ``host`` or ``stream``, and the reason in words.

    Args:
        size: size of the spectra, bytes.
        where: the setting ``data.residency``; ``auto``: the first of device, host and stream that has room.
        limit: bytes they may take on the device.
        platform: platform of jax; on cpu the device's memory is the host's.
        free: bytes of the host's memory that are free.
    """
    words = {"device": "kept on the device", "host": "kept in host memory", "stream": "streamed from disk"}
    if where != "auto":
        return where, f"{words[where]}: data.residency={where}"
    room = int(HOST_SHARE * free)
    if size <= limit:
        place, why = "device", f"they fit in data.memory_gb={limit / GIB:.3g}"
    elif size <= room:
        place = "device" if platform == "cpu" else "host"
        why = f"more than data.memory_gb={limit / GIB:.3g}, within half of the {free / GIB:.3g} GiB free"
    else:
        place = "stream"
        why = f"more than data.memory_gb={limit / GIB:.3g} and than half of the {free / GIB:.3g} GiB free"
    return place, f"{words[place]}: {why}"


def stored_validation(
    path: str | Path,
    label_names: tuple[str, ...],
    *,
    level: float = 1.0,
    rows: int | None = None,
    wave: Float[np.ndarray, " n_pix"] = DETECTOR_WAVE,
) -> Batch:
    """The observed spectra of a file with the noise that is stored there: every method sees the same numbers.

    Args:
        path: a file with flux, error and noisy in the pfsspec layout, as `specvit simulate` writes it. Where
            it has no noisy flux, noise is drawn from its errors, as `with_noise` does.
        label_names: order of the labels in the batch.
        level: factor on noise that is drawn.
        rows: spectra to take, from the first; None: all.
        wave: pixel centres that they must have, vacuum Å.

    Raises:
        MissingInputError: the file does not exist.
        DataError: damaged, without flux, errors or magnitudes, other wavelengths, or noisy flux that is not
            finite.
        UsageError: the file lacks one of the labels.
    """
    spectra = with_noise(read_observable(path, rows, wave), level)
    if spectra.mag is None:
        raise DataError(f"spectra file {path}: the label table must have the column mag")
    assert spectra.noisy is not None
    good = np.isfinite(spectra.noisy)
    if not good.all():
        row, pixel = np.argwhere(~good)[0]
        raise DataError(
            f"spectra file {path}: noisy flux must be finite to be scored on, found NaN at row {row}, "
            f"pixel {pixel}; leave data.validation out and score with `specvit evaluate`"
        )
    labels = spectra.select(label_names)
    flux, clean, error = (
        jnp.asarray(one, jnp.float32) for one in (spectra.noisy, spectra.flux, spectra.error)
    )
    usable, gain = (
        None if one is None else jnp.asarray(one, jnp.float32) for one in (spectra.usable, spectra.gain)
    )
    label_values, mag = (jnp.asarray(one, jnp.float32) for one in (labels, spectra.mag))
    return Batch(flux, label_values, mag, clean, error, usable, gain)
