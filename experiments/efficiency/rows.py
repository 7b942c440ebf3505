"""Rows of `efficiency`: cells of stars with their scores and their share of the excess."""

from dataclasses import dataclass

from crlb.files.records import Record
from experiments.study.cells import Field, Grid


@dataclass(frozen=True, kw_only=True)
class Network(Record):
    """The network that is judged, and the number of spectra it was trained on."""

    preset: str
    spectra: int


@dataclass(frozen=True, kw_only=True)
class Cell(Record):
    """The n stars of a cell [low, high) (None: all), their shares, their scores if they are enough.

    `variance`: of the true labels, dex^2; `r2`, `r2_mean`: of the network and of the posterior mean; the
    others are the statistics of `experiments.efficiency.experiment` of that name, with intervals.
    """

    low: float | None = None
    high: float | None = None
    n: int
    share_of_stars: float
    share_of_excess: float
    variance: float | None = None
    r2: float | None = None
    r2_mean: float | None = None
    efficiency: float | None = None
    efficiency_low: float | None = None
    efficiency_high: float | None = None
    control: float | None = None
    control_low: float | None = None
    control_high: float | None = None
    against_mean: float | None = None
    against_mean_low: float | None = None
    against_mean_high: float | None = None
    expected: float | None = None
    expected_low: float | None = None
    expected_high: float | None = None
    r2_bayes: float | None = None
    r2_bayes_low: float | None = None
    r2_bayes_high: float | None = None
    excess: float | None = None
    excess_low: float | None = None
    excess_high: float | None = None
    excess_by_truth: float | None = None
    excess_by_truth_low: float | None = None
    excess_by_truth_high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Group(Record):
    """The cells of a property."""

    title: str
    cells: tuple[Cell, ...]

    @property
    def scored(self) -> list[Cell]:
        """Returns the cells with enough stars."""
        return [cell for cell in self.cells if cell.efficiency is not None]


@dataclass(frozen=True, kw_only=True)
class ExcessMap(Field):
    """Excess (dex^2), and excess over the posterior variance, in cells of two properties."""

    excess: Grid
    relative: Grid


@dataclass(frozen=True, kw_only=True)
class Top(Record):
    """A share of the stars, those of the largest excess, and the share of the excess that they hold."""

    share_of_stars: float
    share_of_excess: float
    normal: float  # share if deviations were normal
