"""Forecasts, a mean and a standard deviation per star, against the truth and against the exact posterior.

For a Gaussian forecast N(p, s^2) of a label y, with z = (y - p)/s, per star:

    NLL  = ln s + z^2/2 + ln(2 pi)/2
    CRPS = s [ z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi) ]
    PIT  = Phi(z), uniform over stars where forecasts are right

Both scores are proper: lower is better, honest forecasts are best. Given a spectrum whose posterior has mean
m and standard deviation sigma, the NLL to expect is ln s + [sigma^2 + (p - m)^2]/(2 s^2) + ln(2 pi)/2, least
at p = m and s = sigma whatever the posterior's shape: no Gaussian forecast beats the posterior's own moments.
Source: Gneiting & Raftery 2007, JASA 102, 359, sections 3.1 and 4.2.
"""

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from experiments.study.resampling import with_ends
from experiments.uncertainty.rows import LEVELS

Values = Float[np.ndarray, "*resamples n"]


def nll(truth: Values, pred: Values, sigma: Values) -> Values:
    """Negative log-likelihood, labels in dex."""
    return np.log(sigma) + 0.5 * ((truth - pred) / sigma) ** 2 + 0.5 * np.log(2 * np.pi)


def excess_nll(pred: Values, sigma: Values, mean: Values, exact_sigma: Values) -> Values:
    """NLL to expect above that of the posterior's moments; needs no truth, never negative."""
    square = (exact_sigma**2 + (pred - mean) ** 2) / sigma**2
    return np.log(sigma / exact_sigma) + 0.5 * (square - 1)


def crps(truth: Values, pred: Values, sigma: Values) -> Values:
    """Continuous ranked probability score, dex; for s -> 0 the absolute error."""
    z = (truth - pred) / sigma
    return sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def pit(truth: Values, pred: Values, sigma: Values) -> Values:
    """Forecast probability of a label below the true one."""
    return norm.cdf((truth - pred) / sigma)


def within(ranks: Values, level: float) -> Values:
    """1 where the truth lies inside the central interval of a level, else 0, from forecast probabilities."""
    return (np.abs(ranks - 0.5) <= level / 2).astype(float)


def log_correlation(sigma: Values, other: Values) -> np.ndarray:
    """Pearson correlation of the logarithms of two sets of standard deviations, along the last axis."""
    x, y = (np.log(values) - np.log(values).mean(axis=-1, keepdims=True) for values in (sigma, other))
    return (x * y).mean(axis=-1) / np.sqrt((x**2).mean(axis=-1) * (y**2).mean(axis=-1))


def scores(
    truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"]
) -> dict[str, float | None]:
    """Coverage, sharpness (mean sigma, dex), NLL and CRPS of Gaussian forecasts, with 95 % intervals."""
    found = coverage(pit(truth, pred, sigma))
    for name, values in (
        ("sharpness", sigma),
        ("nll", nll(truth, pred, sigma)),
        ("crps", crps(truth, pred, sigma)),
    ):
        found |= with_ends(name, _mean, values)
    return found


def against_exact(
    pred: Float[np.ndarray, " n"], sigma: Float[np.ndarray, " n"], exact: Float[np.ndarray, "n 2"]
) -> dict[str, float | None]:
    """How a forecast differs from the posterior's moments m, sigma of each star, with 95 % intervals.

    `excess_nll`, and the part `excess_mean` = mean((p - m)^2/(2 s^2)) of it that wrong means cause; `width` =
    sqrt(mean(s^2)/mean(sigma^2 + (p - m)^2)), 1 where forecasts are as wide as their errors; `correlation`,
    mean `log_ratio` and standard deviation `log_scatter` of ln s and ln sigma.
    """
    mean, exact_sigma = exact.T
    ratio, off = np.log(sigma / exact_sigma), (pred - mean) ** 2
    found = with_ends("excess_nll", _mean, excess_nll(pred, sigma, mean, exact_sigma))
    found |= with_ends("excess_mean", _mean, 0.5 * off / sigma**2)
    found |= with_ends("width", _width, sigma**2, exact_sigma**2 + off)
    found |= with_ends("log_ratio", _mean, ratio) | with_ends("log_scatter", _std, ratio)
    return found | with_ends("correlation", log_correlation, sigma, exact_sigma)


def coverage(ranks: Float[np.ndarray, " n"]) -> dict[str, float | None]:
    """Share of truths inside the central interval of each of `LEVELS`: `cover_50`, ... with intervals."""
    found: dict[str, float | None] = {}
    for level in LEVELS:
        found |= with_ends(f"cover_{round(100 * level)}", _mean, within(ranks, level))
    return found


def _mean(values: Values) -> np.ndarray:
    return values.mean(axis=-1)


def _std(values: Values) -> np.ndarray:
    return values.std(axis=-1)


def _width(forecast: Values, error: Values) -> np.ndarray:
    return np.sqrt(forecast.mean(axis=-1) / error.mean(axis=-1))
