"""The numbers of `survey`, as a table and as the figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.observation.conditions import Conditions
from crlb.palette import BACKGROUND, LIMIT, RAMP, looks
from experiments.study.cells import log_ticks
from experiments.study.plotting import (
    COLORS,
    EXACT,
    PAGE,
    R2,
    SNR,
    Sheet,
    Style,
    interval,
    legend_below,
    light_grid,
    markdown,
    sentences,
)  # fmt: skip
from experiments.study.result import Result
from experiments.study.rows import column, intervals
from experiments.study.screen import Cells, by_bin, text_of
from experiments.survey.rows import CaseRow, LimitRow, Network

SNR_TICKS = (2, 3, 5, 10, 20)
LOWEST = -0.75  # R2 on the axis


@dataclass(frozen=True, kw_only=True)
class SurveyResult(Result):
    """The limit of all stars and of those of every bin in SNR; networks on the same, and on others."""

    conditions: Conditions
    limit: tuple[LimitRow, ...]
    networks: dict[str, Network]
    sensitivity: tuple[CaseRow, ...] = ()

    def table(self) -> str:
        """The limit and every network, by SNR; then what each unknown does to them."""
        heads = ["SNR", "n", "method", "R2 (95 %)", "R2 / R2_Bayes", "covers 68 %", "covers 95 %"]
        heads += ["sigma / exact sigma", "MAE, dex"]
        lines = []
        for i, row in enumerate(self.limit):
            exact = interval(row, "r2_bayes")
            lines.append([row.snr, str(row.n), "exact limit", exact, "1", "", "", "1", ""])
            lines.append(["", "", "posterior mean", f"{row.r2_mean:.3f}", "", "", "", "", ""])
            lines += [["", "", name, *self.cells(network, i)] for name, network in self.networks.items()]
        training = [f"{name}: {network.training}." for name, network in self.networks.items()]
        more = [self.cases()] if self.sensitivity else []
        return "\n\n".join([markdown(heads, lines), *training, *more])

    def shown(self) -> str:
        """R2 by SNR and, of networks that tell a sigma, how often it covers the truth, for a screen."""
        first, *bins = self.limit
        rows: dict[str, Cells] = {"exact limit": [row.r2_bayes for row in (*bins, first)]}
        rows |= {name: _turned([row.r2 for row in one.rows]) for name, one in self.networks.items()}
        cover = {
            f"{name}, {level} %": _turned([getattr(row, f"cover_{level}") for row in one.rows])
            for name, one in self.networks.items()
            for level in (68, 95)
        }
        place = [*(row.snr for row in bins), "all"], [*(row.n for row in bins), first.n]
        told = {name: cells for name, cells in cover.items() if any(cell is not None for cell in cells)}
        return text_of(
            by_bin(f"R2 of log g of {first.n:,} stars as a survey observes them", *place, rows),
            by_bin("Truths within the interval of a network's sigma", *place, told),
        )

    def cases(self) -> str:
        """R2 of every network with each unknown left out, or twice as large."""
        lines = [
            [row.case, str(row.n), *(f"{row.r2[name]:.3f}" for name in self.networks)]
            for row in self.sensitivity
        ]
        return markdown(["R2 of log g, conditions", "n", *self.networks], lines)

    def cells(self, network: Network, i: int) -> list[str]:
        """The cells of a network on the stars of a row of the limit."""
        row = network.rows[i]
        told = (row.cover_68, row.cover_95, row.sigma_ratio)
        words = ["-" if value is None else f"{value:.3f}" for value in told]
        return [interval(row), interval(row, "efficiency"), *words, f"{row.mae:.3f}"]

    def plot(self, sheet: Sheet = PAGE) -> Figure:
        """R2 against SNR on the left, coverage of the sigmas on the right."""
        figure, (left, right) = sheet.panels(2, 2.3 if sheet.narrow else 2.9, widths=(3, 2))
        snr = column(self.limit[1:], "snr_median")
        exact = intervals(self.limit[1:], "r2_bayes")
        left.fill_between(snr, exact.low, exact.high, color=LIMIT, alpha=0.2, linewidth=0)
        label = f"exact limit of these stars: {self.limit[0].r2_bayes:.3f} over all"
        left.plot(snr, exact.value, "_-", color=LIMIT, markersize=7, label=label)
        for (name, network), style in zip(self.networks.items(), self.styles(), strict=True):
            found = intervals(network.rows[1:])
            text = f"network “{name}”: {network.rows[0].r2:.3f} over all"
            left.plot(snr, found.value, label=text, **style)
            left.fill_between(snr, found.low, found.high, color=style["color"], alpha=0.15, linewidth=0)
            if network.rows[0].cover_68 is not None:
                right.plot(snr, column(network.rows[1:], "cover_68"), **style)
                right.plot(snr, column(network.rows[1:], "cover_95"), **style)
        _dress(left, "$R^2$ of log $g$")
        _dress(right, "truths within the interval")
        left.set_ylim(bottom=max(left.get_ylim()[0], LOWEST))
        right.set_ylim(0, 1.03)
        for level in (0.68, 0.95):
            right.axhspan(level - 0.02, level + 0.02, color=BACKGROUND, zorder=0)
        legend_below(figure, left, columns=2)
        return figure

    def caption(self) -> str:
        """What the figure shows, its terms defined."""
        return sentences(
            "Left or above: R² of log g by SNR under the conditions of a survey, for the exact limit of "
            f"these {self.limit[0].n:,} stars and for networks trained under them or not. Right or below: "
            "share of true values within the intervals of 68 and 95 % that follow from the sigma a "
            "network predicts; grey: within 2 % of the level",
            R2, EXACT, SNR, "Bands: 95 %, from resampled stars",
        )  # fmt: skip

    def styles(self) -> list[Style]:
        """The first network is SpecViT, the others are beside it."""
        first: Style = {"color": COLORS["SpecViT"], "marker": "o"}
        others = looks(1 + len(self.networks))[1:]
        colors = cycle((RAMP[1], RAMP[5], RAMP[3]))
        rest = [look | {"color": color} for look, color in zip(others, colors, strict=False)]
        return [first, *rest][: len(self.networks)]


def _turned(cells: Sequence[float | None]) -> list[float | None]:
    """The number of all stars, which comes first, last."""
    return [*cells[1:], cells[0]]


def _dress(axes: Axes, label: str) -> None:
    axes.set_xlabel("median SNR per pixel of 0.427 Å")
    axes.set_ylabel(label)
    log_ticks(axes, list(SNR_TICKS))
    light_grid(axes)
