"""Rows of `r2_vs_snr`: limits and scores by SNR, the published curves."""

from dataclasses import dataclass

from crlb.files.records import Record
from experiments.study.stars import TypeBin
from specvit_jax import metrics


@dataclass(frozen=True, kw_only=True)
class LimitRow(Record):
    """R2_Bayes of the n stars of a bin in SNR; with an estimate, its R2 over it."""

    snr_low: float
    snr_high: float
    n: int
    snr_median: float
    r2_bayes: float | None
    r2_bayes_low: float | None
    r2_bayes_high: float | None
    efficiency: float | None = None
    efficiency_low: float | None = None
    efficiency_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Limit(Record):
    """R2_Bayes of the first n test stars, overall and by SNR."""

    n: int
    overall: float
    by_snr: tuple[LimitRow, ...]


@dataclass(frozen=True, kw_only=True)
class Estimator(Record):
    """A method: how it was trained, its scores overall, by SNR and by type of star, its efficiency by SNR."""

    training: str
    overall: metrics.Score
    by_snr: tuple[metrics.BinScore, ...]
    by_type: tuple[TypeBin, ...]
    efficiency: tuple[LimitRow, ...]


@dataclass(frozen=True, kw_only=True)
class PublishedCurve(Record):
    """R2 of log g by SNR."""

    snr: tuple[float, ...]
    r2: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Published(Record):
    """The curves of the original study."""

    source: str
    note: str
    curves: dict[str, PublishedCurve]
