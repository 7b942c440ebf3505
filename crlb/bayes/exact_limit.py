"""The ceiling of every estimator: R2 of the posterior mean over simulated stars, per magnitude.

    R2_Bayes = 1 - E[Var(label | spectrum)] / Var(label)

No function of the spectrum has a smaller mean squared error than the posterior mean, so no R2 on stars drawn
from this prior is higher on average. The same draws give a second estimate, 1 - E[(posterior mean - truth)^2]
/ Var(label), noisier and blind to mistakes in the posterior's width: the two must agree.
Source: minimum-mean-squared-error estimation, van Trees 1968, section 2.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from scipy.stats import kstest

from crlb.bayes.likelihood import Likelihood, make_likelihood
from crlb.bayes.model_spectra import spectra
from crlb.bayes.population import Population
from crlb.bayes.posterior import Inference, Observations, posterior
from crlb.bayes.prior import Prior
from crlb.bayes.result import Posterior
from crlb.bayes.solve import AVERAGED
from crlb.errors import UsageError
from crlb.files.records import Record
from crlb.labels import option_of
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.forward_model import ForwardModel, double_precision
from crlb.observation.noise import band_mean, snr
from crlb.observation.observe import Observing, observing
from crlb.suggest import meant

SIMULATED_AT_ONCE = 256  # spectra: 4 MB in float32
RESAMPLES = 1000  # of the bootstrap
INTERVAL = (2.5, 97.5)  # its percentiles: 95 %


@dataclass(frozen=True)
class Interval(Record):
    """An estimate and its 95 % interval from resampled stars."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SigmaQuantiles(Record):
    """Quantiles over stars of the posterior's standard deviation, in the unit of the label."""

    p10: float
    median: float
    p90: float


@dataclass(frozen=True)
class EssRange(Record):
    """Effective number of points behind the posteriors: the smallest of all stars, and the median."""

    min: float
    median: float


@dataclass(frozen=True)
class RankTest(Record):
    """Kolmogorov-Smirnov test of the ranks of the truth: largest deviation from uniform, and its p-value."""

    statistic: float
    p_value: float


@dataclass(frozen=True)
class BayesLimit(Record):
    """The highest R2 of any estimator of one label at one magnitude.

    Args:
        mag: AB magnitude in i.
        n: stars simulated.
        snr_median: median over stars of the SNR per pixel.
        r2_bayes: 1 - mean posterior variance / variance.
        r2_of_posterior_mean: 1 - mean squared error of the posterior mean / variance.
        variance: of the label under the prior, unit^2.
        sigma: posterior standard deviations.
        unconverged: stars whose posterior did not converge; they count all the same.
        ess: effective number of points.
        rank_ks: whether the posteriors have the right width.
    """

    mag: float
    n: int
    snr_median: float
    r2_bayes: Interval
    r2_of_posterior_mean: Interval
    variance: float
    sigma: SigmaQuantiles
    unconverged: int
    ess: EssRange
    rank_ks: RankTest


def bayes_limit(
    model: ForwardModel,
    mags: Sequence[float],
    prior: Prior,
    *,
    label: str,
    key: Key[Array, ""],
    n: int = 2000,
    inference: Inference = Inference(tolerance=AVERAGED),
    advance: Callable[[int], None] | None = None,
) -> tuple[BayesLimit, ...]:
    """Returns the Bayesian limit of one label at each magnitude.

    Star s at the i-th magnitude is drawn from `prior` and observed with keys folded from `key`, i and s, so
    a longer run repeats the stars of a shorter one. Every star counts, converged or not.

    Args:
        model: how the stars are seen.
        mags: AB magnitudes in i.
        prior: of all labels of the model, inside its box (`prior_under`).
        label: the label whose limit is computed.
        key: same key, same answer.
        n: stars per magnitude.
        inference: what is unknown besides the labels, for the stars as for their posteriors, and how many
            points to use. The true scale is 1 where it is free.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: unknown label, fewer than two stars, no magnitude; DataError, UsageError: as `posterior`.
    """
    return bayes_limits(
        model, mags, prior, labels=(label,), key=key, n=n, inference=inference, advance=advance
    )[label]


