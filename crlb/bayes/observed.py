"""The posterior of observed spectra: labels, scale, continuum and velocity under the errors of the file.

    p(labels | y) ~ prior(labels) L(labels; y),      L as in `crlb.bayes.reduced`

Best fits first (`crlb.bayes.best_fit`: velocity, errors), then the labels by `crlb.bayes.solve`. A star's
numbers do not depend on the others, but for rounding.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.bayes.best_fit import (
    LEVEL_ORDER,
    Fit,
    Target,
    begin,
    best_fits,
    by_rank,
    free_numbers,
    make_coarse,
    sums_of,
    with_sums,
)
from crlb.bayes.fit_quality import Quality, at_edge, flags_of, quality
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.observed_result import ObservedPosterior, unusable
from crlb.bayes.posterior import check_prior
from crlb.bayes.prior import Prior
from crlb.bayes.reduced import Cut, ReducedLikelihood, make_reduced_likelihood
from crlb.bayes.result import Posterior
from crlb.bayes.solve import Inference, Weighted, solve, summary
from crlb.errors import UsageError
from crlb.grids.emulator import Emulator

STARS_AT_ONCE = 32  # with their sums: 3 MB each for a basis of 183, continuum 3 and velocity
LEAST_PIXELS = 3  # per number that is fitted
# chi2 that no spectrum of a posterior may lack because its sums are of few directions; else all are taken
TOLERATED = 1.0
TANGENT_STEP = 1e-3  # of the range of a label, for derivatives of the best fit
UNKNOWN_SAMPLES = 256  # points of a posterior at which scale, continuum and velocity are looked at


@dataclass(frozen=True)
class Wanted:
    """What is wanted of each star besides the moments of its labels.

    Args:
        fit_model_error: whether the relative error of the model grows, from that of the conditions, until
            chi2 is the number of degrees of freedom.
        model: whether the best fit is returned on the star's pixels.
        samples: number of labels to draw from the posterior, a power of two; 0: none.

    Raises:
        UsageError: `samples` is negative or not a power of two.
    """

    fit_model_error: bool = False
    model: bool = False
    samples: int = 0

    def __post_init__(self) -> None:
        if self.samples < 0 or self.samples & (self.samples - 1):
            raise UsageError(f"samples must be 0 or a power of two, found {self.samples}")


def observed_posteriors(
    targets: Iterable[Target],
    emulator: Emulator,
    prior: Prior,
    *,
    key: Key[Array, ""],
    inference: Inference,
    wanted: Wanted = Wanted(),
    first: int = 0,
) -> Iterator[ObservedPosterior]:
    """Yields what is known of every star, in the order of `targets`; memory for `STARS_AT_ONCE` of them.

    A star of which nothing can be computed costs its row only.

    Args:
        targets: the spectra.
        emulator: the one that `Target.place` puts on pixels.
        prior: of all its labels, inside its box.
        key: chooses the quasi-random points; same key and number, same answer.
        inference: what is unknown besides the labels, and how many points to use.
        wanted: what else is returned.
        first: number of the first star, where others went before in another run.

    Raises:
        UsageError: prior of other labels or wider than the emulator.
    """
    check_prior(emulator, prior)
    work, rest = _Work.of(emulator, prior, key, inference, wanted), iter(targets)
    while block := list(islice(rest, STARS_AT_ONCE)):
        with jax.enable_x64(True):  # sums in float64 whatever the caller computes in
            found = _block(work, block, first)
        first += len(block)
        yield from found


class _Work(NamedTuple):
    """What is the same for all stars."""

    like: ReducedLikelihood
    prior: Prior
    key: Key[Array, ""]
    inference: Inference
    wanted: Wanted
    seed: int
    coarse: Cut

    @classmethod
    def of(
        cls, emulator: Emulator, prior: Prior, key: Key[Array, ""], inference: Inference, wanted: Wanted
    ) -> "_Work":
        with jax.enable_x64(True):
            like = make_reduced_likelihood(emulator, prior, inference.conditions)
            seed = int(jax.random.bits(jax.random.fold_in(key, 0), (), jnp.uint32))
        return cls(like, prior, key, inference, wanted, seed, make_coarse(emulator))


def _block(work: _Work, targets: Sequence[Target], first: int) -> list[ObservedPosterior]:
    """The stars of one block; `first` is the number of stars before it."""
    begun = [_begin(work, target) for target in targets]
    rows = [i for i, one in enumerate(begun) if isinstance(one, Fit)]
    fits = [one for one in begun if isinstance(one, Fit)]
    conditions, wanted = work.inference.conditions, work.wanted
    fits = best_fits(
        work.like,
        fits,
        conditions,
        coarse=work.coarse,
        fit_model_error=wanted.fit_model_error,
        seed=work.seed,
    )
    found = {i: one for i, one in enumerate(begun) if not isinstance(one, Fit)}
    good = [i for i, fit in enumerate(fits) if fit.ok]
    for i in set(range(len(fits))) - set(good):
        found[rows[i]] = _unusable(work, fits[i].target, "its pixels do not determine the unknowns")
    numbers = [first + row for row in rows]
    solved = _solved(work, fits, numbers, good)
    if again := [i for i in good if _lost(work, fits[i], solved[i]) > TOLERATED]:
        for i in again:
            fits[i] = with_sums(work.like, fits[i], conditions, whole=True)
        solved |= _solved(work, fits, numbers, again)
    found |= {rows[i]: _result(work, fits[i], solved[i]) for i in good}
    return [found[i] for i in range(len(targets))]


def _solved(
    work: _Work, fits: Sequence[Fit], numbers: Sequence[int], rows: Sequence[int]
) -> dict[int, Weighted]:
    """Weighted points of the stars of some rows."""
    found: dict[int, Weighted] = {}
    for group in by_rank([fits[i] for i in rows]):
        some = [rows[i] for i in group]
        place = {numbers[i]: i for i in some}
        stars = sums_of([fits[i] for i in some])
        for done in solve(work.like, stars, np.array(list(place)), key=work.key, inference=work.inference):
            found |= {place[row]: weighted for row, weighted in _each(done)}
    return found


def _lost(work: _Work, fit: Fit, weighted: Weighted) -> float:
    """The largest chi2 that spectra of a posterior lack because of the directions dropped from the sums."""
    assert fit.cut is not None
    unit = jnp.asarray(_drawn(weighted, UNKNOWN_SAMPLES, work.seed))
    lost = (np.asarray(work.like.weights(unit)) @ fit.cut.dropped) ** 2
    return float(lost.sum(axis=1).max())


def _each(done: Weighted) -> Iterator[tuple[int, Weighted]]:
    """Finished stars one by one."""
    for i, row in enumerate(done.rows):
        unit = done.points.unit if len(done.points.unit) == 1 else done.points.unit[i : i + 1]
        points = done.points._replace(unit=unit, weight=done.points.weight[i : i + 1])
        yield int(row), Weighted(done.rows[i : i + 1], points, done.good[i : i + 1])


def _begin(work: _Work, target: Target) -> Fit | ObservedPosterior:
    """A star ready to be fitted, or the result that says why it cannot be."""
    usable = (target.ivar > 0) & np.isfinite(target.ivar) & np.isfinite(target.flux)
    if not usable.any():
        return _unusable(work, target, "it has no usable pixel", "FEW_PIXELS")
    seen = target.place(target.rv_kms)
    some = usable & np.asarray(seen.covered)
    least = LEAST_PIXELS * free_numbers(work.like, work.inference.conditions)
    if some.sum() < least:
        words = f"needed {least} usable pixels within the grid's range, found {some.sum()} of {usable.sum()}"
        return _unusable(work, target, words, "FEW_PIXELS")
    middle = float(np.median(target.flux[some]))
    if not middle > 0:
        return _unusable(work, target, f"its median flux is {middle:.3g}, not positive", "BAD_SCALE")
    return begin(target, some, seen, work.inference.conditions)


def _unusable(work: _Work, target: Target, note: str, *flags: str) -> ObservedPosterior:
    n_pix = int((np.asarray(target.ivar) > 0).sum())
    return unusable(work.prior.label_names, len(work.inference.quantiles), n_pix, flags, note)


def _result(work: _Work, fit: Fit, weighted: Weighted) -> ObservedPosterior:
    """The result of a star from its best fit and its weighted points."""
    conditions, n_labels = work.inference.conditions, len(work.prior.label_names)
    moments = summary(weighted, work.prior, np.full((1, n_labels), np.nan), work.inference.quantiles)
    values, sigmas = _unknowns(work, fit, weighted)
    checked = quality(fit, conditions, free_numbers(work.like, conditions))
    assert fit.unit_labels is not None
    scale = values.get("scale", 1.0)
    wanted = work.wanted
    return ObservedPosterior(
        work.prior.label_names, moments.mean[0], moments.sigma[0], moments.quantiles[0],
        np.asarray(labels_of(work.like.prior, jnp.asarray(fit.unit_labels))),
        ess=float(moments.ess[0]), converged=bool(moments.converged[0]),
        chi2=checked.chi2, dof=checked.dof, p_value=checked.p_value, n_pix=checked.n_pix, snr=checked.snr,
        scale=scale * fit.unit, scale_sigma=sigmas.get("scale", 0.0) * fit.unit,
        continuum=tuple(values[f"continuum_{k + 1}"] / scale for k in range(conditions.continuum)),
        rv_kms=fit.rv_kms + values.get("rv_kms", 0.0), rv_sigma_kms=sigmas.get("rv_kms", 0.0),
        model_error=fit.model_error, error=float("nan") if fit.target.has_errors else fit.error,
        gain=checked.gain, p_star=checked.p_star, explained=checked.explained,
        flags=_flags(work, fit, moments, checked, values, sigmas),
        model=_model(fit) if wanted.model else None,
        samples=_samples(work, weighted) if wanted.samples else None,
    )  # fmt: skip


def _unknowns(work: _Work, fit: Fit, weighted: Weighted) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation of every unknown over the posterior: spread of its best value, and own."""
    names = work.inference.conditions.unknowns
    if not names:
        return {}, {}
    unit = _drawn(weighted, UNKNOWN_SAMPLES, work.seed)
    solved = work.like.unknowns_at(jnp.asarray(unit[None]), sums_of([fit]))
    best = np.asarray(solved.best)[0][:, -len(names) :]
    own = np.asarray(jnp.diagonal(solved.covariance, axis1=-2, axis2=-1))[0]
    sigma = np.sqrt(best.var(axis=0) + own.mean(axis=0))
    return (
        dict(zip(names, best.mean(axis=0).tolist(), strict=True)),
        dict(zip(names, sigma.tolist(), strict=True)),
    )


