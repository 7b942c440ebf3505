"""Rows of `r2_vs_snr`: ceilings by magnitude, limits and scores by SNR, the published curves."""

from dataclasses import dataclass

from crlb.files.records import Json, Record
from experiments.study.rows import Scores, SnrBin
from experiments.study.stars import TypeBin


@dataclass(frozen=True, kw_only=True)
class Quantiles(Record):
    """Quantiles over the nodes of the grid; None: infinite."""

    p10: float | None = None
    median: float | None
    p90: float | None = None
    mean: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExactLimit(Record):
    """R2 of the exact posterior mean from n stars, with its interval and how the posteriors were checked."""

    value: float
    low: float
    high: float
    n: int
    unconverged: int
    ess: dict[str, float]
    rank_ks: dict[str, float]
    r2_of_posterior_mean: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class CeilingBin(Record):
    """A magnitude: SNR and Cramer-Rao bound over n nodes, and the exact limit of any estimator."""

    mag: float
    snr_median: float
    n: int
    lost: int  # nodes without a bound
    r2_max: Quantiles
    bound: Quantiles
    schur_decay: Quantiles
    r2_bayes: ExactLimit


@dataclass(frozen=True, kw_only=True)
class Ceilings(Record):
    """What `crlb ceiling --bayes` gives: a row per magnitude."""

    label: str
    label_names: tuple[str, ...]
    variance: float
    grid: str
    noise: str
    bins: tuple[CeilingBin, ...]
    provenance: dict[str, Json]
    prior: dict[str, Json]


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
    overall: Scores
    by_snr: tuple[SnrBin, ...]
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
