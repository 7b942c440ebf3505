"""From a likelihood and a prior to the posterior of every star, in two stages, and its moments.

1. Templates: Sobol points of the prior, shared by all stars. Where enough of them carry weight, as at low
   SNR, they are the answer.
2. Otherwise own points of the star (`crlb.bayes.refine`), round after round until enough carry weight and
   mean, sigma and quantiles of every label scatter little between sets of them (`crlb.bayes.monte_carlo`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from crlb.bayes.importance import ess_of, sobol
from crlb.bayes.likelihood import LogLikelihood
from crlb.bayes.monte_carlo import SETS, largest_error
from crlb.bayes.prior import Prior
from crlb.bayes.refine import Points, keep_stars, one_round, start
from crlb.bayes.result import Posterior
from crlb.errors import UsageError
from crlb.observation.conditions import Conditions

S = TypeVar("S")
MAX_ROUNDS = 8
TEMPLATE_SETS = 16  # blocks of the templates, between which their error is seen
# Tolerance for averages over many stars, in which the errors of single ones average out.
AVERAGED = 0.1
TEMPLATE_MARGIN = 2.0  # templates are shared, so they need this times the effective number of own points


@dataclass(frozen=True)
class Inference:
    """What is unknown of a star besides its labels, and with how many points its posterior is computed.

    Args:
        conditions: what is unknown besides the labels; integrated over analytically.
        quantiles: probabilities of the quantiles.
        target_ess: effective number of points that every star needs.
        n_templates: points shared by all stars of one magnitude, a power of two.
        n_points: own points of a star per round, a power of two.
        tolerance: largest standard error of mean, sigma and quantiles of any label, in sigma of the label,
            with which a posterior counts as converged.

    Raises:
        UsageError: a value out of range.
    """

    conditions: Conditions = Conditions()
    quantiles: tuple[float, ...] = (0.16, 0.5, 0.84)
    target_ess: float = 256.0
    n_templates: int = 8192
    n_points: int = 512
    tolerance: float = 0.03

    def __post_init__(self) -> None:
        if not all(0 < q < 1 for q in self.quantiles):
            raise UsageError(f"quantiles must lie between 0 and 1, found {list(self.quantiles)}")
        if not self.tolerance > 0:
            raise UsageError(f"tolerance must be positive, found {self.tolerance}")
        if not self.target_ess > 1:
            raise UsageError(f"target_ess must be above 1, found {self.target_ess}")
        for name, size in (("n_templates", self.n_templates), ("n_points", self.n_points)):
            if size < 32 or size & (size - 1):
                raise UsageError(f"{name} must be a power of two from 32, found {size}")


class Weighted(NamedTuple):
    """Stars that are finished: their row numbers, their weighted points, whether these suffice."""

    rows: np.ndarray
    points: Points
    good: np.ndarray


class Group(NamedTuple):
    """Places of stars that share templates, and whether `at_templates` is exact for them.

    Where it is not, it serves as a first guess only.
    """

    members: Int[np.ndarray, " m"]
    exact: bool = True


def solve(
    like: LogLikelihood[S],
    stars: S,
    rows: Int[np.ndarray, " n"],
    *,
    key: Key[Array, ""],
    inference: Inference = Inference(),
    groups: Sequence[Group] | None = None,
) -> Iterator[Weighted]:
    """Yields stars as they finish, in float64: call it where jax knows that type.

    Args:
        like: the likelihood.
        stars: spectra, of any number; all are held in memory.
        rows: row numbers of the stars among all that were asked for; a star's points follow from its own.
        key: of the points.
        inference: how many points.
        groups: stars that share templates, all stars in all; None: all of them, exactly.
    """
    n_labels = len(like.prior.label_names)
    seeds = [int(bits) for bits in jax.random.bits(key, (2,), jnp.uint32)]
    unit = like.prior.unit_quantile(sobol(seeds[0], inference.n_templates, n_labels))
    base = jnp.asarray(sobol(seeds[1], inference.n_points // SETS, n_labels + 1))
    log_like, exact = np.empty((len(rows), len(unit))), np.ones(len(rows), bool)
    for group in groups or [Group(np.arange(len(rows)))]:
        some = jax.tree.map(lambda a: a[group.members], stars)  # noqa: B023
        log_like[group.members], exact[group.members] = like.at_templates(unit, some), group.exact
    weight = np.exp(log_like - log_like.max(axis=1, keepdims=True))
    enough = np.asarray(ess_of(jnp.asarray(weight))) >= TEMPLATE_MARGIN * inference.target_ess
    done = enough & exact
    done[done] = _suffices(unit, weight[done], inference)
    if done.any():
        yield Weighted(rows[done], Points(unit[None], weight[done]), done[done])
    left = np.flatnonzero(~done)
    if not len(left):
        return
    some, rows = jax.tree.map(lambda a: a[left], stars), rows[left]
    state = start(like, key, unit, log_like[left], some, rows)
    for number in range(MAX_ROUNDS):
        state, points, good = one_round(
            like,
            state,
            base,
            number,
            target_ess=inference.target_ess,
            levels=inference.quantiles,
            tolerance=inference.tolerance,
        )
        final = good | (number == MAX_ROUNDS - 1)
        if final.any():
            yield Weighted(rows[final], Points(points.unit[final], points.weight[final]), good[final])
        if final.all():
            return
        rows, state = rows[~final], keep_stars(state, ~final)


def _suffices(unit: np.ndarray, weight: np.ndarray, inference: Inference) -> np.ndarray:
    """Whether templates, whose blocks are scrambled Sobol points each, tell every number well enough."""
    levels = inference.quantiles
    found = np.zeros(len(weight), bool)
    for i, row in enumerate(weight):
        one = jnp.asarray(row / row.sum())[None]
        error = largest_error(jnp.asarray(unit)[None], one, levels=levels, n_rounds=1, n_sets=TEMPLATE_SETS)
        found[i] = float(error[0]) <= inference.tolerance
    return found


def summary(found: Weighted, prior: Prior, truth: np.ndarray, levels: Sequence[float]) -> Posterior:
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