def _drawn(weighted: Weighted, n: int, seed: int) -> Float[np.ndarray, "n n_labels"]:
    """Points of equal weight from weighted ones: the inverse of their cumulative sum at even steps."""
    weight = weighted.points.weight[0]
    edges = np.cumsum(weight / weight.sum())
    uniform = (np.arange(n) + np.random.default_rng(seed).random()) / n
    found: Float[np.ndarray, "n n_labels"] = weighted.points.unit[0][
        np.minimum(np.searchsorted(edges, uniform), len(edges) - 1)
    ]
    return found


def _samples(work: _Work, weighted: Weighted) -> Float[np.ndarray, "n n_labels"]:
    """Labels of equal weight, in an order that tells nothing."""
    unit = _drawn(weighted, work.wanted.samples, work.seed)
    shuffled = np.random.default_rng(work.seed).permutation(unit)
    return np.asarray(labels_of(work.like.prior, jnp.asarray(shuffled)))


def _model(fit: Fit) -> Float[np.ndarray, " n_pix"]:
    """The best fit on all pixels of the star, in the unit of its flux; NaN where it was not computed."""
    assert fit.mean is not None
    whole = np.full(fit.some.shape, np.nan)
    whole[fit.some] = fit.mean * fit.unit
    return whole


def _flags(
    work: _Work,
    fit: Fit,
    moments: Posterior,
    checked: Quality,
    values: dict[str, float],
    sigmas: dict[str, float],
) -> tuple[str, ...]:
    conditions = work.inference.conditions
    tangents = _tangents(work, fit) if conditions.continuum < LEVEL_ORDER else None
    flags = list(flags_of(fit, checked, conditions, values, sigmas, tangents))
    flags += ["EDGE"] * at_edge(moments.mean[0], moments.sigma[0], work.prior)
    flags += ["NOT_CONVERGED"] * (not bool(moments.converged[0]))
    return tuple(flags)


def _tangents(work: _Work, fit: Fit) -> Float[np.ndarray, "n_labels n_pix"]:
    """Changes of the best fit with each label, from two points."""
    assert fit.unit_labels is not None
    assert fit.mean is not None
    best = np.asarray(fit.unit_labels)
    steps = np.diag(np.where(best < 0.5, TANGENT_STEP, -TANGENT_STEP))
    weights = np.asarray(work.like.weights(jnp.asarray(np.concatenate([best[None], best + steps]))))
    flux = weights @ fit.basis
    found: Float[np.ndarray, "n_labels n_pix"] = (flux[1:] - flux[:1]) * (fit.mean / flux[0])
    return found
