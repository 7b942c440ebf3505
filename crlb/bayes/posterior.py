"""The exact posterior of the labels of each star, given its noisy spectrum: moments, quantiles, ranks.

    p(labels | y) ~ prior(labels) L(labels; y),      L with V(labels), see `crlb.bayes.likelihood`

1. Templates: Sobol points of the prior, shared by all stars of one magnitude. Where enough of them carry
   weight, as at low SNR, they are the answer.
2. Otherwise own points of the star (`crlb.bayes.refine`), round after round until enough carry weight and two
   halves of them agree on every mean.

A star for which this does not happen is returned with `converged` False.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Real

from crlb.bayes.importance import ess_of, sobol
from crlb.bayes.likelihood import Model, Stars, log_likelihood_shared, make_model
from crlb.bayes.prior import Prior
from crlb.bayes.refine import Points, keep_stars, one_round, start
from crlb.errors import DataError, UsageError
from crlb.grids.emulator import Emulator
from crlb.observation.noise import Exposure, NoiseModel

DEFAULT_EXPOSURE = Exposure()
DEFAULT_QUANTILES = (0.16, 0.5, 0.84)
MAG_BIN = 0.1  # mag: stars this close share templates, as a first guess unless their magnitudes are equal
STARS_AT_ONCE = 1024  # against the templates: 64 MB of likelihoods
MAX_ROUNDS = 8
TEMPLATE_MARGIN = 2.0  # templates are shared, so they need this times the effective number of own points


class Posterior(NamedTuple):
    """What is known of each star; labels in the prior's order and units."""

    mean: Float[np.ndarray, "n n_labels"]
    """Posterior mean."""
    sigma: Float[np.ndarray, "n n_labels"]
    """Posterior standard deviation."""
    quantiles: Float[np.ndarray, "n n_labels n_q"]
    """Marginal quantiles."""
    cumulative: Float[np.ndarray, "n n_labels"]
    """Posterior probability of a label below its true value, uniform over [0, 1] if all is right; NaN where
    no truth was given."""
    ess: Float[np.ndarray, " n"]
    """Effective number of points behind these numbers."""
    converged: Bool[np.ndarray, " n"]
    """Whether the criteria of the module were met."""


def posterior(
    flux: Real[Array | np.ndarray, "n n_pix"],
    mag: Real[Array | np.ndarray, " n"],
    emulator: Emulator,
    noise: NoiseModel,
    prior: Prior,
    *,
    key: Key[Array, ""],
    exposure: Exposure = DEFAULT_EXPOSURE,
    usable: Bool[Array | np.ndarray, "n n_pix"] | None = None,
    amplitude: float | None = None,
    quantiles: Sequence[float] = DEFAULT_QUANTILES,
    truth: Real[Array | np.ndarray, "n n_labels"] | None = None,
    target_ess: float = 256.0,
    n_templates: int = 8192,
    n_points: int = 512,
    advance: Callable[[int], None] | None = None,
) -> Posterior:
    """Returns mean, standard deviation and quantiles of every label of every star.

    Args:
        flux: observed spectra, in the unit of the emulator's flux (median 0.5 after `to_detector`).
        mag: AB magnitude in i of every star, taken as known.
        emulator: flux on the detector's pixels.
        noise: curves of the instrument and sky.
        prior: of all labels of the emulator, inside its box.
        key: chooses the quasi-random points; same key, same answer.
        exposure: number and length of exposures, seeing.
        usable: False for pixels to leave out, whose flux may be anything.
        amplitude: 1-sigma width of a Gaussian prior around 1 on a factor on the model flux, integrated over
            analytically; inf for a flat prior (the factor should still be near 1, where V is taken); None:
            the scale is known.
        quantiles: probabilities of the quantiles.
        truth: true labels, for `cumulative`.
        target_ess: effective number of points that every star needs.
        n_templates: points shared by all stars, a power of two.
        n_points: own points of a star per round, a power of two.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: prior of other labels or wider than the emulator, amplitude, quantiles, truth or numbers
            of points out of range.
        DataError: flux or magnitude not finite, different pixels, a star without usable pixel.
    """
    observed = _check_stars(flux, mag, usable, emulator, noise)
    _check_settings(emulator, prior, amplitude, quantiles, target_ess, (n_templates, n_points))
    known = _check_truth(truth, prior, len(observed.mag))
    with jax.enable_x64(True):  # sums over points in float64 whatever the caller computes in
        model = make_model(emulator, noise, prior, exposure, amplitude)
        settings = _Settings(key, target_ess, n_templates, n_points)
        answer = _empty(len(observed.mag), len(prior.label_names), len(quantiles))
        for group in _groups(np.asarray(observed.mag)):
            for rows, points, good in _solve(model, settings, observed.take(group), group):
                _record(answer, rows, points, good, prior, known[rows], quantiles)
                if advance is not None:
                    advance(len(rows))
    return answer


