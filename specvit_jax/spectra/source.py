"""Spectra in: drawn on the fly from crlb's emulator, observed with its noise. The only door to its physics.

A source has `sample(key, index) -> Batch`, pure and jittable, and is itself a jit argument. What a spectrum
looks like depends on the key and on its own global index only, not on the batch or device it sits in.
`file_sources.py` has the sources that are files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from crlb.bayes.population import Population, make_population
from crlb.bayes.prior import Prior, make_prior
from crlb.detector import DEFAULT_LSF_FWHM, Detector
from crlb.errors import DataError, UsageError
from crlb.files.spectra import Spectra as Spectra  # handed on: what a file of spectra holds
from crlb.files.spectra import label_columns as label_columns
from crlb.files.spectra import read_spectra as read_spectra
from crlb.grids.emulator import Emulator, make_emulator
from crlb.grids.grid_file import default_grid_path, load_slice
from crlb.grids.spectral_grid import SpectralGrid
from crlb.observation.brightness import mags_at_snr
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.exposure import Exposure as Exposure  # handed on: how long and how often
from crlb.observation.forward_model import ForwardModel
from crlb.observation.instrument import seen_by
from crlb.observation.moving import REACH_SIGMA, axis_priors, moving_emulator
from crlb.observation.noise import snr
from crlb.observation.noise_curves import NoiseModel
from crlb.observation.observe import Observing, observing
from crlb.observation.spectrograph import Spectrograph
from crlb.readers.star_table import read_star_table
from specvit_jax.settings.config import DataConfig
from specvit_jax.settings.observed_under import conditions_in
from specvit_jax.spectra.observer import Batch as Batch  # handed on
from specvit_jax.spectra.observer import Observer as Observer
from specvit_jax.spectra.observer import Rows as Rows
from specvit_jax.spectra.observer import fold_in as fold_in
from specvit_jax.spectra.observer import make_observer as make_observer
from specvit_jax.spectra.pixels import on_pixels
from specvit_jax.spectra.priors import LabelsDrawn, Snapped, Uniform, make_snapped

N_MEDIAN = 250  # stars of which the median has a signal-to-noise ratio that is asked for
CHUNK = 250  # spectra per piece when many are drawn on the host: 4 MB per array
SNR_DEFINITION = "median over usable pixels of flux/error"


class SnrRange(NamedTuple):
    """Signal-to-noise ratios per pixel, low and high, that the median star has."""

    low: float
    high: float


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Simulator:
    """Endless spectra: labels of a prior, magnitude uniform in a range, noise drawn afresh.

    Stars of a population that has magnitudes are as bright as they are.

    Args:
        model: how stars are seen, on all pixels of the arm; velocity and line-spread width are its last
            labels where these are unknown.
        prior: of the labels but velocity and width.
        mag_range: AB magnitudes in i, bright and faint.
        observing: conditions, polynomials, lines of the sky; the noise that counts is that of the model.
        moved: mean and standard deviation of velocity and width, km/s and Å; empty where they are known.
    """

    model: ForwardModel
    prior: Uniform | Snapped | Prior | Population
    mag_range: Float[Array, "2"]
    observing: Observing
    moved: tuple[tuple[float, float], ...] = field(default=(), metadata={"static": True})

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
        return Observer(replace(self.observing, noise=self.noise), self.label_names)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Order of the labels in a batch: those of the star."""
        names = self.model.label_names
        return names[: len(names) - len(self.moved)]

    @property
    def rows(self) -> None:
        """None: there is no end to them."""
        return None

    @property
    def wave(self) -> Float[Array | np.ndarray, " n_pix"]:
        """Pixel centres, vacuum Å."""
        return self.model.wave

    def clean(self, labels: Float[Array | np.ndarray, "n n_labels"]) -> Float[Array, "n n_pix"]:
        """Noiseless spectra at labels on the grid, at the mean velocity and width; NaN outside."""
        labels = jnp.asarray(labels)
        means = jnp.asarray([mean for mean, _ in self.moved], labels.dtype)
        return self._flux(
            jnp.concatenate([labels, jnp.broadcast_to(means, (len(labels), len(means)))], axis=1)
        )

    def sample(self, key: Key[Array, ""], index: Int[Array | np.ndarray, " n"]) -> Batch:
        """The spectra of these global indices."""
        labels, mag, keys = jax.vmap(self._star)(fold_in(key, index))
        own = labels[:, : len(self.label_names)]
        return self.observer.observe(keys, Rows(self._flux(labels), own, mag))

    def _flux(self, labels: Float[Array, "n n_all"]) -> Float[Array, "n n_pix"]:
        # Star after star is several times faster on a CPU, where a GPU would wait for each of them.
        found: Float[Array, "n n_pix"] = jax.lax.platform_dependent(
            labels, cpu=self.emulator.batch, default=jax.vmap(self.emulator)
        )
        return found

    def _star(self, key: Key[Array, ""]) -> tuple[Float[Array, " n_all"], Float[Array, ""], Key[Array, ""]]:
        label_key, mag_key, noise_key = jax.random.split(key, 3)
        labels = self.prior.draw(label_key, 1)[0]
        low, high = self.mag_range
        mag = jax.random.uniform(mag_key, (), self.mag_range.dtype, minval=low, maxval=high)
        if isinstance(self.prior, Population) and self.prior.mag is not None:
            mag = jnp.asarray(self.prior.mag)[self.prior.rows(label_key, 1)[0]]  # of the same star
        if self.moved:
            labels = jnp.concatenate([labels, self._moved(jax.random.fold_in(label_key, 1), labels.dtype)])
        return labels, mag, noise_key

    def _moved(self, key: Key[Array, ""], dtype: np.dtype) -> Float[Array, " n_moved"]:
        """Velocity and width from their priors, within the reach of the model's axes."""
        mean, sigma = jnp.asarray(self.moved, dtype).T
        found: Array = mean + sigma * jax.random.truncated_normal(
            key, -REACH_SIGMA, REACH_SIGMA, mean.shape, dtype
        )
        return found


