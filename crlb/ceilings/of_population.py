"""How well a label of the stars of a table can be known: bounds at each of them, and their exact limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax
import numpy as np

from crlb.bayes.exact_limit import BayesLimit
from crlb.bayes.population import Population
from crlb.bayes.population_limit import LEAST_ESS, population_limits
from crlb.ceilings.ceiling import bounds_of, check_mags, free_labels, node_snr, provenance, summary_of
from crlb.ceilings.result import Ceiling, MagnitudeBin, SpreadOf, StarsOfTable
from crlb.ceilings.with_prior import mags_of, with_limits_of
from crlb.errors import UsageError
from crlb.fisher.field import fisher_field
from crlb.observation.conditions import PUBLISHED, Conditions
from crlb.observation.forward_model import ForwardModel, double_precision
from crlb.readers.star_table import StarTable

MEANING = (
    "Cramer-Rao bound for unbiased estimators at each star of the table, quantiles over stars: an estimator "
    "that uses a prior can do better, and it is not the pooled R2 of a sample"
)
SNR_DEFINITION = "median over usable pixels of flux/error; snr_median is its median over stars"


@double_precision
def population_ceilings(
    model: ForwardModel,
    mags: Sequence[float] | None,
    population: Population,
    *,
    targets: Sequence[str],
    labels: Sequence[str] | None = None,
    variance_term: bool = True,
    advance: Callable[[int], None] | None = None,
) -> tuple[Ceiling, ...]:
    """Returns R2_max = clip(1 - bound^2 / variance, 0, 1) over the stars of a population, for each target.

    The variance of a target is that over the population, its stars counting by their weights as in the
    quantiles.

    Args:
        model: how a star is seen; its labels are those of the population.
        mags: AB magnitudes in i that all stars have, one bin each; None: each star has its own, one bin whose
            magnitude is their median.
        population: the stars.
        targets: the labels whose bounds are computed.
        labels: which labels are unknown, the others known exactly; None: all of the model's.
        variance_term: whether to count the information that the noise level itself holds.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: unknown or repeated label, a target of which all stars have one value, magnitudes not
            finite, or none at all; labels outside the grid.
        UnidentifiableError: the labels can be told apart at no star.
    """
    free = _free(model, targets, labels)
    points, at = np.asarray(population.labels, np.float64), _magnitudes(population, mags)
    _check(model, population, targets)
    columns = tuple(model.label_names.index(name) for name in free)
    fisher = fisher_field(model, at, points, columns=columns, variance_term=variance_term, advance=advance)
    snr, about = node_snr(model, at, points), provenance(model, variance_term)
    about |= {"meaning": MEANING, "snr_definition": SNR_DEFINITION, "derivative": "exact"}
    shown = [population.median_mag] if mags is None else mags
    found = []
    for target in targets:
        variance = float(population.variance[model.label_names.index(target)])
        stars = bounds_of(fisher, target, free, snr)
        bins = (
            summary_of(stars, variance, i, float(mag), np.asarray(population.weight))
            for i, mag in enumerate(shown)
        )
        found.append(
            Ceiling(target, free, variance, model.emulator.source, model.noise.source, tuple(bins), about)
        )
    return tuple(found)


def with_population_limits(
    results: Sequence[Ceiling],
    model: ForwardModel,
    population: Population,
    *,
    n: int = 2000,
    seed: int = 0,
    conditions: Conditions = PUBLISHED,
    own_mags: bool = False,
    advance: Callable[[int], None] | None = None,
) -> tuple[Ceiling, ...]:
    """Returns ceilings with the highest R2 of any estimator on stars drawn from the population, in every bin.

    A bin whose posteriors have an effective number of fewer than 20 stars of the table, in the median, has
    the reason instead (`r2_bayes_reason`): such a limit is one of this very table.

    Args:
        results: of `population_ceilings`, or of `ceiling` at the same magnitudes.
        model: how stars are seen.
        population: the stars, perhaps smoothed.
        n: stars simulated per magnitude.
        seed: of the choice of stars, and of their noise.
        conditions: what is unknown of a star besides its labels; as `population_limits`.
        own_mags: whether the stars have the magnitudes of the table.
        advance: called with the number of stars just finished.

    Raises:
        UsageError: the model has a label that a result counts as known; as `population_limits`.
    """
    mags = mags_of(results[0], model)
    limits = population_limits(
        model, None if own_mags else mags, population, labels=[one.label for one in results],
        key=jax.random.key(seed), n=n, conditions=conditions, advance=advance,
    )  # fmt: skip
    made = (with_limits_of(one, limits[one.label], seed, conditions) for one in results)
    return tuple(replace(one, bins=tuple(map(_dense_enough, one.bins, limits[one.label]))) for one in made)


def stars_of(
    table: StarTable,
    population: Population,
    dropped: int,
    *,
    own_mags: bool = False,
    smoothed: Mapping[str, float] | None = None,
) -> StarsOfTable:
    """Returns what a result says of its population.

    Args:
        table: that it was made of.
        population: the stars of the table that are within the grid.
        dropped: how many are not.
        own_mags: whether they have the magnitudes of the table.
        smoothed: widths of kernels by label.
    """
    moments = (population.low, population.high, population.mean, population.variance)
    spreads = {
        name: SpreadOf(*(float(one[i]) for one in moments)) for i, name in enumerate(population.label_names)
    }
    used = {*population.label_names, "weight", *(["mag"] if own_mags else [])}
    unread = (*table.unread, *(name for name in table.columns if name not in used))
    return StarsOfTable(
        str(table.path), table.sha256, population.n, dropped, unread, spreads, own_mags, dict(smoothed or {})
    )


def _magnitudes(population: Population, mags: Sequence[float] | None) -> np.ndarray:
    """The magnitudes as `fisher_field` takes them: of all stars, or a row for each."""
    if mags is not None:
        check_mags(mags)
        return np.asarray(mags, np.float64)
    check_mags([population.median_mag])
    return np.asarray(population.mag, np.float64)[:, None]


def _free(model: ForwardModel, targets: Sequence[str], labels: Sequence[str] | None) -> tuple[str, ...]:
    """The unknown labels, every target among them."""
    if not targets or len(set(targets)) < len(targets):
        raise UsageError(f"targets must be one label or several different ones, found {', '.join(targets)}")
    return [free_labels(model.emulator, target, labels) for target in targets][-1]


def _check(model: ForwardModel, population: Population, targets: Sequence[str]) -> None:
    if population.label_names != model.label_names:
        raise UsageError(
            f"population: needed the model's labels, {', '.join(model.label_names)}, found "
            f"{', '.join(population.label_names)}"
        )
    model.emulator.check(np.stack([population.low, population.high]))
    for target in targets:
        i = model.label_names.index(target)
        if not population.high[i] > population.low[i]:
            raise UsageError(
                f"population: all stars have {target} {population.low[i]:g}, so there is nothing to know of "
                "it; choose another --target"
            )


def _dense_enough(found: MagnitudeBin, limit: BayesLimit) -> MagnitudeBin:
    """The bin itself, or with the reason why there is no limit."""
    if limit.ess.median >= LEAST_ESS:
        return found
    reason = (
        f"mag {limit.mag:.4g}: no limit, for a posterior consists of {limit.ess.median:.1f} stars of the "
        f"table in the median, {LEAST_ESS:g} are needed; give more stars, fainter ones, one magnitude for "
        "all (--mag), or smooth them (--population-smooth)"
    )
    return replace(found, r2_bayes=None, r2_bayes_reason=reason)
