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

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.stats import kstest, kurtosis, skew

from experiments.residuals.figure import draw_all
from experiments.study.cells import Place, Statistic, field
from experiments.study.drawing import interval, markdown
from experiments.study.frame import Study, Work
from experiments.study.resampling import with_ends
from experiments.study.stars import LABEL, about
from experiments.study.training import reference
from specvit_jax import metrics
from specvit_jax.evaluation.limits import cramer_rao
from specvit_jax.evaluation.predict import predict
from specvit_jax.evaluation.scores import SNR_EDGES

METHODS = ("SpecViT", "posterior mean")
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


def run(work: Work) -> dict[str, Any]:
    """Maps, parity, profile and pulls of the network and of the posterior mean."""
    weights = reference(work)
    pred = predict(weights, work.stars.noisy).of(LABEL)
    mean, sigma = work.exact.T
    bound, truth = bounds_of(work), np.asarray(work.truth, np.float64)
    residuals = {
        name: np.asarray(estimate, np.float64) - truth
        for name, estimate in zip(METHODS, (pred, mean), strict=True)
    }
    low, high = (
        float(ends[work.column]) for ends in (work.simulator.emulator.low, work.simulator.emulator.high)
    )
    return {
        "network": {"spectra": weights.config.train.steps * weights.config.train.batch_size},
        "methods": {
            name: metrics.summary(truth, truth + found).to_json() for name, found in residuals.items()
        },
        "maps": maps(work, residuals, (low, high)),
        "parity": {name: parity(truth, truth + found, low, high) for name, found in residuals.items()},
        "profile": profile(truth, residuals, sigma, bound, np.linspace(low, high, work.size.n_profile + 1)),
        "pulls": {
            name: {"posterior": pulls(found / sigma), "bound": pulls((found / bound)[np.isfinite(bound)])}
            for name, found in residuals.items()
        },
        "by_snr": by_snr(residuals, sigma, bound, work.stars.snr),
        "without_bound": int(np.isnan(bound).sum()),
    }


def bounds_of(work: Work) -> Float[np.ndarray, " n"]:
    """Cramer-Rao bound of every test star, dex, kept as a part; NaN where there is none."""

    def compute() -> list[float | None]:
        found = cramer_rao(work.simulator, work.stars.labels, work.stars.mag[:, None])
        found = found[:, 0, work.column].tolist()
        return [None if np.isnan(value) else value for value in found]

    return np.array(work.part("bound", about(work.stars, work.size.mag), compute), float)


def maps(
    work: Work, residuals: dict[str, Float[np.ndarray, " n"]], ends: tuple[float, float]
) -> dict[str, dict[str, Any]]:
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
        key: {name: field(place, up, statistics, found) for name, found in residuals.items()}
        for key, place in across.items()
    }


def parity(
    truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], low: float, high: float
) -> dict[str, Any]:
    """Number of stars per cell of truth and estimate (rows), dex; estimates beyond the plot are counted."""
    width = (high - low) / 40
    edges = np.arange(low, high + width / 2, width)
    rows = np.arange(low - BEYOND, high + BEYOND + width / 2, width)
    counts = np.histogram2d(pred, truth, bins=[rows, edges])[0].astype(int)
    return {
        "truth_edges": edges.tolist(),
        "pred_edges": rows.tolist(),
        "counts": counts.tolist(),
        "beyond": len(truth) - int(counts.sum()),
    }


def profile(
    truth: Float[np.ndarray, " n"],
    residuals: dict[str, Float[np.ndarray, " n"]],
    sigma: Float[np.ndarray, " n"],
    bound: Float[np.ndarray, " n"],
    edges: Float[np.ndarray, " n_edges"],
) -> list[dict[str, Any]]:
    """Residuals by true log g, dex: mean, 16 to 84 %; median posterior sigma and median bound beside them."""
    rows = []
    for low, high in pairwise(edges.tolist()):
        inside = (truth >= low) & (truth < high)
        row: dict[str, Any] = {"low": low, "high": high, "n": int(inside.sum())}
        if row["n"] >= metrics.MIN_BIN:
            row |= {"sigma": float(np.median(sigma[inside])), "bound": float(np.nanmedian(bound[inside]))}
            row["methods"] = {name: _spread(found[inside]) for name, found in residuals.items()}
        rows.append(row)
    return rows


