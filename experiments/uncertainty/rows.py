"""Rows of `uncertainty`: scores of forecasts, calibration curves."""

from dataclasses import dataclass

from crlb.files.records import Record
from experiments.study.rows import Run
from specvit_jax import metrics

NAMES = {"network": "NLL head", "moments": "exact moments", "posterior": "exact posterior"}
LEVELS = (0.5, 0.68, 0.9, 0.95)  # of the `cover_50`, ... of a `Forecast`


@dataclass(frozen=True, kw_only=True)
class ArmScores(Run):
    """Scores of an arm on n test stars."""

    n: int


@dataclass(frozen=True, kw_only=True)
class Told(Record):
    """What a network says of every test star: mean and, where it has one, sigma (dex); its scores."""

    pred: tuple[float, ...]
    sigma: tuple[float, ...] | None
    scores: metrics.Score


@dataclass(frozen=True, kw_only=True)
class Forecast(Record):
    """Scores of forecasts, with intervals; None where they have none (`experiments.uncertainty.forecasts`).

    `cover_50`, ...: share of truths inside the central interval of that level; `n`: stars, where not all.
    """

    n: int | None = None
    cover_50: float | None = None
    cover_50_low: float | None = None
    cover_50_high: float | None = None
    cover_68: float | None = None
    cover_68_low: float | None = None
    cover_68_high: float | None = None
    cover_90: float | None = None
    cover_90_low: float | None = None
    cover_90_high: float | None = None
    cover_95: float | None = None
    cover_95_low: float | None = None
    cover_95_high: float | None = None
    sharpness: float | None = None
    sharpness_low: float | None = None
    sharpness_high: float | None = None
    nll: float | None = None
    nll_low: float | None = None
    nll_high: float | None = None
    crps: float | None = None
    crps_low: float | None = None
    crps_high: float | None = None
    excess_nll: float | None = None
    excess_nll_low: float | None = None
    excess_nll_high: float | None = None
    excess_mean: float | None = None
    excess_mean_low: float | None = None
    excess_mean_high: float | None = None
    width: float | None = None
    width_low: float | None = None
    width_high: float | None = None
    log_ratio: float | None = None
    log_ratio_low: float | None = None
    log_ratio_high: float | None = None
    log_scatter: float | None = None
    log_scatter_low: float | None = None
    log_scatter_high: float | None = None
    correlation: float | None = None
    correlation_low: float | None = None
    correlation_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ForecastBin(Record):
    """The n stars of a bin in SNR (to None: all stars), by who forecasts."""

    snr_low: float
    snr_high: float | None
    snr_median: float
    n: int
    network: Forecast
    moments: Forecast
    posterior: Forecast


@dataclass(frozen=True, kw_only=True)
class Curve(Record):
    """Of n stars: Kolmogorov-Smirnov distance and density of the PIT, coverage by level."""

    n: int
    ks: float
    density: tuple[float, ...]
    covered: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Curves(Record):
    """Calibration by who forecasts; levels of the coverage, edges of the PIT's bins."""

    network: Curve
    moments: Curve
    posterior: Curve
    levels: tuple[float, ...]
    edges: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Sigmas(Record):
    """Number of stars per cell of exact and predicted sigma (rows), dex, and outside of all cells."""

    edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    beyond: int
