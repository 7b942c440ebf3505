"""Rows of `residuals`: maps, parity, profile and pulls of the methods."""

from dataclasses import dataclass

from crlb.files.records import Record
from experiments.study.cells import Field, Grid

METHODS = ("SpecViT", "posterior mean")


@dataclass(frozen=True, kw_only=True)
class Network(Record):
    """The number of spectra the network was trained on."""

    spectra: int


@dataclass(frozen=True, kw_only=True)
class ErrorMap(Field):
    """Bias and scatter of the residuals (dex) in cells of two properties."""

    bias: Grid
    scatter: Grid


@dataclass(frozen=True, kw_only=True)
class Parity(Record):
    """Number of stars per cell of truth and estimate (rows), dex; estimates beyond the plot are counted."""

    truth_edges: tuple[float, ...]
    pred_edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    beyond: int


@dataclass(frozen=True, kw_only=True)
class Spread(Record):
    """Residuals of a method: mean with its interval, 16 to 84 %, standard deviation; dex."""

    bias: float | None
    bias_low: float | None
    bias_high: float | None
    p16: float
    p84: float
    scatter: float


@dataclass(frozen=True, kw_only=True)
class ProfileRow(Record):
    """The n stars of a bin in true log g: median posterior sigma and bound, residuals by method; dex."""

    low: float
    high: float
    n: int
    sigma: float | None = None
    bound: float | None = None
    methods: dict[str, Spread] | None = None  # None: too few stars


@dataclass(frozen=True, kw_only=True)
class Pulls(Record):
    """Normalised residuals: moments, distance to a standard normal and what chance gives, histogram."""

    mean: float | None
    mean_low: float | None
    mean_high: float | None
    std: float | None
    std_low: float | None
    std_high: float | None
    n: int
    median: float
    skewness: float
    kurtosis: float  # 0 for a normal distribution
    within_1: float
    ks: float
    ks_95: float
    edges: tuple[float, ...]
    density: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PullPair(Record):
    """Pulls by the posterior sigma and by the Cramer-Rao bound."""

    posterior: Pulls
    bound: Pulls


@dataclass(frozen=True, kw_only=True)
class Width(Record):
    """Standard deviation of residual/sigma with its interval."""

    std: float | None
    std_low: float | None
    std_high: float | None


@dataclass(frozen=True, kw_only=True)
class SnrRow(Record):
    """The n stars of a bin in SNR: medians of sigma and bound (dex), width of the pulls by method."""

    snr_low: float
    snr_high: float
    n: int
    sigma: float
    bound: float
    methods: dict[str, Width]
