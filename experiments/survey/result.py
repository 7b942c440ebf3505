"""The numbers of `survey`, as a table and as the figure."""

from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crlb.observation.conditions import Conditions
from experiments.study.cells import log_ticks
from experiments.study.plotting import COLORS, PAGE_WIDTH_IN, interval, light_grid, markdown
from experiments.study.result import Result
from experiments.study.rows import column, intervals
from experiments.survey.rows import CaseRow, LimitRow, Network

STYLES = ({"color": COLORS["SpecViT"], "marker": "o"}, {"color": COLORS["MLP"], "marker": "X"})
OTHERS = {"color": COLORS["Ridge"], "marker": "s", "linestyle": "--"}
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

    def plot(self) -> Figure:
        """R2 against SNR on the left, coverage of the sigmas on the right."""
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(PAGE_WIDTH_IN, 2.9), gridspec_kw={"width_ratios": (3, 2)}
        )
        snr = column(self.limit[1:], "snr_median")
        exact = intervals(self.limit[1:], "r2_bayes")
        left.fill_between(snr, exact.low, exact.high, color="0.1", alpha=0.2, linewidth=0)
        label = f"exact limit of these {self.limit[0].n:,} stars: {self.limit[0].r2_bayes:.3f} over all"
        left.plot(snr, exact.value, "k_-", markersize=7, label=label)
        for (name, network), style in zip(self.networks.items(), [*STYLES, *[OTHERS] * 9], strict=False):
            found = intervals(network.rows[1:])
            left.plot(snr, found.value, label=f"{name}: {network.rows[0].r2:.3f} over all", **style)
            left.fill_between(snr, found.low, found.high, color=style["color"], alpha=0.15, linewidth=0)
            if network.rows[0].cover_68 is not None:
                right.plot(snr, column(network.rows[1:], "cover_68"), label=name, **style)
                right.plot(snr, column(network.rows[1:], "cover_95"), **style)
        _dress(left, "$R^2$ of log $g$ under survey conditions")
        _dress(right, "truths within the interval (68 %, 95 %)")
        left.set_ylim(bottom=max(left.get_ylim()[0], LOWEST))
        right.set_ylim(0, 1.03)
        for level in (0.68, 0.95):
            right.axhspan(level - 0.02, level + 0.02, color="0.85", zorder=0)
        return figure


def _dress(axes: Axes, label: str) -> None:
    axes.set_xlabel("median SNR per pixel of 0.427 Å")
    axes.set_ylabel(label)
    log_ticks(axes, list(SNR_TICKS))
    light_grid(axes)
    axes.legend(frameon=False, loc="lower left" if "truths" in label else "center right")
