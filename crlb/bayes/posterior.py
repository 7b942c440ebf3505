"""The exact posterior of the labels of each star, given its noisy spectrum: moments, quantiles, ranks.

    p(labels | y) ~ prior(labels) L(labels; y),      L with V(labels), see `crlb.bayes.likelihood`

1. Templates: Sobol points of the prior, shared by all stars of one magnitude. Where enough of them carry
   weight, as at low SNR, they are the answer.
2. Otherwise own points of the star (`crlb.bayes.refine`), round after round until enough carry weight and two
   halves of them agree on every mean.

A star for which this does not happen is returned with `converged` False.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Real

from crlb.bayes.importance import ess_of, sobol
from crlb.bayes.likelihood import Likelihood, Stars, log_likelihood_shared, make_likelihood
from crlb.bayes.prior import Prior
from crlb.bayes.refine import Points, keep_stars, one_round, start
from crlb.bayes.result import Posterior, joined
from crlb.errors import DataError, UsageError
from crlb.grids.emulator import Emulator
from crlb.observation.forward_model import ForwardModel

MAG_BIN = 0.1  # mag: stars this close share templates, as a first guess unless their magnitudes are equal
STARS_AT_ONCE = 1024  # against the templates: 64 MB of likelihoods
MAX_ROUNDS = 8
TEMPLATE_MARGIN = 2.0  # templates are shared, so they need this times the effective number of own points


@dataclass(frozen=True)
class Inference:
    """What is unknown of a star besides its labels, and with how many points its posterior is computed.

    Args:
        amplitude: 1-sigma width of a Gaussian prior around 1 on a factor on the model flux, integrated over
            analytically; inf for a flat prior (the factor should still be near 1, where V is taken); None:
            the scale is known.
        quantiles: probabilities of the quantiles.
        target_ess: effective number of points that every star needs.
        n_templates: points shared by all stars of one magnitude, a power of two.
        n_points: own points of a star per round, a power of two.

    Raises:
        UsageError: a value out of range.
    """

    amplitude: float | None = None
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    target_ess: float = 256.0
    n_templates: int = 8192
    n_points: int = 512

    def __post_init__(self) -> None:
        if self.amplitude is not None and not self.amplitude > 0:
            raise UsageError(
                f"amplitude must be positive, inf for flat, None for known; found {self.amplitude}"
            )
        if not all(0 < q < 1 for q in self.quantiles):
            raise UsageError(f"quantiles must lie between 0 and 1, found {list(self.quantiles)}")
        if not self.target_ess > 1:
            raise UsageError(f"target_ess must be above 1, found {self.target_ess}")
        for name, size in (("n_templates", self.n_templates), ("n_points", self.n_points)):
            if size < 32 or size & (size - 1):
                raise UsageError(f"{name} must be a power of two from 32, found {size}")


@dataclass(frozen=True, eq=False)
class Observations:
    """Noisy spectra of stars on the pixels that a forward model has in use.

    Args:
        flux: observed spectra, in the unit of the model's flux (median about 0.5 over the arm).
        mag: AB magnitude in i of every star, taken as known.
        usable: False for pixels to leave out, whose flux may be anything; None: all are used.
        truth: true labels, for the ranks in `Posterior.cumulative`.
    """

    flux: Real[Array | np.ndarray, "n n_pix"]
    mag: Real[Array | np.ndarray, " n"]
    usable: Bool[Array | np.ndarray, "n n_pix"] | None = None
    truth: Real[Array | np.ndarray, "n n_labels"] | None = None


def posterior(
    observed: Observations,
    model: ForwardModel,
    prior: Prior,
    *,
    key: Key[Array, ""],
    inference: Inference = Inference(),
    advance: Callable[[int], None] | None = None,
) -> Posterior:
    """Returns mean, standard deviation and quantiles of every label of every star.

    Args:
        observed: the spectra.
        model: how they were seen.
        prior: of all labels of the model, inside its box.
        key: chooses the quasi-random points; same key, same answer.
        inference: what is unknown besides the labels, and how many points to use.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: prior of other labels or wider than the emulator, truth outside the prior.
        DataError: flux or magnitude not finite, different pixels, a star without usable pixel.
    """
    stars = _check_stars(observed, model)
    _check_prior(model.emulator, prior)
    known = _check_truth(observed.truth, prior, len(stars.mag))
    with jax.enable_x64(True):  # sums over points in float64 whatever the caller computes in
        like = make_likelihood(model, prior, inference.amplitude)
        rows, parts = [np.zeros(0, int)], [_of_no_star(prior.label_names, len(inference.quantiles))]
        for group in _groups(np.asarray(stars.mag)):
            for done in _solve(like, key, inference, stars.take(group), group):
                rows.append(done.rows)
                parts.append(_summary(done, prior, known[done.rows], inference.quantiles))
                if advance is not None:
                    advance(len(done.rows))
    return joined(np.concatenate(rows), parts)


class Weighted(NamedTuple):
    """Stars that are finished: their row numbers, their weighted points, whether these suffice."""

    rows: np.ndarray
    points: Points
    good: np.ndarray


def _solve(
    like: Likelihood, key: Key[Array, ""], inference: Inference, stars: Stars, rows: np.ndarray
) -> Iterator[Weighted]:
    """Yields stars of one magnitude as they finish."""
    n_labels = len(like.prior.label_names)
    seeds = [int(bits) for bits in jax.random.bits(key, (2,), jnp.uint32)]
    unit = _prior_unit(like.prior, sobol(seeds[0], inference.n_templates, n_labels))
    base = jnp.asarray(sobol(seeds[1], inference.n_points, n_labels + 1))
    log_like = _against_templates(like, unit, stars)
    weight = np.exp(log_like - log_like.max(axis=1, keepdims=True))
    enough = np.asarray(ess_of(jnp.asarray(weight))) >= TEMPLATE_MARGIN * inference.target_ess
    done = enough & (np.ptp(stars.mag) == 0)
    if done.any():
        yield Weighted(rows[done], Points(unit[None], weight[done]), done[done])
    left = np.flatnonzero(~done)
    if not len(left):
        return
    state, rows = start(like, key, unit, log_like[left], stars.take(left), rows[left]), rows[left]
    for number in range(MAX_ROUNDS):
        state, points, good = one_round(like, state, base, number, inference.target_ess)
        final = good | (number == MAX_ROUNDS - 1)
        if final.any():
            yield Weighted(rows[final], Points(points.unit[final], points.weight[final]), good[final])
        if final.all():
            return
        rows, state = rows[~final], keep_stars(state, ~final)


def _summary(found: Weighted, prior: Prior, truth: np.ndarray, levels: Sequence[float]) -> Posterior:
    """Moments and quantiles of weighted points.

    The variance is not multiplied by ess/(ess - 1): the points are quasi-random, their mean is right to about
    a third of sigma/sqrt(ess), and the correction for independent points would be eight times too large.
    """
    weight = found.points.weight / found.points.weight.sum(axis=1, keepdims=True)
    labels = []
    for i, (low, high) in enumerate(zip(prior.low, prior.high, strict=True)):
        values = np.asarray(low + (high - low) * found.points.unit[:, :, i])
        mean = (weight * values).sum(axis=1)
        sigma = np.sqrt((weight * (values - mean[:, None]) ** 2).sum(axis=1))
        below = (weight * (values < truth[:, i, None])).sum(axis=1)
        cumulative = np.where(np.isnan(truth[:, i]), np.nan, below)
        labels.append((mean, sigma, _quantiles(*_ordered(values, weight), levels), cumulative))
    mean, sigma, quantiles, cumulative = (np.stack(column, axis=1) for column in zip(*labels, strict=True))
    ess = 1 / (weight**2).sum(axis=1)
    return Posterior(prior.label_names, mean, sigma, quantiles, cumulative, ess, found.good)


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
    return np.asarray((prior.quantile(uniform) - np.asarray(prior.low)) / np.asarray(prior.high - prior.low))


def _against_templates(like: Likelihood, unit: np.ndarray, stars: Stars) -> Float[np.ndarray, "n m"]:
    """Log-likelihood of all templates for every star; stars padded to a power of two, so few shapes compile.

    One mask shared by all stars is passed once.
    """
    n = len(stars.mag)
    padded = stars.take(np.resize(np.arange(n), max(16, 1 << (n - 1).bit_length())))
    if (stars.usable == stars.usable[:1]).all():
        padded = padded._replace(usable=padded.usable[:1])
    return np.asarray(log_likelihood_shared(like, jnp.asarray(unit), padded))[:n]


def _groups(mag: np.ndarray) -> list[np.ndarray]:
    """Row numbers of stars that share templates: within `MAG_BIN`, at most `STARS_AT_ONCE`."""
    bins = np.floor(mag / MAG_BIN + 0.5)
    groups = [np.flatnonzero(bins == b) for b in np.unique(bins)]
    return [g[i : i + STARS_AT_ONCE] for g in groups for i in range(0, len(g), STARS_AT_ONCE)]


def _of_no_star(label_names: tuple[str, ...], n_quantiles: int) -> Posterior:
    table, none = np.zeros((0, len(label_names))), np.zeros(0)
    quantiles = np.zeros((*table.shape, n_quantiles))
    return Posterior(label_names, table, table, quantiles, table, none, none.astype(bool))


def _check_stars(observed: Observations, model: ForwardModel) -> Stars:
    """The stars as checked host arrays on all pixels of the arm, flux 0 and no weight where not used."""
    n_pix, y, mags = len(model.wave), np.asarray(observed.flux), np.asarray(observed.mag, np.float64)
    if y.shape[1] != n_pix:
        raise DataError(f"flux must have the {n_pix} pixels of the model, found {y.shape[1]}")
    mask = np.ones(y.shape, bool) if observed.usable is None else np.asarray(observed.usable)
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
    flux = np.where(mask, y, 0.0)
    return Stars(_on_arm(model, flux), _on_arm(model, mask), mags)


def _on_arm(model: ForwardModel, table: np.ndarray) -> np.ndarray:
    """Rows on the pixels in use of a model, on all pixels of its arm: 0 where not in use."""
    if model.pixels is None:
        return table
    whole = np.zeros((len(table), len(model.emulator.wave)), table.dtype)
    whole[:, np.asarray(model.pixels)] = table
    return whole


def _check_prior(emulator: Emulator, prior: Prior) -> None:
    if prior.label_names != emulator.label_names:
        raise UsageError(
            f"prior must be of the emulator's labels, {', '.join(emulator.label_names)}, found "
            f"{', '.join(prior.label_names)}"
        )
    emulator.check(np.stack([np.asarray(prior.low), np.asarray(prior.high)]))


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