def _spread(residual: Float[np.ndarray, " n"]) -> dict[str, Any]:
    p16, p84 = np.quantile(residual, [0.16, 0.84])
    return with_ends("bias", _mean, residual) | {
        "p16": float(p16), "p84": float(p84), "scatter": float(residual.std()),
    }  # fmt: skip


def pulls(pull: Float[np.ndarray, " n"]) -> dict[str, Any]:
    """Moments with intervals, distance to a standard normal, and histogram of normalised residuals."""
    scores = with_ends("mean", _mean, pull) | with_ends("std", _std, pull)
    return scores | {
        "n": len(pull),
        "median": float(np.median(pull)),
        "skewness": float(skew(pull)),
        "kurtosis": float(kurtosis(pull)),  # 0 for a normal distribution
        "within_1": float(np.mean(np.abs(pull) < 1)),
        "ks": float(kstest(pull, "norm").statistic),
        "ks_95": KS_95 / len(pull) ** 0.5,
        "edges": PULL_EDGES.tolist(),
        "density": (np.histogram(pull, PULL_EDGES)[0] / len(pull) / np.diff(PULL_EDGES)).tolist(),
    }


def _mean(values: Float[np.ndarray, "*resamples n"]) -> np.ndarray:
    return values.mean(axis=-1)


def _std(values: Float[np.ndarray, "*resamples n"]) -> np.ndarray:
    return values.std(axis=-1)


def by_snr(
    residuals: dict[str, Float[np.ndarray, " n"]],
    sigma: Float[np.ndarray, " n"],
    bound: Float[np.ndarray, " n"],
    snr: Float[np.ndarray, " n"],
) -> list[dict[str, Any]]:
    """Standard deviation of residual/sigma per SNR bin, with medians of sigma and bound (dex)."""
    rows = []
    for low, high in pairwise(SNR_EDGES):
        inside = (snr >= low) & (snr < high)
        if inside.sum() < metrics.MIN_BIN:
            continue
        row: dict[str, Any] = {"snr_low": low, "snr_high": high, "n": int(inside.sum())}
        row |= {"sigma": float(np.median(sigma[inside])), "bound": float(np.nanmedian(bound[inside]))}
        row["methods"] = {
            name: with_ends("std", _std, (found / sigma)[inside]) for name, found in residuals.items()
        }
        rows.append(row)
    return rows


def table(results: dict[str, Any]) -> str:
    """Pulls of each method, then by SNR."""
    heads = [
        "residual over",
        "of",
        "mean",
        "standard deviation",
        "skewness",
        "kurtosis",
        "within 1",
        "KS distance",
    ]
    lines = [
        [
            {"posterior": "posterior sigma", "bound": "Cramer-Rao bound"}[key],
            name,
            interval(pull, "mean"),
            interval(pull, "std"),
            f"{pull['skewness']:+.2f}",
            f"{pull['kurtosis']:+.2f}",
            f"{pull['within_1']:.3f}",
            f"{pull['ks']:.3f} (chance: {pull['ks_95']:.3f})",
        ]
        for key in ("posterior", "bound")
        for name, pull in ((name, results["pulls"][name][key]) for name in METHODS)
    ]
    by = ["SNR", "n", "median sigma, dex", "median bound, dex"]
    by += [f"residual/sigma of {name}: std" for name in METHODS]
    rows = [
        [
            f"{row['snr_low']:g} to {row['snr_high']:g}",
            str(row["n"]),
            f"{row['sigma']:.3f}",
            f"{row['bound']:.3f}",
            *(interval(row["methods"][name], "std") for name in METHODS),
        ]
        for row in results["by_snr"]
    ]
    return f"{markdown(heads, lines)}\n\n{markdown(by, rows)}"


def draw(results: dict[str, Any]) -> Figure:
    """Maps, parity, profile and pulls."""
    return draw_all(results, METHODS)


STUDY = Study("residuals", __doc__, SIZES, run, table, draw)
