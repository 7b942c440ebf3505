"""Rows of `survey`: the limit of the stars of a bin, networks beside it, what each unknown does to them."""

from dataclasses import dataclass

from crlb.files.records import Record
from experiments.study.beside_limit import NetworkRow


@dataclass(frozen=True, kw_only=True)
class LimitRow(Record):
    """R2_Bayes of n stars of SNR snr_low to snr_high (None: all stars), and their median sigma, dex.

    `r2_mean` is the R2 that the posterior means themselves have on these stars: by chance, another.
    """

    snr_low: float
    snr_high: float | None
    snr_median: float
    n: int
    r2_bayes: float
    r2_bayes_low: float
    r2_bayes_high: float
    r2_mean: float
    sigma: float

    @property
    def snr(self) -> str:
        """The bin in words."""
        return "all" if self.snr_high is None else f"{self.snr_low:g}-{self.snr_high:g}"


@dataclass(frozen=True, kw_only=True)
class Network(Record):
    """A network: what it was trained on, and a row for every `LimitRow`."""

    training: str
    rows: tuple[NetworkRow, ...]


@dataclass(frozen=True, kw_only=True)
class CaseRow(Record):
    """R2 of log g of every network on n stars whose conditions differ in one unknown."""

    case: str
    n: int
    r2: dict[str, float]
