"""Rows of `survey`: the limit of the stars of a bin, and how a network does beside it."""

from dataclasses import dataclass

from crlb.files.records import Record
from specvit_jax import metrics


@dataclass(frozen=True, kw_only=True)
class LimitRow(Record):
    """R2_Bayes of n stars of SNR snr_low to snr_high (None: all stars), and their median sigma, dex."""

    snr_low: float
    snr_high: float | None
    snr_median: float
    n: int
    r2_bayes: float
    r2_bayes_low: float
    r2_bayes_high: float
    sigma: float

    @property
    def snr(self) -> str:
        """The bin in words."""
        return "all" if self.snr_high is None else f"{self.snr_low:g}-{self.snr_high:g}"


@dataclass(frozen=True, kw_only=True)
class NetworkRow(metrics.Score):
    """Scores of a network on the stars of a `LimitRow`.

    `efficiency` is R2 over R2_Bayes. Where the network tells a sigma: the share of truths within its central
    68 and 95 %, and the median ratio of its sigma to the exact one.
    """

    efficiency: float
    efficiency_low: float
    efficiency_high: float
    cover_68: float | None = None
    cover_95: float | None = None
    sigma_ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class Network(Record):
    """A network: what it was trained on, and a row for every `LimitRow`."""

    training: str
    rows: tuple[NetworkRow, ...]
