"""Spectra in: drawn on the fly from crlb's emulator, observed with its noise. The only door to its physics.

A source has `sample(key, index) -> Batch`, pure and jittable, and is itself a jit argument. What a spectrum
looks like depends on the key and on its own global index only, not on the batch or device it sits in.
`file_sources.py` has the sources that are files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.bayes.prior import Prior, make_prior
from crlb.errors import UsageError
from crlb.files.spectra import Spectra as Spectra  # handed on: what a file of spectra holds
from crlb.files.spectra import label_columns
from crlb.files.spectra import read_spectra as read_spectra
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.observation.exposure import Exposure as Exposure  # handed on: how long and how often
from crlb.observation.forward_model import ForwardModel
from crlb.observation.instrument import to_detector
from crlb.observation.noise import draw, snr
from crlb.observation.noise_curves import NoiseModel, builtin_noise, load_noise
from specvit_jax.settings.config import DataConfig
from specvit_jax.spectra.priors import LabelsDrawn, Snapped, Uniform, make_snapped

CHUNK = 250  # spectra per piece when many are drawn on the host: 4 MB per array
SNR_DEFINITION = "median over usable pixels of flux/error"


class Batch(NamedTuple):
    """Observed spectra. A network reads `flux` only: `error` is of the clean flux and leaks labels."""

    flux: Float[Array, "n n_pix"]  # as observed, noise included
    labels: Float[Array, "n n_labels"]
    mag: Float[Array, " n"]
    clean: Float[Array, "n n_pix"]
    error: Float[Array, "n n_pix"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Rows:
    """Noiseless spectra in memory, one after the other along the first axis of every array."""

    clean: Float[Array | np.ndarray, "*n n_pix"]
    labels: Float[Array | np.ndarray, "*n n_labels"]
    mag: Float[Array | np.ndarray, "*n"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Observer:
    """What turns noiseless spectra into observed ones; the same in every step of a run.

    Args:
        noise: curves of the instrument and the sky, with exposure and level.
        label_names: order of the labels in a batch.
    """

    noise: NoiseModel
    label_names: tuple[str, ...] = field(metadata={"static": True})

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"], rows: Rows) -> Batch:
        """The spectra `rows`, observed; row i is the spectrum of global index `index[i]`."""
        return self.observe(fold_in(key, index), rows)

    def observe(self, keys: Key[Array, " n"], rows: Rows) -> Batch:
        """The spectra `rows`, each observed with a key of its own."""
        clean, mag = jnp.asarray(rows.clean), jnp.asarray(rows.mag)
        noisy, error = jax.vmap(lambda key, clean, mag: draw(key, clean, mag, self.noise))(keys, clean, mag)
        return Batch(noisy, jnp.asarray(rows.labels), mag, clean, error)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Simulator:
    """Endless spectra: labels of a prior, magnitude uniform in a range, noise drawn afresh.

    Args:
        model: how stars are seen, on all pixels of the arm.
        prior: of the labels.
        mag_range: AB magnitudes in i, bright and faint.
    """

    model: ForwardModel
    prior: Uniform | Snapped | Prior
    mag_range: Float[Array, "2"]

    @property
    def emulator(self) -> Emulator:
        """Flux on the detector's pixels."""
        return self.model.emulator

    @property
    def noise(self) -> NoiseModel:
        """Curves of the instrument and the sky, with exposure and level."""
        return self.model.noise

    @property
    def observer(self) -> Observer:
        """What adds the noise to spectra that are at hand."""
        return Observer(self.noise, self.label_names)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch."""
        return self.model.label_names

    @property
    def rows(self) -> None:
        """None: there is no end to them."""
        return None

    @property
    def wave(self) -> Float[Array | np.ndarray, " n_pix"]:
        """Pixel centres, vacuum Å."""
        return self.model.wave

    def clean(self, labels: Float[Array | np.ndarray, "n n_labels"]) -> Float[Array, "n n_pix"]:
        """Noiseless spectra at labels on the grid; NaN outside."""
        # Star after star is several times faster on a CPU, where a GPU would wait for each of them.
        found: Float[Array, "n n_pix"] = jax.lax.platform_dependent(
            jnp.asarray(labels), cpu=self.emulator.batch, default=jax.vmap(self.emulator)
        )
        return found

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Batch:
        """The spectra of these global indices."""
        labels, mag, keys = jax.vmap(self._star)(fold_in(key, index))
        return self.observer.observe(keys, Rows(self.clean(labels), labels, mag))

    def _star(
        self, key: Key[Array, ""]
    ) -> tuple[Float[Array, " n_labels"], Float[Array, ""], Key[Array, ""]]:
        label_key, mag_key, noise_key = jax.random.split(key, 3)
        labels = self.prior.draw(label_key, 1)[0]
        low, high = self.mag_range
        mag = jax.random.uniform(mag_key, (), self.mag_range.dtype, minval=low, maxval=high)
        return labels, mag, noise_key


def fold_in(key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Key[Array, " n"]:
    """The key of every spectrum, from its global index."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def make_simulator(
    grid_path: str | Path | None = None,
    noise_path: str | Path | None = None,
    mag: tuple[float, float] = (20.5, 22.5),
    *,
    labels: tuple[str, ...] | None = None,
    drawn: LabelsDrawn = LabelsDrawn(),
    exposure: Exposure = Exposure(),
    noise_level: float = 1.0,
) -> Simulator:
    """The simulator of a grid file (default: the embedded grid) under a noise file (default: built in).

    Args:
        grid_path: grid file, vacuum Å.
        noise_path: noise curves.
        mag: AB magnitudes in i, (bright, faint).
        labels: those that vary; None: all of the grid's but a_M and C_M, which are held at 0.
        drawn: how they are drawn.
        exposure: number and length of exposures, seeing.
        noise_level: factor on the 1-sigma noise.

    Raises:
        UsageError: an unknown label, a range outside the grid, or one that is not (low, high); both prior
            snapped and beta.
    """
    grid = to_detector(load_slice(default_grid_path() if grid_path is None else grid_path, labels))
    emulator = make_emulator(grid)
    if not (np.isfinite(mag).all() and mag[0] <= mag[1]):
        raise UsageError(f"mag must be (bright, faint) with bright <= faint, found {mag}")
    held = [name for name in emulator.label_names if labels and name not in labels]
    if held:
        raise UsageError(f"labels must name {', '.join(held)} too, which a range of no width would hold")
    noise = builtin_noise() if noise_path is None else load_noise(noise_path)
    return Simulator(
        ForwardModel(emulator, noise.with_exposure(exposure).with_level(noise_level)),
        _prior(emulator, drawn),
        jnp.asarray(mag, float),
    )


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


