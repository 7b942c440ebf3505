"""Errors of log g star by star: where they are, and how they stand to what each spectrum can tell.

Claim:    residuals of a good network are those of the exact posterior mean: drawn towards the middle of the
          label box where the spectrum tells little, and as wide as the posterior. The Cramer-Rao bound, which
          binds unbiased estimators, is beaten there.
Command:  python -m experiments.residuals [--preset smoke|cpu|gpu]
Hardware: two CPU cores, two minutes; with --grid, a network is trained and posteriors are computed before.
Expect:   residual/posterior sigma of mean 0 and standard deviation 1 for the posterior mean, a few per cent
          wider for the network; residual/bound about 1 for both on average, below 1 where the SNR is low.

Residuals are estimate - truth. Cells and profiles are of true labels, in which any Bayes estimator is biased:
given the truth, its mean is drawn from the edges inwards, though it is unbiased given the spectrum. The
profile therefore shows the bias of the posterior mean beside that of the network.

For the posterior mean m and standard deviation sigma of each star, (m - y)/sigma has mean 0 and variance 1
whatever the shape of the posteriors; for another estimate p the variance is 1 + E[(p - m)^2/sigma^2]. Neither
is normal where posteriors are not. (p - y)/bound is standard normal for an efficient unbiased estimator.
"""

from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from scipy.stats import kstest, kurtosis, skew

from experiments.residuals.result import ResidualsResult
from experiments.residuals.rows import (
    METHODS,
    ErrorMap,
    Network,
    Parity,
    ProfileRow,
    PullPair,
    Pulls,
    SnrRow,
    Spread,
    Width,
)
from experiments.study.cells import Place, Statistic, field
from experiments.study.frame import Study, Work
from experiments.study.resampling import with_ends
from experiments.study.rows import scored_spans
from experiments.study.stars import about
from experiments.study.training import read_label, reference, spectra_of
from specvit_jax import cramer_rao, metrics
from specvit_jax.evaluation.scores import SNR_EDGES

Residuals = dict[str, Float[np.ndarray, " n"]]  # by method, dex
BEYOND = 0.5  # dex that the parity plot shows of estimates beyond the edges of the grid
PULL_EDGES = np.linspace(-5, 5, 51)
KS_95 = (
    1.358  # / sqrt(n): largest distance from the true distribution in 95 % of large samples (Smirnov 1948)
)


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    n_test: int
    n_cells: int  # of T_eff and of log g in the maps
    n_profile: int  # of log g
    mag: tuple[float, float] = (20.5, 22.5)


SIZES = {"smoke": Size(300, 3, 4), "cpu": Size(10_000, 8, 16), "gpu": Size(10_000, 8, 16)}


def run(work: Work[Size]) -> ResidualsResult:
    """Maps, parity, profile and pulls of the network and of the posterior mean."""
    weights, (mean, sigma) = reference(work), work.exact.T
    bound, truth = bounds_of(work), np.asarray(work.truth, np.float64)
    estimates = dict(zip(METHODS, (read_label(weights, work.stars), mean), strict=True))
    residuals = {name: np.asarray(estimate, np.float64) - truth for name, estimate in estimates.items()}
    emulator, column = work.simulator.emulator, work.column
    low, high = float(emulator.low[column]), float(emulator.high[column])
    edges = np.linspace(low, high, work.size.n_profile + 1)
    return ResidualsResult(
        network=Network(spectra=spectra_of(weights.config)),
        methods={name: metrics.summary(truth, truth + found) for name, found in residuals.items()},
        maps=maps(work, residuals, (low, high)),
        parity={name: parity(truth, truth + found, low, high) for name, found in residuals.items()},
        profile=profile(truth, residuals, sigma, bound, edges),
        pulls={name: pull_pair(found, sigma, bound) for name, found in residuals.items()},
        by_snr=by_snr(residuals, sigma, bound, work.stars.snr),
        without_bound=int(np.isnan(bound).sum()),
    )


def bounds_of(work: Work[Size]) -> Float[np.ndarray, " n"]:
    """Cramer-Rao bound of every test star, dex, kept as a part; NaN where there is none."""

    def compute() -> list[float]:
        found = cramer_rao(work.simulator, work.stars.labels, work.stars.mag[:, None])
        return found[:, 0, work.column].tolist()

    asked = asdict(about(work.stars, work.size.mag))
    return np.array(work.part("bound", asked, list[float], compute))


