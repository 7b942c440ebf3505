"""Rows of `attention`: networks, cosines with filters, correlations with the information, maps by patch."""

from dataclasses import dataclass

from crlb.files.records import Record


@dataclass(frozen=True, kw_only=True)
class NetworkRow(Record):
    """R2 of a network, the share of its patches that is their own (`locality`), its training steps."""

    r2: float
    r2_low: float
    r2_high: float
    locality: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Spread(Record):
    """A number per star: median with its 95 % interval, 10th and 90th percentile."""

    median: float | None
    median_low: float | None
    median_high: float | None
    p10: float
    p90: float


@dataclass(frozen=True, kw_only=True)
class SnrSpread(Spread):
    """The spread over the n stars of a bin in SNR, of this median SNR."""

    snr: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Cosine(Spread):
    """Cosine of a network's gradient with a filter, all stars and by SNR."""

    network: str
    filter: str
    by_snr: tuple[SnrSpread, ...]


@dataclass(frozen=True, kw_only=True)
class Reach(Record):
    """The largest cosine that whitening allows, with either filter; by SNR that with the prior."""

    by_snr: tuple[SnrSpread, ...]
    prior: Spread
    unbiased: Spread


@dataclass(frozen=True, kw_only=True)
class Correlation(Record):
    """Mean rank correlation over patches with the information on a label; the range of shifted patches."""

    network: str
    measure: str
    label: str
    rho: float | None
    rho_low: float | None
    rho_high: float | None
    chance_low: float
    chance_high: float


@dataclass(frozen=True, kw_only=True)
class Response(Record):
    """Median change of the estimated log g with a true label: of the network and of the optimal filter."""

    network: float
    optimal: float


@dataclass(frozen=True, kw_only=True)
class Stretch(Record):
    """A stretch of wavelength (vacuum Å), its share of the information, the features in it."""

    low: float
    high: float
    share: float
    features: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Information(Record):
    """Information on log g by wavelength (vacuum Å; dex^-2 per Å), and the stretches that hold most of it."""

    wave: tuple[float, ...]
    per_angstrom: tuple[float, ...]
    windows: tuple[Stretch, ...]


@dataclass(frozen=True, kw_only=True)
class Seen(Record):
    """What a network sees of every patch: sensitivity, rollout, attention by block and head."""

    sensitivity: tuple[float, ...]
    rollout: tuple[float, ...]
    received: tuple[tuple[tuple[float, ...], ...], ...]


@dataclass(frozen=True, kw_only=True)
class Patches(Record):
    """Means over stars patch by patch: edges (vacuum Å), information by label, what every network sees."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    information: dict[str, tuple[float, ...]]
    trained: Seen
    random: Seen
    unwhitened: Seen


@dataclass(frozen=True, kw_only=True)
class Compared(Record):
    """All numbers of the study; by network where there is one for each."""

    networks: dict[str, NetworkRow]
    cosines: tuple[Cosine, ...]
    limits: dict[str, Reach]
    correlations: tuple[Correlation, ...]
    response: dict[str, dict[str, Response]]  # network -> label
    information: Information
    patches: Patches
