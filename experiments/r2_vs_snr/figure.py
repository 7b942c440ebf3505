"""The R2-SNR figure, plotted from its rows; nothing is recomputed here."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from crlb import Ceiling
from crlb.palette import BACKGROUND, BOUND, LIMIT
from experiments.r2_vs_snr.rows import Estimator, Limit, LimitRow, Published
from experiments.study.plotting import COLORS, PAGE, Sheet, Style, legend_below, light_grid
from experiments.study.rows import column, intervals
from specvit_jax import metrics

MARKS: dict[str, Style] = {  # told apart in grey by marker and line as well, in the order of the legend
    "SpecViT, taught": {"marker": "o", "linestyle": "-", "linewidth": 1.8, "zorder": 9.5},
    "SpecViT": {"marker": "o", "markerfacecolor": "white", "linestyle": (0, (1, 0.7)), "zorder": 9},
    "Template fit": {"marker": "v", "linestyle": (0, (3, 1, 1, 1)), "zorder": 8},
    "CNN": {"marker": "P", "linestyle": (0, (6, 1.2)), "zorder": 7},
    "MLP": {"marker": "X", "linestyle": (0, (2.5, 1)), "zorder": 6},
    "LightGBM": {"marker": "D", "linestyle": "-.", "zorder": 5},
    "Ridge": {"marker": "s", "linestyle": (0, (5, 1.5)), "zorder": 4},
}
SNR_RANGE, SNR_TICKS = (1.6, 110), (2, 3, 5, 10, 20, 50, 100)


def plot(
    estimators: Mapping[str, Estimator],
    limit: Limit,
    ceiling: Ceiling,
    published: Published,
    sheet: Sheet = PAGE,
) -> Figure:
    """R2 against SNR above, efficiency below, legend beside them or, in a column, under them."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(sheet.width, 6.8 if sheet.narrow else 4.6), sharex=True, height_ratios=(3, 1.25)
    )
    dress(upper, lower)
    for name in [name for name in MARKS if name in estimators]:
        method = estimators[name]
        plot_method(upper, name, method.by_snr, "r2", f"{name}: {method.overall.r2:.3f} over all")
        plot_method(lower, name, method.efficiency, "efficiency")
    plot_exact_limit(upper, ceiling)
    plot_limit_of_bins(upper, limit)
    plot_ceiling(upper, ceiling)
    plot_published(upper, published)
    if not sheet.narrow:
        first = next(iter(estimators))
        annotate_gap(upper, first, estimators[first].by_snr, limit.by_snr)
    if sheet.narrow:
        legend_below(figure, upper, columns=2, handlelength=2.8)
    else:
        figure.legend(loc="outside right upper", handlelength=2.8)
    return figure


def plot_ceiling(axes: Axes, ceiling: Ceiling) -> None:
    """The Cramer-Rao R2_max of the nodes: median, and the band from the 10th to the 90th percentile."""
    snr, r2_max = [row.snr_median for row in ceiling.bins], [row.r2_max for row in ceiling.bins]
    low, high = column(r2_max, "p10"), column(r2_max, "p90")
    axes.fill_between(snr, low, high, color=BACKGROUND, zorder=0, linewidth=0)
    label = "Cramér-Rao, unbiased estimators:\nmedian star, band 10-90 %"
    median = column(r2_max, "median")
    axes.plot(snr, median, color=BOUND, linestyle="--", marker="D", zorder=3, label=label)
    top = axes.secondary_xaxis("top")
    top.set_xticks(snr, [f"{row.mag:g}" for row in ceiling.bins])
    top.xaxis.set_minor_locator(NullLocator())
    top.set_xlabel("AB magnitude ($i$)")


def plot_exact_limit(axes: Axes, ceiling: Ceiling) -> None:
    """R2 of the posterior mean, which no estimator exceeds, with its Monte-Carlo interval."""
    snr, exact = [row.snr_median for row in ceiling.bins], ceiling.exact_limits()
    low, high = [one.low for one in exact], [one.high for one in exact]
    axes.fill_between(snr, low, high, color=LIMIT, alpha=0.25, zorder=2, linewidth=0)
    label = "exact limit of any estimator,\nstars of a magnitude (band 95 %)"
    axes.plot(snr, [one.value for one in exact], "k^-", linewidth=1.6, zorder=10, label=label)


def plot_limit_of_bins(axes: Axes, limit: Limit) -> None:
    """R2_Bayes of the test stars of every bin: what the methods below are to be compared with."""
    axes.plot(
        [row.snr_median for row in limit.by_snr],
        column(limit.by_snr, "r2_bayes"),
        "k_",
        markersize=7,
        markeredgewidth=1.4,
        zorder=11,
        label="exact limit, test stars of a bin",
    )


def plot_method(
    axes: Axes,
    name: str,
    rows: Sequence[metrics.BinScore] | Sequence[LimitRow],
    key: str,
    label: str | None = None,
) -> None:
    """A score per SNR bin at the bin's median SNR, with its bootstrap interval."""
    scored = [row for row in rows if getattr(row, key) is not None]
    snr, found = column(scored, "snr_median"), intervals(scored, key)
    color, marks = COLORS[name], MARKS[name]
    behind = marks["zorder"] - 3
    axes.fill_between(snr, found.low, found.high, color=color, alpha=0.13, linewidth=0, zorder=behind)
    axes.plot(snr, found.value, color=color, label=label, **marks)


def plot_published(axes: Axes, published: Published) -> None:
    """The curves of the original study, thin: they belong to another grid and another SNR column."""
    label: str | None = "thin dots: as published, another\ngrid; their SNR divided by 1.18"
    for name, curve in published.curves.items():
        color = COLORS[name]
        axes.plot(curve.snr, curve.r2, ":", color=color, linewidth=0.7, zorder=1, label=label)
        label = None


def annotate_gap(axes: Axes, name: str, rows: Sequence[metrics.BinScore], limits: Sequence[LimitRow]) -> None:
    """Where R2 of a method misses most of the exact limit of the same stars."""
    known = {row.snr_low: row.r2 for row in rows if row.r2 is not None}
    both = [(row, row.r2_bayes, known[row.snr_low]) for row in limits if row.snr_low in known]
    gaps = [(limit - r2, row, (limit + r2) / 2) for row, limit, r2 in both if limit is not None]
    if not gaps:
        return
    gap, row, middle = max(gaps, key=lambda item: item[0])
    axes.annotate(
        f"largest gap of {name}\nto the limit: {gap:.2f} (SNR {row.snr_low:g}-{row.snr_high:g})",
        (row.snr_median, middle),
        (0.60, 0.25),
        textcoords="axes fraction",
        arrowprops={"arrowstyle": "->", "linewidth": 0.6, "color": "0.3"},
        zorder=12,
    )


def dress(upper: Axes, lower: Axes) -> None:
    """Axes, ticks and labels of the two panels."""
    upper.set(xscale="log", xlim=SNR_RANGE, ylim=(-0.05, 1.04), ylabel="$R^2$ of log $g$")
    upper.tick_params(labelbottom=False)
    lower.axhline(1, color="black", linewidth=1)
    lower.set(ylim=(0, 1.12), ylabel="$R^2$ / limit")
    lower.set_xlabel("median SNR per pixel of 0.427 Å")
    lower.set_xticks(SNR_TICKS, [str(tick) for tick in SNR_TICKS])
    for axes in (upper, lower):
        axes.xaxis.set_minor_locator(NullLocator())
        light_grid(axes)
