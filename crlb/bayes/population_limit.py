"""The ceiling of every estimator on stars of a table: exact, by going through all of its stars.

    p_k(y) ~ w_k L(y | labels_k),     posterior mean = sum_k p_k labels_k,     R2_Bayes as in `exact_limit`

The table is the prior, and the stars simulated are its stars. An observer who has it knows which star is
which once spectra tell neighbours apart; posteriors then consist of single stars and the limit goes to 1,
whatever the population is that the table samples. `ess` says of how many stars they consist: below
`LEAST_ESS` the limit is one of the table, not of a population.

Stars with magnitudes of their own are seen and compared at these: what is then known of a star's magnitude is
what its noise tells, and the relation of labels and magnitudes in the table counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.bayes.exact_limit import BayesLimit, Drawn, Inferred, check_limit, seed_of, simulate
from crlb.bayes.likelihood import BLOCK, Likelihood, Stars, log_likelihood_shared, make_likelihood
from crlb.bayes.population import Population
from crlb.bayes.posterior import check_prior, on_arm
from crlb.bayes.prior import Prior, make_prior
from crlb.bayes.refine import Points
from crlb.bayes.result import Posterior, joined
from crlb.bayes.seen import with_seen_directions
from crlb.bayes.solve import Weighted, summary
from crlb.errors import UsageError
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.forward_model import ForwardModel, double_precision

LEAST_ESS = 20.0  # stars of a table in a posterior, below which its moments are those of the table
STARS_AT_ONCE = 64  # simulated, against all of the table: 50 MB of likelihoods of 100,000 stars
QUANTILES = (0.16, 0.5, 0.84)


@double_precision
def population_limits(
    model: ForwardModel,
    mags: Sequence[float] | None,
    population: Population,
    *,
    labels: Sequence[str],
    key: Key[Array, ""],
    n: int = 2000,
    conditions: Conditions = PUBLISHED,
    advance: Callable[[int], None] | None = None,
) -> dict[str, tuple[BayesLimit, ...]]:
    """Returns the limit of each label on stars of a population, one entry per magnitude.

    In `BayesLimit`, `ess` is the effective number of stars of the table in a posterior, and `unconverged`
    counts posteriors of fewer than 20.

    Args:
        model: how the stars are seen; its labels are those of the population.
        mags: AB magnitudes in i that all stars have; None: those of the table, one entry.
        population: the stars.
        labels: the labels whose limits are computed.
        key: same key, same answer.
        n: stars simulated per magnitude.
        conditions: what is unknown besides the labels: a scale of finite sigma, continuum, lost pixels.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: unknown label, fewer than two stars, no magnitude, labels outside the model's box, or
            conditions under which going through the stars is not exact.
    """
    box = _box(model, population, conditions)
    shown = [population.median_mag] if mags is None else [float(mag) for mag in mags]
    for label in labels:
        check_limit(shown, box, label, n)
    seen = replace(population, mag=None) if mags is not None else population
    found: dict[str, list[BayesLimit]] = {label: [] for label in labels}
    for i, mag in enumerate(shown):
        stars = _inferred(model, mag, seen, box, jax.random.fold_in(key, i), n, conditions, advance)
        for label in labels:
            found[label].append(stars.limit(label, mag, population))
    return {label: tuple(limits) for label, limits in found.items()}


def _box(model: ForwardModel, population: Population, conditions: Conditions) -> Prior:
    """The box of the model as a uniform prior, once population and conditions fit."""
    if population.label_names != model.label_names:
        raise UsageError(
            f"population: needed the model's labels, {', '.join(model.label_names)}, found "
            f"{', '.join(population.label_names)}; velocity and line-spread width cannot be unknown"
        )
    inexact = {
        "sky_left": bool(conditions.sky_left),
        "seeing_arcsec": conditions.seeing_arcsec is not None,
        "scale": bool(np.isinf(conditions.scale)),
    }
    if names := [name for name, one in inexact.items() if one]:
        raise UsageError(
            f"{names[0]}: the limit on stars of a table is not exact where it is unknown; give conditions "
            "without, and with a finite scale"
        )
    model.emulator.check(np.stack([population.low, population.high]))
    box = make_prior(model.emulator.low, model.emulator.high, model.label_names)
    check_prior(model.emulator, box)
    return box


def _inferred(
    model: ForwardModel,
    mag: float,
    population: Population,
    box: Prior,
    key: Key[Array, ""],
    n: int,
    conditions: Conditions,
    advance: Callable[[int], None] | None,
) -> Inferred:
    """Stars of the population, observed at one magnitude or at their own, with their posteriors."""
    drawn, own_key = simulate(key, n, mag, model, box, conditions, population), jax.random.fold_in(key, n)
    tie = np.random.default_rng(seed_of(own_key) + 1).random(n)
    like = with_seen_directions(make_likelihood(model, box, conditions), float(drawn.mag.min()))
    parts = []
    for start in range(0, n, STARS_AT_ONCE):
        rows = np.arange(start, min(start + STARS_AT_ONCE, n))
        log_like = _against_all(like, model, population, drawn, rows)
        parts.append(_summary(log_like, population, box, drawn.labels[rows], tie[rows]))
        if advance is not None:
            advance(len(rows))
    return Inferred(drawn, joined(np.arange(n), parts), seed_of(own_key))


def _against_all(
    like: Likelihood, model: ForwardModel, population: Population, drawn: Drawn, rows: np.ndarray
) -> Float[np.ndarray, "n_star m"]:
    """ln of weight and likelihood of every star of the population, for some of the stars drawn.

    Both are filled up, so that one size is compiled.
    """
    padded = np.resize(rows, STARS_AT_ONCE)
    flux, usable = (on_arm(model, x[padded]) for x in (drawn.flux, drawn.usable))
    stars = Stars(flux, usable, drawn.mag[padded])
    take = np.resize(np.arange(population.n), -(-population.n // BLOCK) * BLOCK)
    labels, low = np.asarray(population.labels)[take], np.asarray(like.prior.low)
    unit = jnp.asarray((labels - low) / (np.asarray(like.prior.high) - low))
    mags = None if population.mag is None else jnp.asarray(np.asarray(population.mag)[take])
    found = np.asarray(log_likelihood_shared(like, unit, stars, mags))[: len(rows), : population.n]
    with np.errstate(divide="ignore"):
        return np.asarray(found + np.log(np.asarray(population.weight)))


def _summary(
    log_joint: Float[np.ndarray, "n m"],
    population: Population,
    box: Prior,
    truth: Float[np.ndarray, "n n_labels"],
    tie: Float[np.ndarray, " n"],
) -> Posterior:
    """Moments over the stars of the table; ranks with ties broken by `tie`, uniform in [0, 1]."""
    weight = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    labels, low = np.asarray(population.labels), np.asarray(box.low)
    unit = (labels - low) / (np.asarray(box.high) - low)
    good = 1 / (weight**2).sum(axis=1) >= LEAST_ESS
    found = summary(Weighted(np.arange(len(truth)), Points(unit[None], weight), good), box, truth, QUANTILES)
    ranks = [
        (weight * (values < one)).sum(axis=1) + tie * (weight * (values == one)).sum(axis=1)
        for values, one in zip(labels.T[:, None, :], truth.T[:, :, None], strict=True)
    ]
    return replace(found, cumulative=np.stack(ranks, axis=1))
