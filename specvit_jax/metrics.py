"""How well predicted labels match the true ones: overall and per SNR bin, with bootstrap intervals.

Residuals are pred - truth, in the label's unit. All functions work along the last axis.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from crlb.errors import DataError, UsageError
from crlb.files.records import Record

Values = Float[np.ndarray, "*resamples n"]
Value = float | Float[np.ndarray, "*resamples"]

MIN_BIN = 20  # spectra; a bin with fewer is counted but not scored
BLOCK = 2_000_000  # resampled values in memory at a time


@dataclass(frozen=True, kw_only=True)
class Metrics(Record):
    """R2, mean absolute error, root mean square, bias and scatter of residuals, with 95 % intervals.

    R2 has no unit, the others are in the label's unit; `_low` and `_high` are bootstrap percentiles.
    """

    r2: float
    r2_low: float
    r2_high: float
    mae: float
    mae_low: float
    mae_high: float
    rmse: float
    rmse_low: float
    rmse_high: float
    bias: float
    bias_low: float
    bias_high: float
    scatter: float
    scatter_low: float
    scatter_high: float


@dataclass(frozen=True, kw_only=True)
class Score(Metrics):
    """How well one label of `n` spectra is predicted."""

    n: int


@dataclass(frozen=True, kw_only=True)
class Bin(Record):
    """`Metrics` of the `n` spectra of a bin; None where there are too few."""

    n: int
    r2: float | None = None
    r2_low: float | None = None
    r2_high: float | None = None
    mae: float | None = None
    mae_low: float | None = None
    mae_high: float | None = None
    rmse: float | None = None
    rmse_low: float | None = None
    rmse_high: float | None = None
    bias: float | None = None
    bias_low: float | None = None
    bias_high: float | None = None
    scatter: float | None = None
    scatter_low: float | None = None
    scatter_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class BinScore(Bin):
    """`Metrics` of the spectra whose SNR lies in [snr_low, snr_high)."""

    snr_low: float
    snr_high: float
    snr_median: float | None  # of the spectra in the bin; None: there are none


def r2(truth: Values, pred: Values) -> Value:
    """1 - sum(residual^2) / sum((truth - mean truth)^2), with the mean and variance of these very stars.

    Raises:
        DataError: all true values are equal, or one is NaN.
    """
    if not np.all(_differ(truth)):
        raise DataError("R2 needs true values that differ, found them all equal or NaN; take more spectra")
    return _r2_where_known(truth, pred)


def _differ(truth: Values) -> np.ndarray:
    wide = _wide(truth)
    return np.asarray(wide.max(axis=-1) > wide.min(axis=-1))  # the variance of equal ones may be rounding


def _r2_where_known(truth: Values, pred: Values) -> Value:
    """`r2`; NaN for true values that are all equal."""
    variance = np.where(_differ(truth), _wide(truth).var(axis=-1), np.nan)
    found: Value = 1.0 - (_residual(truth, pred) ** 2).mean(axis=-1) / variance
    return found


def mae(truth: Values, pred: Values) -> Value:
    """Mean absolute residual."""
    found: Value = np.abs(_residual(truth, pred)).mean(axis=-1)
    return found


def rmse(truth: Values, pred: Values) -> Value:
    """Root of the mean squared residual."""
    found: Value = np.sqrt((_residual(truth, pred) ** 2).mean(axis=-1))
    return found


def bias(truth: Values, pred: Values) -> Value:
    """Mean residual."""
    found: Value = _residual(truth, pred).mean(axis=-1)
    return found


def scatter(truth: Values, pred: Values) -> Value:
    """Standard deviation of the residuals about their mean: rmse^2 = bias^2 + scatter^2."""
    found: Value = _residual(truth, pred).std(axis=-1)
    return found


METRICS: dict[str, Callable[[Values, Values], Value]] = {
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
) -> Score:
    """Every metric of one label, with the ends of its bootstrap percentile interval.

    Resamplings in which all true values are equal say nothing of R2, and are left out of its interval.

    Args:
        truth: true values.
        pred: predicted values.
        n_bootstrap: resamplings of the spectra, with replacement.
        level: probability inside the interval.
        seed: of the resampling.

    Raises:
        DataError: no spectra, values that are not finite, or true values that are all equal.
    """
    check_pairs(truth, pred)
    values = {name: float(metric(truth, pred)) for name, metric in METRICS.items()}
    drawable = METRICS | {"r2": _r2_where_known}
    values |= ends(bootstrap(truth, pred, drawable, n_bootstrap, seed), level)
    return Score(n=len(truth), **values)


def by_snr(
    truth: Float[np.ndarray, " n"],
    pred: Float[np.ndarray, " n"],
    snr: Float[np.ndarray, " n"],
    edges: Sequence[float],
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[BinScore, ...]:
    """`summary` of the spectra in each bin [edge, next edge) of SNR.

    R2 of a bin uses the bin's own variance. A bin of fewer than `MIN_BIN` spectra, or one in which all true
    values are equal, has every score None.

    Raises:
        UsageError: edges that do not increase, or fewer than two.
    """
    check_pairs(truth, pred)
    rows = []
    for (low, high), inside in zip(pairwise(edges), in_bins(snr, edges), strict=True):
        n = int(inside.sum())
        median = float(np.median(snr[inside])) if n else None
        row = BinScore(snr_low=float(low), snr_high=float(high), n=n, snr_median=median)
        if n >= MIN_BIN and _differ(truth[inside]):
            found = summary(truth[inside], pred[inside], n_bootstrap=n_bootstrap, level=level, seed=seed)
            row = replace(row, **asdict(found))
        rows.append(row)
    return tuple(rows)


def in_bins(snr: Float[np.ndarray, " n"], edges: Sequence[float]) -> list[Bool[np.ndarray, " n"]]:
    """Which spectra lie in each bin [edge, next edge) of SNR.

    Raises:
        UsageError: edges that do not increase, or fewer than two.
        DataError: SNR that is not finite.
    """
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise UsageError(f"edges must be at least two increasing SNR values, found {list(edges)}")
    if not np.isfinite(snr).all():
        raise DataError(f"snr must be finite, found {int((~np.isfinite(snr)).sum())} that are not")
    return [(snr >= low) & (snr < high) for low, high in pairwise(edges)]


def bootstrap(
    truth: Float[np.ndarray, " n"],
    pred: Float[np.ndarray, " n"],
    metrics: Mapping[str, Callable[[Values, Values], Value]],
    n_bootstrap: int,
    seed: int,
) -> dict[str, Float[np.ndarray, " n_bootstrap"]]:
    """Every metric on resamplings of the spectra, a block of resamplings at a time."""
    rng, n = np.random.default_rng(seed), len(truth)
    block = max(1, BLOCK // n)
    draws: dict[str, list[Value]] = {name: [] for name in metrics}
    for start in range(0, n_bootstrap, block):
        rows = rng.integers(n, size=(min(block, n_bootstrap - start), n))
        for name, metric in metrics.items():
            draws[name].append(metric(truth[rows], pred[rows]))
    return {name: np.concatenate(parts) for name, parts in draws.items()}


def _wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64)


def _residual(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    found: np.ndarray = _wide(pred) - _wide(truth)
    return found


def ends(draws: Mapping[str, Float[np.ndarray, " n_bootstrap"]], level: float = 0.95) -> dict[str, float]:
    """The ends of the percentile interval of every metric, as `NAME_low` and `NAME_high`; NaN is left out."""
    found: dict[str, float] = {}
    for name, values in draws.items():
        low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
        found |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return found


def check_pairs(truth: np.ndarray, pred: np.ndarray) -> None:
    """Refuses true and predicted values that cannot be compared.

    Raises:
        DataError: no spectra, or values that are not finite.
    """
    if not len(truth):
        raise DataError("scores need at least one spectrum, found none")
    for name, values in (("truth", truth), ("pred", pred)):
        if not np.isfinite(values).all():
            raise DataError(f"{name} must be finite, found {int((~np.isfinite(values)).sum())} that are not")