class _Settings(NamedTuple):
    """How hard to try; see `posterior`."""

    key: Key[Array, ""]
    target_ess: float
    n_templates: int
    n_points: int


def _solve(
    model: Model, settings: _Settings, stars: Stars, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, Points, np.ndarray]]:
    """Yields row numbers, weighted points and convergence of stars of one magnitude as they finish."""
    n_labels = len(model.prior.label_names)
    seeds = [int(bits) for bits in jax.random.bits(settings.key, (2,), jnp.uint32)]
    unit = _prior_unit(model.prior, sobol(seeds[0], settings.n_templates, n_labels))
    base = jnp.asarray(sobol(seeds[1], settings.n_points, n_labels + 1))
    log_like = _against_templates(model, unit, stars)
    weight = np.exp(log_like - log_like.max(axis=1, keepdims=True))
    enough = np.asarray(ess_of(jnp.asarray(weight))) >= TEMPLATE_MARGIN * settings.target_ess
    done = enough & (np.ptp(stars.mag) == 0)
    if done.any():
        yield rows[done], Points(unit[None], weight[done]), done[done]
    left = np.flatnonzero(~done)
    if not len(left):
        return
    state, rows = start(model, settings.key, unit, log_like[left], stars.take(left), rows[left]), rows[left]
    for number in range(MAX_ROUNDS):
        state, points, good = one_round(model, state, base, number, settings.target_ess)
        final = good | (number == MAX_ROUNDS - 1)
        if final.any():
            yield rows[final], Points(points.unit[final], points.weight[final]), good[final]
        if final.all():
            return
        rows, state = rows[~final], keep_stars(state, ~final)


def _record(
    answer: Posterior,
    rows: np.ndarray,
    points: Points,
    good: np.ndarray,
    prior: Prior,
    truth: np.ndarray,
    levels: Sequence[float],
) -> None:
    """Writes moments and quantiles of weighted points.

    The variance is not multiplied by ess/(ess - 1): the points are quasi-random, their mean is right to about
    a third of sigma/sqrt(ess), and the correction for independent points would be eight times too large.
    """
    weight = points.weight / points.weight.sum(axis=1, keepdims=True)
    ess = 1 / (weight**2).sum(axis=1)
    answer.ess[rows], answer.converged[rows] = ess, good
    for i, (low, high) in enumerate(zip(prior.low, prior.high, strict=True)):
        values = low + (high - low) * points.unit[:, :, i]
        mean = (weight * values).sum(axis=1)
        square = (values - mean[:, None]) ** 2
        spread = (weight * square).sum(axis=1)
        answer.mean[rows, i], answer.sigma[rows, i] = mean, np.sqrt(spread)
        answer.quantiles[rows, i] = _quantiles(*_ordered(values, weight), levels)
        below = (weight * (values < truth[:, i, None])).sum(axis=1)
        answer.cumulative[rows, i] = np.where(np.isnan(truth[:, i]), np.nan, below)