def make_simulator(
    grid_path: str | Path | None = None,
    instrument: str | Path | Spectrograph | None = None,
    mag: tuple[float, float] | SnrRange = (20.5, 22.5),
    *,
    labels: tuple[str, ...] | None = None,
    drawn: LabelsDrawn = LabelsDrawn(),
    exposure: Exposure = Exposure(),
    noise_level: float = 1.0,
    conditions: Conditions = PUBLISHED,
) -> Simulator:
    """The simulator of a grid file (default: the embedded grid) through an instrument (default: PFS red arm).

    Args:
        grid_path: grid file, vacuum Å.
        instrument: a spectrograph (`crlb.instrument`), whose pixels that the grid shows are taken in the
            order of wavelength; or a file of other noise curves of the PFS red arm.
        mag: AB magnitudes in i, (bright, faint); or signal-to-noise ratios of the median star, between whose
            magnitudes stars are drawn uniformly.
        labels: those that vary; None: all of the grid's but a_M and C_M, which are held at 0.
        drawn: how they are drawn.
        exposure: number and length of exposures, seeing.
        noise_level: factor on the 1-sigma noise.
        conditions: what is unknown of a star besides its labels; drawn for each.

    Raises:
        UsageError: an unknown label, a range outside the grid, or one that is not (low, high); both prior
            snapped and beta; magnitudes for an instrument whose noise of one is not known; or as `observing`
            and `moving_emulator`.
        MissingInputError, DataError: as the readers of grid, noise and population, `on_pixels` and
            `make_population`.
    """
    grid = load_slice(default_grid_path() if grid_path is None else grid_path, labels)
    seen = on_pixels(grid, instrument, conditions)
    if not (seen.calibrated or isinstance(mag, SnrRange)):
        raise UsageError(
            f"snr is needed with instrument {seen.name}: what noise a magnitude has is not known there; or "
            "describe it in a file of your own (crlb instrument new)"
        )
    noise = seen.noise.with_exposure(exposure).with_level(noise_level)
    seeing = observing(noise, conditions)
    moved = axis_priors(conditions, seen.detector.width)
    if moved:
        emulator = _moving(grid, conditions, seen.detector)
    else:
        emulator = make_emulator(seen_by(grid, seen.detector))
    names = emulator.label_names[: len(emulator.label_names) - len(moved)]
    held = [name for name in names if labels and name not in labels]
    if held:
        raise UsageError(f"labels must name {', '.join(held)} too, which a range of no width would hold")
    model, prior = ForwardModel(emulator, noise), _prior(emulator, names, drawn)
    if isinstance(mag, SnrRange):
        mag = _mags_at(model, prior, mag, tuple(moved.values()))
    if not (np.isfinite(mag).all() and mag[0] <= mag[1]):
        raise UsageError(f"mag must be (bright, faint) with bright <= faint, found {mag}")
    if isinstance(prior, Population) and prior.mag is not None:
        mag = (float(np.min(prior.mag)), float(np.max(prior.mag)))
    return Simulator(model, prior, jnp.asarray(mag, float), seeing, tuple(moved.values()))


