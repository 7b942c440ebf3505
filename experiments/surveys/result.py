"""The result of `surveys`: its tables, its figure, its caption."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.palette import LIMIT as LIMIT_COLOR
from crlb.palette import PUBLISHED, looks, symbol
from experiments.study.plotting import (
    EXACT,
    PAGE,
    R2,
    Sheet,
    Style,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)
from experiments.study.result import Result
from experiments.study.rows import intervals
from experiments.study.stars import LABEL
from experiments.surveys.rows import (
    JOINT,
    LIMIT,
    MOVED,
    OWN,
    PAIRS,
    DifferenceRow,
    Instrument,
    LimitRow,
    ReadRow,
    RealScore,
    RealStar,
    pairs,
)

OTHERS = "of another instrument"
LOWEST = -0.6  # R2 on the axis
LOOKS: dict[str, Style] = dict(zip((OWN, JOINT, MOVED), looks(3), strict=True))
SHIFT = 0.14  # of a method on the axis of instruments


@dataclass(frozen=True, kw_only=True)
class SurveysResult(Result):
    """Scores of every network at every instrument, exact limits, differences on the same stars, real stars.

    `skipped`: why no real star was read.
    """

    instruments: tuple[Instrument, ...]
    rows: tuple[ReadRow, ...]
    limits: tuple[LimitRow, ...]
    differences: tuple[DifferenceRow, ...]
    real: tuple[RealStar, ...]
    real_scores: tuple[RealScore, ...]
    skipped: str = ""

    @property
    def labels(self) -> list[str]:
        """Those that networks read."""
        return list(dict.fromkeys(row.label for row in self.limits))

    def row(self, network: str, instrument: str, label: str = LABEL) -> ReadRow:
        """The score of a network at an instrument."""
        found = {(one.network, one.instrument, one.label): one for one in self.rows}
        return found[network, instrument, label]

    def limit(self, instrument: str, label: str = LABEL) -> LimitRow:
        """The exact limit at an instrument."""
        return {(one.instrument, one.label): one for one in self.limits}[instrument, label]

    def difference(self, instrument: str, method: str, other: str) -> DifferenceRow:
        """How two methods differ at an instrument in R2 of log g."""
        found = {
            (one.instrument, one.method, one.other): one for one in self.differences if one.label == LABEL
        }
        return found[instrument, method, other]

    def table(self) -> str:
        """Limits and networks of every instrument, differences, the matrix, real stars."""
        parts = [self.by_instrument(label) for label in self.labels]
        parts += [self.compared(), self.matrix(), self.of_real_stars()]
        return "\n\n".join(part for part in parts if part)

    def by_instrument(self, label: str) -> str:
        """A line for every instrument: what is known, what its own network and the joint ones read."""
        heads = [
            "instrument",
            "learned",
            "pixels",
            "SNR",
            "R2_Bayes",
            f"R2 of {label}: {LIMIT}",
            OWN,
            JOINT,
            MOVED,
        ]
        lines = []
        for one in self.instruments:
            limit = self.limit(one.name, label)
            about = [one.name, "yes" if one.learned else "no", str(one.pixels), f"{one.snr:.1f}"]
            told = [interval(self.row(name, one.name, label)) for name in (one.name, JOINT, MOVED)]
            lines.append([*about, f"{limit.bayes:.3f}", interval(limit), *told])
        return markdown(heads, lines)

    def compared(self) -> str:
        """Differences in R2 of log g on the same stars."""
        lines = [
            [one.name, *(interval(self.difference(one.name, *pair)) for pair in pairs(one.name))]
            for one in self.instruments
        ]
        return markdown(["R2 of log_g at", *(f"{a} - {b}" for a, b in PAIRS)], lines)

    def matrix(self) -> str:
        """R2 of log g: a line for every network, a column for every instrument."""
        names = [one.name for one in self.instruments]
        lines = [
            [network, *(f"{self.row(network, name).r2:.3f}" for name in names)]
            for network in (*names, JOINT, MOVED)
        ]
        return markdown(["network, R2 of log_g at", *names], lines)

    def of_real_stars(self) -> str:
        """What networks read from real stars minus the literature; why there are none."""
        if not self.real:
            return f"Real stars: {self.skipped}." if self.skipped else ""
        heads = ["real stars of", "network", "label", "n", "bias", "scatter", "R2 (95 %)"]
        return markdown(heads, [real_cells(one) for one in self.real_scores])

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 of log g at every instrument by network; real stars against the literature, if there are any."""
        n = 2 if self.real else 1
        figure, panels = sheet.panels(n, 2.7, widths=(1.6, 1) if self.real else ())
        self.plot_instruments(panels[0])
        if self.real:
            self.plot_real(panels[1])
        legend_below(figure, *panels, columns=5)
        return figure

    def plot_instruments(self, axes: Axes) -> None:
        """Dots with intervals at every instrument, and its limit."""
        names = [one.name for one in self.instruments]
        places = np.arange(len(names), dtype=float)
        limits = np.array([self.limit(name).r2 for name in names])
        axes.hlines(limits, places - 0.35, places + 0.35, color=LIMIT_COLOR, linewidth=1.2, label=LIMIT)
        self.plot_others(axes, names)
        for i, (network, style) in enumerate(LOOKS.items()):
            found = intervals([self.row(name if network == OWN else network, name) for name in names])
            style = style | {"linestyle": "none", "label": network}
            axes.errorbar(places + (i - 1) * SHIFT, found.value, yerr=found.reach, capsize=2, elinewidth=0.8,
                          **style)  # fmt: skip
        unseen = [i for i, one in enumerate(self.instruments) if not one.learned]
        if unseen:
            axes.axvspan(min(unseen) - 0.5, max(unseen) + 0.5, color="0.95", zorder=0)
        axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        axes.set_xticks(places, names, rotation=25, ha="right", rotation_mode="anchor")
        axes.set_ylim(LOWEST, 1)
        axes.set_ylabel(f"$R^2$ of {symbol(LABEL)}")
        light_grid(axes, "y")

    def plot_others(self, axes: Axes, names: Sequence[str]) -> None:
        """Networks of one other instrument, those below the axis at its lower end."""
        points = [
            (place + 2 * SHIFT, max(self.row(other, name).r2, LOWEST))
            for place, name in enumerate(names)
            for other in names
            if other != name
        ]
        x, y = zip(*points, strict=True)
        axes.plot(
            x, y, color=PUBLISHED, marker="_", markersize=6, linestyle="none", label=OTHERS, clip_on=False
        )

    def plot_real(self, axes: Axes) -> None:
        """Real stars: what networks read against the literature."""
        for network, style in LOOKS.items():
            truth, told = [], []
            for star in self.real:
                truth.append(star.literature[LABEL])
                told.append(star.read[star.instrument if network == OWN else network][LABEL])
            axes.plot(truth, told, **style | {"linestyle": "none", "label": network})
        ends = [0.5, 5.5]
        axes.plot(ends, ends, color="0.7", linewidth=0.6, zorder=0)
        axes.set_xlabel(f"{symbol(LABEL)} of the literature (dex)")
        axes.set_ylabel(f"{symbol(LABEL)} of the network (dex)")
        light_grid(axes)

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        unseen = " and ".join(one.name for one in self.instruments if not one.learned)
        named = ", ".join(dict.fromkeys(star.instrument for star in self.real))
        real = (
            f"Right or lower panel: log g of {len(self.real)} real stars ({named}) as the same networks read "
            "it, against the literature; conditions differ from those of the training"
        )
        return sentences(
            f"R² of log g of {self.test.n:,} simulated stars at each instrument, SNR per pixel alike: the "
            f"exact limit (of the first {self.limits[0].n}), a network of the instrument's own, one joint "
            f"network that learned from all but {unseen} (grey), and one whose tokens began at another "
            "pixel in every step. Grey dashes: networks of one other instrument; those at the lower end lie "
            "below the axis",
            real if self.real else "",
            R2, EXACT, "Error bars: 95 % over stars",
        )  # fmt: skip


def real_cells(one: RealScore) -> list[str]:
    """A line of the table of real stars; K or dex."""
    digits = 0 if one.label == "T_eff" else 2
    numbers = [f"{value:.{digits}f}" for value in (one.bias, one.scatter)]
    return [one.instrument, one.network, one.label, str(one.n), *numbers, interval(one, "r2", 2)]
