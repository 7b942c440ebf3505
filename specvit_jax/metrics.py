"""How well predicted labels match the true ones: overall and per SNR bin, with bootstrap intervals.

Residuals are pred - truth, in the label's unit. All functions work along the last axis.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from crlb.errors import DataError, UsageError

Values = Float[np.ndarray, "*resamples n"]
Score = float | Float[np.ndarray, "*resamples"]

MIN_BIN = 20  # spectra; a bin with fewer is counted but not scored
BLOCK = 2_000_000  # resampled values in memory at a time


def r2(truth: Values, pred: Values) -> Score:
    """1 - sum(residual^2) / sum((truth - mean truth)^2), with the mean and variance of these very stars.

    Raises:
        DataError: all true values are equal.
    """
    variance = _wide(truth).var(axis=-1)
    if not np.all(variance > 0):
        raise DataError("R2 needs true values that differ, found them all equal; take more spectra")
    return 1.0 - (_residual(truth, pred) ** 2).mean(axis=-1) / variance


def mae(truth: Values, pred: Values) -> Score:
    """Mean absolute residual."""
    return np.abs(_residual(truth, pred)).mean(axis=-1)


def rmse(truth: Values, pred: Values) -> Score:
    """Root of the mean squared residual."""
    return np.sqrt((_residual(truth, pred) ** 2).mean(axis=-1))


def bias(truth: Values, pred: Values) -> Score:
    """Mean residual."""
    return _residual(truth, pred).mean(axis=-1)


def scatter(truth: Values, pred: Values) -> Score:
    """Standard deviation of the residuals about their mean: rmse^2 = bias^2 + scatter^2."""
    return _residual(truth, pred).std(axis=-1)


METRICS: dict[str, Callable[[Values, Values], Score]] = {
    "r2": r2,
    "mae": mae,
    "rmse": rmse,
    "bias": bias,
    "scatter": scatter,
}


def summary(
    truth: Float[np.ndarray, " n"],
    pred: Float[np.ndarray, " n"],
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, int | float]:
    """`n`, and every metric with the ends of its bootstrap percentile interval (`r2`, `r2_low`, `r2_high`).

    Args:
        truth: true values.
        pred: predicted values.
        n_bootstrap: resamplings of the spectra, with replacement.
        level: probability inside the interval.
        seed: of the resampling.

    Raises:
        DataError: no spectra, values that are not finite, or true values that are all equal.
    """
    _check(truth, pred)
    draws = _bootstrap(truth, pred, n_bootstrap, seed)
    tails = [(1 - level) / 2, (1 + level) / 2]
    result: dict[str, int | float] = {"n": len(truth)}
    for name, metric in METRICS.items():
        low, high = np.quantile(draws[name], tails)
        result |= {name: float(metric(truth, pred)), f"{name}_low": float(low), f"{name}_high": float(high)}
    return result


def by_snr(
    truth: Float[np.ndarray, " n"],
    pred: Float[np.ndarray, " n"],
    snr: Float[np.ndarray, " n"],
    edges: Sequence[float],
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> list[dict[str, int | float | None]]:
    """`summary` of the spectra in each bin [edge, next edge), with `snr_low`, `snr_high`, `snr_median`.

    R2 of a bin uses the bin's own variance. A bin of fewer than `MIN_BIN` spectra has every score None.

    Raises:
        UsageError: edges that do not increase, or fewer than two.
    """
    _check(truth, pred)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise UsageError(f"edges must be at least two increasing SNR values, found {list(edges)}")
    if not np.isfinite(snr).all():
        raise DataError(f"snr must be finite, found {int((~np.isfinite(snr)).sum())} that are not")
    rows = []
    for low, high in pairwise(edges):
        inside = (snr >= low) & (snr < high)
        n = int(inside.sum())
        row: dict[str, int | float | None] = {"snr_low": float(low), "snr_high": float(high), "n": n}
        row["snr_median"] = float(np.median(snr[inside])) if n else None
        if n >= MIN_BIN:
            row |= summary(truth[inside], pred[inside], n_bootstrap=n_bootstrap, level=level, seed=seed)
        else:
            row |= {name + end: None for name in METRICS for end in ("", "_low", "_high")}
        rows.append(row)
    return rows


def _bootstrap(
    truth: Float[np.ndarray, " n"], pred: Float[np.ndarray, " n"], n_bootstrap: int, seed: int
) -> dict[str, Float[np.ndarray, " n_bootstrap"]]:
    """Every metric on resamplings of the spectra, a block of resamplings at a time."""
    rng, n = np.random.default_rng(seed), len(truth)
    block = max(1, BLOCK // n)
    draws: dict[str, list[Score]] = {name: [] for name in METRICS}
    for start in range(0, n_bootstrap, block):
        rows = rng.integers(n, size=(min(block, n_bootstrap - start), n))
        for name, metric in METRICS.items():
            draws[name].append(metric(truth[rows], pred[rows]))
    return {name: np.concatenate(parts) for name, parts in draws.items()}


def _wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64)


def _residual(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    return _wide(pred) - _wide(truth)


def _check(truth: np.ndarray, pred: np.ndarray) -> None:
    if not len(truth):
        raise DataError("scores need at least one spectrum, found none")
    for name, values in (("truth", truth), ("pred", pred)):
        if not np.isfinite(values).all():
            raise DataError(f"{name} must be finite, found {int((~np.isfinite(values)).sum())} that are not")
