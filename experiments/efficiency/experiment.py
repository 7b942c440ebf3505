"""How much of what could be known the network reads, and in which stars the rest is.

Claim:    R2/R2_Bayes of the same stars tells the faults of a method from those of the data; what a network
          misses sits in a few kinds of stars.
Command:  python -m experiments.efficiency [--preset smoke|cpu|gpu]
Hardware: two CPU cores, a minute; with --grid a network is trained and 10,000 exact posteriors are computed.
Expect:   R2/R2_Bayes 0.99 of the shipped network, that of the posterior mean 1 within its interval.

R2 and R2_Bayes = 1 - mean(sigma^2)/variance(truth) of a cell use the variance of its own stars; the bootstrap
resamples a star with all that belongs to it. For the exact posterior mean m and standard deviation sigma,
given the spectrum, the truth y scatters about m by sigma whatever an estimate p says, so that

    E[(p - y)^2] = E[sigma^2] + E[(p - m)^2].

The excess squared error of a method is therefore E[(p - m)^2], for which no truth is needed. It can be had
from truths as well, as mean((p - y)^2) - mean((m - y)^2), but that contains -2 mean((p - m)(y - m)), which is
0 on average and noise of 2 |p - m| sigma per star, many times (p - m)^2 where p is near m. Without it
kinds of stars can be told apart that it drowns, and the efficiency can be written with less noise:

    R2/R2_Bayes = 1 - mean((p - m)^2) / (variance(y) - mean(sigma^2))   on average.

All this holds among stars chosen by what their spectra tell, not by their true labels: cells of T_eff and
[M/H] are therefore cells of posterior means.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import chi2

from crlb.labels import LABELS
from experiments.efficiency.result import EfficiencyResult
from experiments.efficiency.rows import Cell, ExcessMap, Group, Network, Top
from experiments.study.cells import Place, field
from experiments.study.frame import Study, Work
from experiments.study.resampling import with_ends
from experiments.study.training import read_label, reference, spectra_of
from specvit_jax import metrics
from specvit_jax.evaluation.scores import SNR_EDGES

TITLES = {"T_eff": "$T_{eff}$", "M_H": "[M/H]"}  # cells of the posterior means of these
TOP = (0.01, 0.05, 0.1, 0.25)  # shares of the stars, those of the largest excess

Values = Float[np.ndarray, "*resamples n"]


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    n_cells: int  # of magnitude and of every label
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300, 2), "cpu": Size(10_000, 8), "gpu": Size(10_000, 8)}


class Known(NamedTuple):
    """What is known of each star: the true label, its posterior mean and variance, the network's estimate."""

    truth: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]
    pred: Float[np.ndarray, " n"]

    def take(self, inside: Bool[np.ndarray, " n"]) -> "Known":
        """Some of the stars."""
        return Known(*(values[inside] for values in self))