@double_precision
def bayes_limits(
    model: ForwardModel,
    mags: Sequence[float],
    prior: Prior,
    *,
    labels: Sequence[str],
    key: Key[Array, ""],
    n: int = 2000,
    inference: Inference = Inference(tolerance=AVERAGED),
    advance: Callable[[int], None] | None = None,
) -> dict[str, tuple[BayesLimit, ...]]:
    """Returns the Bayesian limits of several labels from the same stars; `bayes_limit` otherwise.

    Arguments otherwise as there; `labels` are those whose limits are computed.
    """
    for label in labels:
        check_limit(mags, prior, label, n)
    found: dict[str, list[BayesLimit]] = {label: [] for label in labels}
    for i, mag in enumerate(map(float, mags)):
        own_key = jax.random.fold_in(key, i)
        stars = inferred(model, mag, prior, key=own_key, n=n, inference=inference, advance=advance)
        for label in labels:
            found[label].append(stars.limit(label, mag, prior))
    return {label: tuple(limits) for label, limits in found.items()}


def limit_at(
    model: ForwardModel,
    mag: float,
    prior: Prior,
    *,
    label: str,
    key: Key[Array, ""],
    n: int,
    inference: Inference,
    advance: Callable[[int], None] | None = None,
) -> "tuple[BayesLimit, Float[np.ndarray, ' n']]":
    """Returns the limit at one magnitude, and every star's posterior variance relative to the prior's.

    Arguments as `bayes_limit`; `key` is that of the magnitude.
    """
    stars = inferred(model, mag, prior, key=key, n=n, inference=inference, advance=advance)
    column = prior.label_names.index(label)
    return stars.limit(label, mag, prior), stars.found.sigma[:, column] ** 2 / float(prior.variance[column])


def inferred(
    model: ForwardModel,
    mag: float,
    prior: Prior,
    *,
    key: Key[Array, ""],
    n: int,
    inference: Inference,
    advance: Callable[[int], None] | None = None,
) -> "Inferred":
    """Returns stars drawn at one magnitude and their posteriors; arguments as `limit_at`."""
    drawn, own_key = simulate(key, n, mag, model, prior, inference.conditions), jax.random.fold_in(key, n)
    found = posterior_of(drawn, model, prior, key=own_key, inference=inference, advance=advance)
    return Inferred(drawn, found, seed_of(own_key))


def seed_of(key: Key[Array, ""]) -> int:
    """Returns the seed of the resampling of stars whose points have this key."""
    return int(jax.random.bits(jax.random.fold_in(key, 0), (), jnp.uint32))


def posterior_of(
    drawn: "Drawn",
    model: ForwardModel,
    prior: Prior,
    *,
    key: Key[Array, ""],
    inference: Inference,
    advance: Callable[[int], None] | None = None,
) -> Posterior:
    """Returns the posteriors of drawn stars, as `posterior` does, with the ranks of their labels."""
    observed = Observations(drawn.flux, drawn.mag, drawn.usable, drawn.labels, drawn.band_mean)
    return posterior(observed, model, prior, key=key, inference=inference, advance=advance)


def check_limit(mags: Sequence[float], prior: Prior, label: str, n: int) -> None:
    """Refuses what no limit can be computed of.

    Raises:
        UsageError: unknown label, fewer than two stars, no magnitude or one that is not finite.
    """
    if label not in prior.label_names:
        known = prior.label_names
        raise UsageError(f"label must be one of {', '.join(known)}, found {label}{meant(label, known)}")
    if n < 2:
        raise UsageError(f"n must be at least 2 stars, found {n}")
    if not len(mags) or not np.isfinite(mags).all():
        raise UsageError(f"mags must hold at least one finite magnitude, found {list(mags)}")


class Drawn(NamedTuple):
    """Stars drawn from a prior and observed, on the pixels in use of a model.

    Args:
        labels: of the model, velocity and line-spread width among them where it has these axes.
        flux: as observed, in the unit of the model's flux; 0 where lost.
        snr: median over usable pixels of noiseless flux/error.
        usable: False where a pixel was lost.
        mag: AB magnitude in i, corrected for each star's own seeing.
        band_mean: of the noiseless flux of the whole arm.
    """

    labels: Float[np.ndarray, "n n_labels"]
    flux: Float[np.ndarray, "n n_pix"]
    snr: Float[np.ndarray, " n"]
    usable: Bool[np.ndarray, "n n_pix"]
    mag: Float[np.ndarray, " n"]
    band_mean: Float[np.ndarray, " n"]