def maps(work: Work[Size], residuals: Residuals, ends: tuple[float, float]) -> dict[str, dict[str, ErrorMap]]:
    """Bias and scatter (dex) over T_eff and log g, and over SNR and log g."""
    simulator, n = work.simulator, work.size.n_cells + 1
    column = simulator.label_names.index("T_eff")
    box = simulator.emulator.low[column], simulator.emulator.high[column]
    up = Place("true log $g$ (dex)", work.truth, np.linspace(*ends, n).tolist())
    across = {
        "T_eff": Place("true $T_{eff}$ (K)", work.stars.labels[:, column], np.linspace(*box, n).tolist()),
        "snr": Place("median SNR per pixel", work.stars.snr, SNR_EDGES),
    }
    statistics: dict[str, Statistic] = {"bias": np.mean, "scatter": np.std}
    return {
        key: {name: field(ErrorMap, place, up, statistics, found) for name, found in residuals.items()}
        for key, place in across.items()
    }


def parity(truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], low: float, high: float) -> Parity:
    """Number of stars per cell of truth and estimate (rows), dex; estimates beyond the plot are counted."""
    width = (high - low) / 40
    edges = np.arange(low, high + width / 2, width)
    rows = np.arange(low - BEYOND, high + BEYOND + width / 2, width)
    counts = np.histogram2d(pred, truth, bins=[rows, edges])[0].astype(int)
    return Parity(
        truth_edges=tuple(edges.tolist()),
        pred_edges=tuple(rows.tolist()),
        counts=tuple(map(tuple, counts.tolist())),
        beyond=len(truth) - int(counts.sum()),
    )


def profile(
    truth: Float[np.ndarray, " n"],
    residuals: Residuals,
    sigma: Float[np.ndarray, " n"],
    bound: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " n_edges"],
) -> tuple[ProfileRow, ...]:
    """Residuals by true log g, dex: mean, 16 to 84 %; median posterior sigma and median bound beside them."""
    rows = []
    for low, high in pairwise(edges.tolist()):
        inside = (truth >= low) & (truth < high)
        row = ProfileRow(low=low, high=high, n=int(inside.sum()))
        if row.n >= metrics.MIN_BIN:
            row = replace(
                row,
                sigma=float(np.median(sigma[inside])),
                bound=float(np.nanmedian(bound[inside])),
                methods={name: _spread(found[inside]) for name, found in residuals.items()},
            )
        rows.append(row)
    return tuple(rows)


def _spread(residual: Float[np.ndarray, " n"]) -> Spread:
    p16, p84 = np.quantile(residual, [0.16, 0.84])
    ends = with_ends("bias", _mean, residual)
    return Spread(p16=float(p16), p84=float(p84), scatter=float(residual.std()), **ends)


def pull_pair(
    residual: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"], bound: Float[np.ndarray, " n"]
) -> PullPair:
    """Residuals over the posterior sigma, and over the bound where there is one."""
    over_bound = (residual / bound)[np.isfinite(bound)]
    return PullPair(posterior=pulls(residual / sigma), bound=pulls(over_bound))


def pulls(pull: Float[np.ndarray, " n"]) -> Pulls:
    """Moments with intervals, distance to a standard normal, and histogram of normalised residuals."""
    density = np.histogram(pull, PULL_EDGES)[0] / len(pull) / np.diff(PULL_EDGES)
    return Pulls(
        n=len(pull),
        median=float(np.median(pull)),
        skewness=float(skew(pull)),
        kurtosis=float(kurtosis(pull)),
        within_1=float(np.mean(np.abs(pull) < 1)),
        ks=float(kstest(pull, "norm").statistic),
        ks_95=KS_95 / len(pull) ** 0.5,
        edges=tuple(PULL_EDGES.tolist()),
        density=tuple(density.tolist()),
        **with_ends("mean", _mean, pull),
        **with_ends("std", _std, pull),
    )


def _mean(values: Float[np.ndarray, "*resamples n"]) -> np.ndarray:
    return values.mean(axis=-1)


def _std(values: Float[np.ndarray, "*resamples n"]) -> np.ndarray:
    return values.std(axis=-1)


def by_snr(
    residuals: Residuals,
    sigma: Float[np.ndarray, " n"],
    bound: Float[np.ndarray, " n"],
    snr: Float[np.ndarray, " n"],
) -> tuple[SnrRow, ...]:
    """Standard deviation of residual/sigma per SNR bin, with medians of sigma and bound (dex)."""
    return tuple(
        SnrRow(
            snr_low=low,
            snr_high=high,
            n=int(inside.sum()),
            sigma=float(np.median(sigma[inside])),
            bound=float(np.nanmedian(bound[inside])),
            methods={
                name: Width(**with_ends("std", _std, (found / sigma)[inside]))
                for name, found in residuals.items()
            },
        )
        for low, high, inside in scored_spans(snr)
    )


STUDY = Study("residuals", __doc__, SIZES, run, ResidualsResult)
