"""How small the mean squared error of one label can be under a prior, per magnitude: all bounds together.

R2 = 1 - bound / Var(label). Pooled and shrinkage speak of unbiased estimators, as they are and drawn towards
the prior mean; van Trees and weighted van Trees bind every estimator: their R2 is a ceiling. So does
Ziv-Zakai where both stars of a pair have the same noise, to the central-limit approximation elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import qmc

from crlb.bayes.prior import Prior
from crlb.bayes.quadrature import Rule, tensor_rule
from crlb.bayes.van_trees import (
    PriorInformationError,
    beta_information,
    polynomial_degrees,
    van_trees,
    weighted_van_trees,
)
from crlb.bayes.ziv_zakai import SCALES, STEPS, nuisance_directions, spectral_distance, ziv_zakai
from crlb.errors import UsageError
from crlb.files.records import Record
from crlb.fisher.field import fisher_field
from crlb.fisher.matrix import cramer_rao_bound
from crlb.grids.emulator import Emulator
from crlb.observation.forward_model import ForwardModel, double_precision


@dataclass(frozen=True)
class EachBound(Record):
    """One number for every bound under a prior; None where that bound does not exist."""

    pooled: float | None
    shrinkage: float
    van_trees: float | None
    weighted_van_trees: float
    ziv_zakai: float

    def as_r2(self, variance: float) -> "EachBound":
        """Returns 1 - bound / variance of mean squared errors, None where there is none."""
        pooled = None if self.pooled is None else 1 - self.pooled / variance
        van_trees = None if self.van_trees is None else 1 - self.van_trees / variance
        others = (self.shrinkage, self.weighted_van_trees, self.ziv_zakai)
        shrinkage, weighted, ziv_zakai = (1 - value / variance for value in others)
        return EachBound(pooled, shrinkage, van_trees, weighted, ziv_zakai)


@dataclass(frozen=True)
class PriorBounds(Record):
    """How small the mean squared error of one label can be at one magnitude.

    Args:
        mag: AB magnitude in i.
        variance: of the label under the prior, unit^2.
        mse: bounds on the mean squared error, unit^2.
        r2: 1 - mse / variance.
        reason: why a bound does not exist, by its name in `EachBound`.
    """

    mag: float
    variance: float
    mse: EachBound
    r2: EachBound
    reason: dict[str, str]


class Effort(NamedTuple):
    """Points per label of the rules, polynomial degrees per label and in all, for some number of labels."""

    fit: int
    check: int
    each: int
    total: int
    pairs: int


# Tuned on the embedded grid: weighted van Trees within 0.2 % of its limit at mag 21.5 and fainter
EFFORT = {
    1: Effort(fit=96, check=113, each=40, total=40, pairs=48),
    2: Effort(fit=20, check=23, each=12, total=24, pairs=15),
    3: Effort(fit=10, check=13, each=6, total=18, pairs=6),
    4: Effort(fit=7, check=8, each=5, total=5, pairs=4),
    5: Effort(fit=5, check=6, each=3, total=3, pairs=3),
}
# Stars whose degenerate directions the Ziv-Zakai bound tries, besides those of the mean Fisher matrix.
REPRESENTATIVES = 4
SEED = 20  # of the scrambling of the points that choose them


def pooled(bound: Float[Array | np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None) -> float:
    """Returns E[C], C = bound^2: the mean squared error of an unbiased estimator over stars of the prior.

    Args:
        bound: 1-sigma Cramer-Rao bounds of one label at labels drawn from the prior; infinity where unknown.
        weights: weights of quadrature points instead of draws; they sum to one.
    """
    return float(np.average(np.asarray(bound) ** 2, weights=weights))


def shrinkage(
    bound: Float[Array | np.ndarray, " n"], variance: float, weights: Float[np.ndarray, " n"] | None = None
) -> float:
    """Returns E[C V/(C + V)], as if label and error were Gaussian at every star: an estimate, not a bound.

    Args:
        bound: as `pooled`.
        variance: variance V of the label under the prior, unit^2.
        weights: as `pooled`.
    """
    square = np.asarray(bound) ** 2
    known = np.isfinite(square)
    shrunk = np.where(known, square * variance / (np.where(known, square, 0.0) + variance), variance)
    return float(np.average(shrunk, weights=weights))


@double_precision
def bayesian_bounds(
    model: ForwardModel,
    mags: Sequence[float],
    prior: Prior,
    *,
    label: str,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> tuple[PriorBounds, ...]:
    """Returns all bounds on the error of one label under a prior, one entry per magnitude.

    Args:
        model: how a star is seen, a function of the prior's labels, one to five.
        mags: AB magnitudes in i.
        prior: independent Betas within the grid.
        label: the label whose error is bounded.
        variance_term: whether to count the information that the noise level itself holds.
        advance: called with the number of Fisher matrices or pairs of spectra just finished; `work` bounds
            their sum.

    Raises:
        UsageError: prior and model do not match, unknown label, more than five labels.
        DataError: flux or noise not finite.
        UnidentifiableError: too little information about some combination of labels.
    """
    target = _check(model.emulator, prior, label)
    effort = EFFORT[len(prior.label_names)]
    rules = [tensor_rule(prior, order) for order in (effort.fit, effort.check)]
    field = [
        fisher_field(model, mags, rule.labels, variance_term=variance_term, advance=advance) for rule in rules
    ]
    degrees = polynomial_degrees(len(prior.label_names), effort.each, effort.total)
    weighted = weighted_van_trees(prior, target, (rules[0], field[0]), (rules[1], field[1]), degrees)
    distance = spectral_distance(model, mags, variance_term=variance_term, advance=advance)
    directions = _directions(model, mags, prior, target, (rules[1], field[1]))
    zakai = ziv_zakai(distance, prior, target, directions, tensor_rule(prior, effort.pairs))
    variance = float(prior.variance[target])
    found = []
    for i, mag in enumerate(mags):
        local, reason = _local(prior, target, rules[1], field[1][:, i])
        mse = EachBound(*local, float(weighted[i]), float(zakai[i]))
        found.append(PriorBounds(float(mag), variance, mse, mse.as_r2(variance), reason))
    return tuple(found)


def work(n_labels: int) -> int:
    """Largest sum of what `bayesian_bounds` hands to `advance`; pairs outside the prior are left out."""
    effort = EFFORT[n_labels]
    directions = 1 + len(SCALES) * (1 + REPRESENTATIVES) if n_labels > 1 else 1
    fishers = int(effort.fit**n_labels + effort.check**n_labels)
    return fishers + STEPS * directions * int(effort.pairs**n_labels)


def _local(
    prior: Prior, target: int, rule: Rule, fisher: Float[np.ndarray, "n n_labels n_labels"]
) -> tuple[tuple[float | None, float, float | None], dict[str, str]]:
    """Pooled, shrinkage and van Trees at one magnitude, and the reasons for those that do not exist."""
    bound = np.asarray(jax.jit(jax.vmap(lambda f: cramer_rao_bound(f)[target]))(fisher))
    bound = np.where(np.isnan(bound), np.inf, bound)
    average: float | None = pooled(bound, rule.weights)
    shrunk = shrinkage(bound, float(prior.variance[target]), rule.weights)
    reason: dict[str, str] = {}
    if not np.isfinite(bound).all():
        average = None
        reason["pooled"] = "for some stars of the prior the spectrum cannot tell the labels apart"
    mean = np.tensordot(rule.weights, fisher, 1)
    plain: float | None = None
    try:
        plain = van_trees(mean, beta_information(prior), target, prior.label_names)
    except PriorInformationError as error:
        reason["van_trees"] = str(error)
    return (average, shrunk, plain), reason


def _directions(
    model: ForwardModel,
    mags: Sequence[float],
    prior: Prior,
    target: int,
    fishers: tuple[Rule, Float[np.ndarray, "n n_mag n_labels n_labels"]],
) -> Float[np.ndarray, "n_directions n_labels"]:
    """Degenerate directions at the middle magnitude, of a few stars of the prior and of the mean matrix."""
    (rule, field), middle = fishers, len(mags) // 2
    unit = qmc.Sobol(len(prior.label_names), seed=SEED).random(REPRESENTATIVES)
    some = fisher_field(model, mags[middle : middle + 1], prior.quantile(unit))
    mean = np.tensordot(rule.weights, field[:, middle], 1)
    return nuisance_directions(np.concatenate([mean[None], some[:, 0]]), target)


def _check(emulator: Emulator, prior: Prior, label: str) -> int:
    """Index of the label, once emulator and prior match."""
    names = prior.label_names
    if names != emulator.label_names:
        raise UsageError(
            f"prior: needed the emulator's labels, {', '.join(emulator.label_names)}, found "
            f"{', '.join(names)}; fix the others in the emulator first"
        )
    if label not in names:
        raise UsageError(f"label: needed one of {', '.join(names)}, found {label}")
    if len(names) not in EFFORT:
        raise UsageError(f"prior: needed 1 to {max(EFFORT)} free labels, found {len(names)}; fix the others")
    emulator.check(np.asarray(prior.low))
    emulator.check(np.asarray(prior.high))
    return names.index(label)