class Inferred(NamedTuple):
    """Stars that were drawn and observed, posteriors with the ranks of the truth, seed of resampling."""

    drawn: Drawn
    found: Posterior
    seed: int

    def limit(self, label: str, mag: float, prior: Prior | Population) -> BayesLimit:
        """Returns both estimates of R2 with their intervals, and how far to trust them.

        Args:
            label: whose limit.
            mag: AB magnitude in i of the stars.
            prior: that they were drawn from.
        """
        column, found = prior.label_names.index(label), self.found
        sigma, error = found.sigma[:, column], found.mean[:, column] - self.drawn.labels[:, column]
        ks, variance = kstest(found.cumulative[:, column], "uniform"), float(prior.variance[column])
        p10, median, p90 = (float(x) for x in np.percentile(sigma, [10, 50, 90]))
        return BayesLimit(
            mag=mag,
            n=len(sigma),
            snr_median=float(np.median(self.drawn.snr)),
            r2_bayes=one_minus_mean(sigma**2 / variance, self.seed),
            r2_of_posterior_mean=one_minus_mean(error**2 / variance, self.seed),
            variance=variance,
            sigma=SigmaQuantiles(p10, median, p90),
            unconverged=int((~found.converged).sum()),
            ess=EssRange(float(found.ess.min()), float(np.median(found.ess))),
            rank_ks=RankTest(float(ks.statistic), float(ks.pvalue)),
        )


def simulate(
    key: Key[Array, ""],
    n: int,
    mag: float,
    model: ForwardModel,
    prior: Prior,
    conditions: Conditions = PUBLISHED,
    population: Population | None = None,
) -> Drawn:
    """Returns stars drawn from the prior and observed under these conditions.

    Drawn from a population, within the prior, where one is given; if it has magnitudes, they have those.

    Raises:
        UsageError: exposures other than the model's, or as `observing` and `make_likelihood`.
    """
    if others := [name for name in conditions.drawn if name != "seeing_arcsec"]:
        raise UsageError(
            f"{others[0]}: the exact limit takes the exposures of its model; give conditions without, and "
            f"one limit for each with {option_of(others[0])}"
        )
    with jax.enable_x64(True):
        like = make_likelihood(model, prior, conditions)
        observer = replace(observing(like.noise, conditions), curves=like.unknowns.continuum)
        observer = observer if like.sky is None else replace(observer, sky=like.sky.lines)
        source = like.prior if population is None else population
        parts = []
        for start in range(0, n, SIMULATED_AT_ONCE):
            stars = jnp.arange(start, start + SIMULATED_AT_ONCE)
            part = _simulate(like, observer, model.pixels, key, stars, jnp.asarray(mag), source)
            parts.append([np.asarray(x) for x in part])
    return Drawn(*(np.concatenate(x)[:n] for x in zip(*parts, strict=True)))


@jax.jit
def _simulate(
    like: Likelihood,
    observer: Observing,
    pixels: Array | np.ndarray | None,
    key: Array,
    stars: Array,
    mag: Array,
    source: Prior | Population,
) -> tuple[Array, ...]:
    keys = jax.vmap(partial(jax.random.fold_in, key))(stars)
    label_keys, noise_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    labels = jax.vmap(lambda key: source.draw(key, 1)[0])(label_keys)
    mags = jnp.broadcast_to(mag, len(stars))
    if isinstance(source, Population) and source.mag is not None:
        mags = jax.vmap(lambda key: jnp.asarray(source.mag)[source.rows(key, 1)[0]])(label_keys)
    low, width = jnp.asarray(like.prior.low), jnp.asarray(like.prior.high - like.prior.low)
    clean = spectra(like, (labels - low[None, :]) / width[None, :])

    def observe(key: Array, flux: Array, mag: Array) -> tuple[Array, ...]:
        seen = observer.see(key, flux, mag)
        arm = (flux, seen.flux / seen.gain, seen.error / seen.gain, seen.usable > 0)
        some, noisy, error, usable = arm if pixels is None else (x[pixels] for x in arm)
        ratio = snr(some, jnp.where(usable, error, jnp.inf))
        return noisy, ratio, usable, observer.magnitude(key, mag), band_mean(flux, observer.noise)

    return labels, *jax.vmap(observe)(noise_keys, clean, mags)


def one_minus_mean(values: Float[np.ndarray, " n"], seed: int) -> Interval:
    """Returns 1 - mean, and its 95 % interval from resampled stars."""
    rows = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(1 - values[rows].mean(axis=1), INTERVAL)
    return Interval(float(1 - values.mean()), float(low), float(high))