def _ordered(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in increasing order and the probability up to the middle of each one's weight."""
    order = values.argsort(axis=1)
    values = np.take_along_axis(values, order, axis=1)
    weight = weight[:, order[0]] if len(order) == 1 else np.take_along_axis(weight, order, axis=1)
    return values, weight.cumsum(axis=1) - 0.5 * weight


def _quantiles(values: np.ndarray, cumulative: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Quantiles (n, n_levels), linear between the points."""
    rows = np.broadcast_to(values, cumulative.shape)
    return np.array([np.interp(levels, c, v) for c, v in zip(cumulative, rows, strict=True)])


def _prior_unit(prior: Prior, uniform: np.ndarray) -> np.ndarray:
    """Unit coordinates that follow the prior."""
    return (prior.quantile(uniform) - np.asarray(prior.low)) / np.asarray(prior.high - prior.low)


def _against_templates(model: Model, unit: np.ndarray, stars: Stars) -> Float[np.ndarray, "n m"]:
    """Log-likelihood of all templates for every star; stars padded to a power of two, so few shapes compile.

    One mask shared by all stars is passed once.
    """
    n = len(stars.mag)
    padded = stars.take(np.resize(np.arange(n), max(16, 1 << (n - 1).bit_length())))
    if (stars.usable == stars.usable[:1]).all():
        padded = padded._replace(usable=padded.usable[:1])
    return np.asarray(log_likelihood_shared(model, jnp.asarray(unit), padded))[:n]


def _groups(mag: np.ndarray) -> list[np.ndarray]:
    """Row numbers of stars that share templates: within `MAG_BIN`, at most `STARS_AT_ONCE`."""
    bins = np.floor(mag / MAG_BIN + 0.5)
    groups = [np.flatnonzero(bins == b) for b in np.unique(bins)]
    return [g[i : i + STARS_AT_ONCE] for g in groups for i in range(0, len(g), STARS_AT_ONCE)]


def _empty(n: int, n_labels: int, n_quantiles: int) -> Posterior:
    blank = lambda *shape: np.full(shape, np.nan)  # noqa: E731
    return Posterior(
        blank(n, n_labels),
        blank(n, n_labels),
        blank(n, n_labels, n_quantiles),
        blank(n, n_labels),
        blank(n),
        np.zeros(n, bool),
    )


def _check_stars(
    flux: Array | np.ndarray,
    mag: Array | np.ndarray,
    usable: Array | np.ndarray | None,
    emulator: Emulator,
    noise: NoiseModel,
) -> Stars:
    """The stars as checked host arrays, flux 0 where not usable."""
    n_pix = len(emulator.wave)
    if len(noise.wave) != n_pix or not np.allclose(emulator.wave, noise.wave, rtol=1e-7):
        raise DataError(
            "emulator and noise must be on the same pixels: pass the grid through instrument.to_detector; "
            f"found {n_pix} and {len(noise.wave)} pixels"
        )
    y, mags = np.asarray(flux), np.asarray(mag, np.float64)
    if y.shape[1] != n_pix:
        raise DataError(f"flux must have the emulator's {n_pix} pixels, found {y.shape[1]}")
    mask = np.ones(y.shape, bool) if usable is None else np.asarray(usable)
    if mags.shape != y.shape[:1] or mask.shape != y.shape:
        raise DataError(
            f"mag and usable must be of the {len(y)} stars of flux, found {mags.size} and {len(mask)}"
        )
    if not np.isfinite(mags).all():
        raise DataError(f"mag must be finite, found {mags[~np.isfinite(mags)][0]}")
    bad = ~np.isfinite(y) & mask
    if bad.any():
        star, pixel = np.argwhere(bad)[0]
        raise DataError(
            f"flux must be finite, found {y[star, pixel]} in star {star}, pixel {pixel}; mark it in `usable`"
        )
    if not mask.any(axis=1).all():
        raise DataError(f"star {np.argmin(mask.any(axis=1))} has no usable pixel; leave it out")
    return Stars(np.where(mask, y, 0.0), mask, mags)


def _check_settings(
    emulator: Emulator,
    prior: Prior,
    amplitude: float | None,
    quantiles: Sequence[float],
    target_ess: float,
    sizes: tuple[int, int],
) -> None:
    if prior.label_names != emulator.label_names:
        raise UsageError(
            f"prior must be of the emulator's labels, {', '.join(emulator.label_names)}, found "
            f"{', '.join(prior.label_names)}"
        )
    emulator.check(np.stack([np.asarray(prior.low), np.asarray(prior.high)]))
    if amplitude is not None and not amplitude > 0:
        raise UsageError(f"amplitude must be positive, inf for flat, None for known; found {amplitude}")
    if not all(0 < q < 1 for q in quantiles):
        raise UsageError(f"quantiles must lie between 0 and 1, found {list(quantiles)}")
    if not target_ess > 1:
        raise UsageError(f"target_ess must be above 1, found {target_ess}")
    for name, size in zip(("n_templates", "n_points"), sizes, strict=True):
        if size < 32 or size & (size - 1):
            raise UsageError(f"{name} must be a power of two from 32, found {size}")


def _check_truth(truth: Array | np.ndarray | None, prior: Prior, n: int) -> np.ndarray:
    shape = (n, len(prior.label_names))
    if truth is None:
        return np.full(shape, np.nan)
    values = np.asarray(truth, np.float64)
    if values.shape != shape:
        raise UsageError(f"truth must hold {shape[1]} labels of {n} stars, found shape {values.shape}")
    outside = (values < np.asarray(prior.low)) | (values > np.asarray(prior.high))
    if outside.any() or np.isnan(values).any():
        star, i = np.argwhere(outside | np.isnan(values))[0]
        raise UsageError(
            f"truth: {prior.label_names[i]} must lie within the prior, {prior.low[i]:g} to "
            f"{prior.high[i]:g}, found {values[star, i]:g} for star {star}"
        )
    return values