def _prior(emulator: Emulator, drawn: LabelsDrawn) -> Uniform | Snapped | Prior:
    kind, beta, (low, high) = drawn.sampling, drawn.beta, _box(emulator, drawn.ranges)
    if kind not in ("continuous", "snapped"):
        raise UsageError(f"prior must be continuous or snapped, found {kind!r}")
    if kind == "snapped" and beta:
        raise UsageError(f"prior snapped draws nodes uniformly; leave out beta, found {', '.join(beta)}")
    if kind == "snapped":
        return make_snapped(emulator.axes, low, high, emulator.label_names)
    if beta:
        found: Uniform | Snapped | Prior = jax.tree.map(
            jnp.asarray, make_prior(low, high, emulator.label_names, beta)
        )
        return found
    return Uniform(jnp.asarray(low), jnp.asarray(high))


def make_observer(config: DataConfig, label_names: tuple[str, ...]) -> Observer:
    """The noise a configuration names, for spectra with these labels."""
    noise = builtin_noise() if config.noise is None else load_noise(config.noise)
    exposure = Exposure(config.exptime_s, config.n_exp, config.seeing_arcsec)
    return Observer(noise.with_exposure(exposure).with_level(config.noise_level), label_names)


def chunks(source: Simulator, key: Key[Array, ""], n: int, size: int | None = None) -> Iterator[Batch]:
    """Draws the spectra of indices 0..n-1 in pieces of `size` (default `CHUNK`); the last one is shorter."""
    size = size or CHUNK
    sample = jax.jit(type(source).sample)
    for start in range(0, n, size):
        batch = sample(source, key, jnp.arange(start, start + size))
        yield Batch(*(array[: n - start] for array in batch))


@jax.jit
def snr_of(
    clean: Float[Array | np.ndarray, "n n_pix"], error: Float[Array | np.ndarray, "n n_pix"]
) -> Float[Array, " n"]:
    """SNR per spectrum as `crlb.observation.noise.snr` defines it, of the noiseless flux."""
    return jax.vmap(snr)(jnp.asarray(clean), jnp.asarray(error))


def median_snr(
    flux: Float[np.ndarray, "n n_pix"], error: Float[np.ndarray, "n n_pix"]
) -> Float[np.ndarray, " n"]:
    """`snr_of` piece by piece, so that memory does not grow with the number of spectra."""
    starts = range(0, len(flux), CHUNK)
    return np.concatenate(
        [np.asarray(snr_of(flux[start : start + CHUNK], error[start : start + CHUNK])) for start in starts]
    )