def _mags_at(
    model: ForwardModel,
    prior: Uniform | Snapped | Prior | Population,
    snr: SnrRange,
    moved: tuple[tuple[float, float], ...],
) -> tuple[float, float]:
    """The magnitudes, bright and faint, at which the median of stars that are drawn has these ratios."""
    stars = np.asarray(prior.draw(jax.random.key(0), N_MEDIAN), np.float64)
    at_rest = np.tile([mean for mean, _ in moved], (N_MEDIAN, 1))
    faint, bright = mags_at_snr(model, snr, np.concatenate([stars, at_rest], axis=1))
    return bright, faint


def _moving(grid: SpectralGrid, conditions: Conditions, detector: Detector) -> Emulator:
    """The emulator with axes for velocity and width, in the default float type of jax."""
    found, covered = moving_emulator(grid, conditions, detector=detector)
    if not covered.all():
        raise DataError(
            f"rv_sigma_kms: at {REACH_SIGMA * conditions.rv_sigma_kms:.0f} km/s the grid leaves "
            f"{int((~covered).sum())} pixels uncovered; use a smaller one, or a wider grid"
        )
    arrays = (jnp.asarray(np.asarray(array), float) for array in (found.coefficients, found.basis))
    coefficients, basis = arrays
    return replace(found, coefficients=coefficients, basis=basis)


def _box(
    emulator: Emulator, names: tuple[str, ...], ranges: Mapping[str, tuple[float, float]]
) -> tuple[np.ndarray, np.ndarray]:
    low, high = emulator.low[: len(names)], emulator.high[: len(names)]
    for i, (name, (start, stop)) in zip(label_columns(names, tuple(ranges)), ranges.items(), strict=True):
        if not low[i] <= start <= stop <= high[i]:
            raise UsageError(
                f"range of {name} must be low <= high within the grid, {low[i]:g} to {high[i]:g}, "
                f"found {start:g} to {stop:g}"
            )
        low[i], high[i] = start, stop
    return low, high


def _population(emulator: Emulator, names: tuple[str, ...], drawn: LabelsDrawn) -> Population:
    """The stars of a table, in the default float type of jax."""
    assert drawn.population is not None
    if drawn.ranges or drawn.beta or drawn.sampling != "continuous":
        raise UsageError("a population brings its own labels; leave out ranges, beta and prior snapped")
    low, high = emulator.low[: len(names)], emulator.high[: len(names)]
    table = read_star_table(drawn.population)
    found, _ = make_population(table, names, low, high, drop_outside=drawn.drop_outside)
    if drawn.own_mags and found.mag is None:
        raise DataError(
            f"population {drawn.population}: needed a column mag, found {', '.join(table.columns)}"
        )
    found = found if drawn.own_mags else replace(found, mag=None)
    single: Population = jax.tree.map(lambda x: jnp.asarray(x, float), found)
    return single


def _prior(
    emulator: Emulator, names: tuple[str, ...], drawn: LabelsDrawn
) -> Uniform | Snapped | Prior | Population:
    if drawn.population is not None:
        return _population(emulator, names, drawn)
    kind, beta, (low, high) = drawn.sampling, drawn.beta, _box(emulator, names, drawn.ranges)
    if kind not in ("continuous", "snapped"):
        raise UsageError(f"prior must be continuous or snapped, found {kind!r}")
    if kind == "snapped" and beta:
        raise UsageError(f"prior snapped draws nodes uniformly; leave out beta, found {', '.join(beta)}")
    if kind == "snapped":
        return make_snapped(emulator.axes[: len(names)], low, high, names)
    if beta:
        found: Uniform | Snapped | Prior = jax.tree.map(jnp.asarray, make_prior(low, high, names, beta))
        return found
    return Uniform(jnp.asarray(low), jnp.asarray(high))


def check_stored(config: DataConfig) -> None:
    """Refuses conditions that stored spectra cannot be brought into: they have one velocity and one width.

    Raises:
        UsageError: velocity or width is to be drawn.
    """
    if axes := axis_priors(conditions_in(config.conditions), DEFAULT_LSF_FWHM):
        raise UsageError(
            f"data.conditions (--conditions) draws {' and '.join(axes)} afresh for every star, but the "
            f"spectra in {config.source} are stored at one; take `emulator` as data, or conditions with "
            "rv_sigma_kms and lsf_sigma 0"
        )


def chunks(source: Simulator, key: Key[Array, ""], n: int, size: int | None = None) -> Iterator[Batch]:
    """Draws the spectra of indices 0..n-1 in pieces of `size` (default `CHUNK`); the last one is shorter."""
    size = size or CHUNK
    sample = jax.jit(type(source).sample)
    for start in range(0, n, size):
        batch = sample(source, key, jnp.arange(start, start + size))
        yield jax.tree.map(partial(_first, count=n - start), batch)


def _first(array: Array, count: int) -> Array:
    found: Array = array[:count]
    return found


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
