"""What `leak` leaves: R2 of log g from flux, from errors and from both, as tables and as a figure."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.files.records import Record
from crlb.palette import LIMIT, looks
from experiments.study.cells import log_ticks
from experiments.study.plotting import (
    EXACT,
    PAGE,
    R2,
    SNR,
    Sheet,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import column, intervals

METHODS = ("Ridge", "Ridge on pixels", "quadratic Ridge")
BEST = METHODS[-1]
SHOWN = ("model error", "flux", "observed error", "label-free error")  # by SNR
APART = 0.22  # of the points of one reading


@dataclass(frozen=True, kw_only=True)
class SpanRow(Record):
    """R2 of the n stars of a bin in SNR, and R2_Bayes of the same stars."""

    snr_low: float
    snr_high: float
    n: int
    limit: float
    r2: float | None
    r2_low: float | None
    r2_high: float | None


@dataclass(frozen=True, kw_only=True)
class LeakRow(Record):
    """R2 of a method on n stars, `excess` over R2_Bayes, `gain` over the same method on flux alone."""

    reading: str
    method: str
    n: int
    r2: float | None
    r2_low: float | None
    r2_high: float | None
    excess: float | None
    excess_low: float | None
    excess_high: float | None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    by_snr: tuple[SpanRow, ...]


@dataclass(frozen=True, kw_only=True)
class LeakResult(Result):
    """A row for every reading and method; what the label-free number scatters by; the star's share of noise.

    `label_free`: standard deviation of ln(1/c) over stars, and of what is left without the magnitude; `star`:
    the part of the variance of the median pixel that is the star's own light.
    """

    rows: tuple[LeakRow, ...]
    limit: float
    label_free: dict[str, float]
    star: float

    def table(self) -> str:
        """All stars, then by SNR."""
        heads = ["read", "method", "R2 (95 %)", "over the exact limit", "over flux alone"]
        lines = [
            [row.reading, row.method, *(interval(row, key) for key in ("r2", "excess", "gain"))]
            for row in self.rows
        ]
        bins = self.rows[0].by_snr
        by = ["read", "method", *(f"SNR {one.snr_low:g} to {one.snr_high:g}" for one in bins)]
        limits = ["exact limit", "", *(f"{one.limit:.3f}" for one in bins)]
        cells = [[row.reading, row.method, *map(interval, row.by_snr)] for row in self.rows]
        return "\n\n".join([markdown(heads, lines), f"Exact limit: {self.limit:.3f}", self.notes(),
                            markdown(by, [limits, *cells])])  # fmt: skip

    def shown(self) -> str:
        """The table of all stars."""
        return self.table().partition("\n\n")[0]

    def notes(self) -> str:
        """What the label-free number is made of, and how much of the noise is the star's own."""
        whole, left = self.label_free["scatter"], self.label_free["without_mag"]
        return (
            f"The label-free number ln(1/c) scatters by {whole:.3f}, without the magnitude by {left:.3f}. "
            f"Star light is {100 * self.star:.0f} % of the variance of the median pixel."
        )

    def of(self, method: str) -> list[LeakRow]:
        """The rows of a method."""
        return [row for row in self.rows if row.method == method]

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 of every reading and method, and R2 against SNR of the best method."""
        figure, (left, right) = sheet.panels(2, 3.4, (1.15, 1))
        self.plot_readings(left, sheet)
        self.plot_by_snr(right)
        legend_below(figure, left, right, columns=3, handlelength=3)
        return figure

    def plot_readings(self, axes: Axes, sheet: Sheet) -> None:
        """A line of points for every reading, the exact limit across."""
        readings = list(dict.fromkeys(row.reading for row in self.of(BEST)))
        for i, (method, look) in enumerate(zip(METHODS, looks(len(METHODS)), strict=True)):
            found = intervals(mine := self.of(method))
            places = [readings.index(row.reading) + APART * (i - 1) for row in mine]
            axes.errorbar(
                found.value, places, xerr=found.reach, capsize=2, elinewidth=0.8,
                **look | {"linestyle": "none", "label": method},
            )  # fmt: skip
        axes.axvline(self.limit, color=LIMIT, linewidth=1.0, label="exact limit")
        axes.set_yticks(range(len(readings)), sheet.wrapped(readings))
        axes.set_ylim(len(readings) - 0.5, -0.5)
        axes.set_xlabel("$R^2$ of log $g$")
        light_grid(axes, "x")

    def plot_by_snr(self, axes: Axes) -> None:
        """Curves of the best method, and the exact limit."""
        known = {row.reading: row for row in self.of(BEST)}
        for reading, look in zip(SHOWN, looks(len(SHOWN)), strict=True):
            found = intervals(bins := known[reading].by_snr)
            place = np.sqrt(column(bins, "snr_low") * column(bins, "snr_high"))
            axes.errorbar(place, found.value, yerr=found.reach, capsize=2, elinewidth=0.8,
                          label=f"{BEST}: {reading}", **look)  # fmt: skip
        axes.plot(place, column(bins, "limit"), color=LIMIT, linewidth=1.0, label="exact limit")
        log_ticks(axes, [3, 5, 10, 20])
        axes.set_xlabel("SNR per pixel")
        axes.set_ylabel("$R^2$ of log $g$")
        light_grid(axes)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "R² of log g read from flux, from 1-sigma errors, and from both. Model error: computed from the "
            "noiseless model; observed error: from the flux as observed; label-free error: of sky, dark "
            "current and read noise alone, which in the unit of the flux is one number per star. What "
            "exceeds the exact limit knows the star without its noise. Quadratic Ridge: linear in numbers of "
            "every channel and their products",
            R2, EXACT, SNR, f"Error bars: 95 %, {self.test.n:,} stars",
        )  # fmt: skip