def efficiency(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """R2/R2_Bayes with the variance of these very stars."""
    return metrics.r2(truth, pred) / r2_bayes(truth, mean, variance, pred)


def control(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """R2/R2_Bayes of the posterior mean, 1 on average."""
    return efficiency(truth, mean, variance, mean)


def expected(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """The efficiency to expect of these spectra, without the scatter of their truths about the posteriors."""
    return 1 - excess(truth, mean, variance, pred) / (truth.var(axis=-1) - variance.mean(axis=-1))


def r2_bayes(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """The exact limit of these very stars."""
    return 1 - variance.mean(axis=-1) / truth.var(axis=-1)


def excess(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """Squared error beyond that of the posterior mean to be expected of these spectra, dex^2."""
    return ((pred - mean) ** 2).mean(axis=-1)


def excess_by_truth(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """Squared error beyond that of the posterior mean, from the true labels, dex^2: unbiased, noisier."""
    return ((pred - truth) ** 2 - (mean - truth) ** 2).mean(axis=-1)


def against_mean(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """R2 of the network over that of the posterior mean: what the two have in common is gone."""
    return np.asarray(metrics.r2(truth, pred)) / metrics.r2(truth, mean)


def relative(truth: Values, mean: Values, variance: Values, pred: Values) -> np.ndarray:
    """Excess over the posterior variance, which no estimator can avoid."""
    return excess(truth, mean, variance, pred) / variance.mean(axis=-1)


STATISTICS = {
    statistic.__name__: statistic
    for statistic in (
        efficiency,
        control,
        against_mean,
        expected,
        r2_bayes,
        excess,
        excess_by_truth,
        relative,
    )
}


def run(work: Work[Size]) -> EfficiencyResult:
    """Scores and excess of all stars, in cells of one property, and of two."""
    exact, weights = work.posteriors, reference(work)
    pred = read_label(weights, work.stars)
    mean, sigma = exact[:, work.column].T
    known = Known(*(np.asarray(values, np.float64) for values in (work.truth, mean, sigma**2, pred)))
    found = places(work, exact[..., 0])
    statistics = {"excess": excess, "relative": relative}
    return EfficiencyResult(
        network=Network(preset=weights.config.preset, spectra=spectra_of(weights.config)),
        all=cell(known, np.ones(len(pred), bool)),
        groups={name: Group(title=place.title, cells=row(known, place)) for name, place in found.items()},
        map=field(ExcessMap, found["T_eff"], found["M_H"], statistics, *known),
        largest=largest((known.pred - known.mean) ** 2),
    )


def places(work: Work[Size], means: Float[np.ndarray, "n n_labels"]) -> dict[str, Place]:
    """Magnitude, SNR and posterior means of labels."""
    names, n, emulator = work.simulator.label_names, work.size.n_cells + 1, work.simulator.emulator
    low, high = (dict(zip(names, ends.tolist(), strict=True)) for ends in (emulator.low, emulator.high))
    return {
        "mag": Place(
            "AB magnitude ($i$)", work.stars.mag, np.linspace(work.size.mag[0], work.size.mag[1], n).tolist()
        ),
        "snr": Place("median SNR per pixel of 0.427 Å", work.stars.snr, SNR_EDGES),
    } | {
        name: Place(
            f"{title} ({LABELS[name].unit}), posterior mean",
            means[:, names.index(name)],
            np.linspace(low[name], high[name], n).tolist(),
        )
        for name, title in TITLES.items()
    }


def row(known: Known, place: Place) -> tuple[Cell, ...]:
    """The cells of a property."""
    return tuple(cell(known, inside, (low, high)) for low, high, inside in place.cells())


def cell(
    known: Known, inside: Bool[np.ndarray, " n"], ends: tuple[float | None, float | None] = (None, None)
) -> Cell:
    """Scores of some stars, their share of all, and of the total excess; no scores where they are too few."""
    some, squared = known.take(inside), (known.pred - known.mean) ** 2
    n = int(inside.sum())
    scores: dict[str, float | None] = {}
    if n >= metrics.MIN_BIN:
        scores["variance"] = float(some.truth.var())
        for name, pred in (("r2", some.pred), ("r2_mean", some.mean)):
            scores[name] = float(metrics.r2(some.truth, pred))
        for name, statistic in STATISTICS.items():
            scores |= with_ends(name, statistic, *some)
    return Cell(
        low=ends[0],
        high=ends[1],
        n=n,
        share_of_stars=float(inside.mean()),
        share_of_excess=float(squared[inside].sum() / squared.sum()),
        **scores,
    )


def largest(squared: Float[np.ndarray, " n"]) -> tuple[Top, ...]:
    """Share of the total excess in the stars of the largest, and what it were if p - m were normal.

    Of squares of standard normal deviates those above their quantile c hold P(chi^2 of 3 degrees > c).
    """
    ordered = np.sort(squared)[::-1]
    return tuple(
        Top(
            share_of_stars=top,
            share_of_excess=float(ordered[: round(top * len(ordered))].sum() / ordered.sum()),
            normal=float(chi2(3).sf(chi2(1).isf(top))),
        )
        for top in TOP
    )


STUDY = Study("efficiency", __doc__, SIZES, run, EfficiencyResult)
